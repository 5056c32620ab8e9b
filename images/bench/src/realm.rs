//! A realm that is entered for the sake of its exits.

use cca_abi::rmi::Command;
use cca_abi::rmi::run::{EXIT, ExitReason, enter_flags, enter_offset, exit_offset};
use cca_abi::rsi;
use hardware::host::{Pe, counter};
use hardware::println;
use realm_vmm::HostPe;

use crate::guest::Order;
use crate::host::Host;

/// Ticks until the first interrupt while a token is signed, and how many more it is until the next: each comes at another point
/// of the work.
const SIGNING: (u64, u64) = (60_000, 61);

/// Bytes of a token that are fetched along with its signature; the others are fetched by a call that is measured.
const FIRST_BYTES: u64 = 8;

/// Exception classes of ESR_EL2: WFI, and a data abort.
const EC_WAIT: u64 = 0x01;
const EC_DATA_ABORT: u64 = 0x24;

/// A REC that waits for the answer to a host call.
pub(crate) struct Rec<'h> {
    pub(crate) host: &'h Host,
    pub(crate) rec: u64,
    pub(crate) run: u64,
}

impl Rec<'_> {
    /// One entry, measured under `name`: the reason of the exit, and the exception class.
    fn enter(&self, name: &str, flags: u64, gprs: &[u64]) -> (Option<ExitReason>, u64) {
        self.host.write(self.run, enter_offset::FLAGS / 8, flags);
        for (n, &value) in gprs.iter().enumerate() {
            self.host.write(self.run, enter_offset::GPRS / 8 + n, value);
        }
        self.host
            .call_as(name, Command::RecEnter, &[self.rec, self.run]);
        let word = |offset: usize| self.host.read(self.run, (EXIT + offset) / 8);
        let reason = ExitReason::decode(word(exit_offset::EXIT_REASON) as u8);
        (reason, word(exit_offset::ESR) >> 26)
    }

    /// Enters until the next host call.
    pub(crate) fn resume(&self, name: &str, flags: u64, gprs: &[u64]) {
        let (reason, class) = self.enter(name, flags, gprs);
        assert!(
            reason == Some(ExitReason::HostCall),
            "{name} ends with {reason:?}, {class:#x}"
        );
    }

    /// A host call that is answered by an order, and the exit that the order leads to.
    fn order(&self, name: &str, flags: u64, order: Order, operands: [u64; 3], expected: u64) {
        let [a, b, c] = operands;
        let (reason, class) = self.enter(name, flags, &[order as u64, a, b, c]);
        assert!(
            reason == Some(ExitReason::Sync) && class == expected,
            "{name} ends with {reason:?}, {class:#x}"
        );
    }

    /// WFI and back.
    pub(crate) fn wait(&self) {
        let flags = enter_flags::TRAP_WFI;
        self.order("REC_ENTER_TO_WFI", flags, Order::Wait, [0; 3], EC_WAIT);
        self.resume("REC_ENTER_TO_HOST_CALL", 0, &[]);
    }

    /// A load from a device that the host emulates, and a store.
    pub(crate) fn device(&self, address: u64) {
        for (name, order) in [
            ("REC_ENTER_TO_MMIO_LOAD", Order::Load),
            ("REC_ENTER_TO_MMIO_STORE", Order::Store),
        ] {
            self.order(name, 0, order, [0, address, 1], EC_DATA_ABORT);
            self.resume(
                "REC_ENTER_EMULATED_TO_HOST_CALL",
                enter_flags::EMUL_MMIO,
                &[0],
            );
        }
    }

    /// A load from a page that is not there; `populate` maps it.
    pub(crate) fn page_fault(&self, address: u64, populate: impl FnOnce()) {
        let operands = [0, address, 0];
        self.order(
            "REC_ENTER_TO_PAGE_FAULT",
            0,
            Order::Load,
            operands,
            EC_DATA_ABORT,
        );
        populate();
        self.resume("REC_ENTER_TO_HOST_CALL", 0, &[]);
    }

    /// A call of the realm that leaves it for this reason.
    pub(crate) fn leave(
        &self,
        name: &str,
        function: u32,
        operands: [u64; 3],
        expected: ExitReason,
    ) {
        let [a, b, c] = operands;
        let (reason, _) = self.enter(name, 0, &[Order::Smc as u64, function.into(), a, b, c]);
        assert!(reason == Some(expected), "{name} ends with {reason:?}");
    }

    /// A token into the page at `page`, with interrupts while it is signed: how long each had to wait for the host.
    pub(crate) fn token(&self, page: u64, pe: &mut Pe) {
        self.rsi(rsi::Command::AttestationTokenInit, [1, 2, 3]);
        let function = rsi::Command::AttestationTokenContinue.function_id().into();
        let order = [Order::Smc as u64, function, page, 0, FIRST_BYTES];
        let (mut wait, more) = SIGNING;
        loop {
            let deadline = counter() + wait;
            wait += more;
            pe.arm_slice(deadline);
            let (reason, _) = self.enter("REC_ENTER_WITH_TOKEN", 0, &order);
            let now = counter();
            pe.disarm_slice();
            pe.acknowledge_interrupts();
            if reason == Some(ExitReason::Irq) {
                let waited = now.saturating_sub(deadline);
                println!("bench INTERRUPT_WHILE_SIGNING {waited}");
                self.resume("REC_ENTER_TO_HOST_CALL", 0, &[]);
            } else {
                assert!(
                    reason == Some(ExitReason::HostCall),
                    "a token ends with {reason:?}"
                );
            }
            let word = |n: usize| self.host.read(self.run, (EXIT + exit_offset::GPRS) / 8 + n);
            assert!(word(0) == rsi::INCOMPLETE, "no token: {:#x}", word(0));
            if word(2) != 0 {
                break;
            }
        }
        let rest = [page, FIRST_BYTES, 4096 - FIRST_BYTES];
        self.rsi(rsi::Command::AttestationTokenContinue, rest);
    }

    /// A call of the realm, counted inside of the realm: its X1 to X8.
    pub(crate) fn rsi(&self, command: rsi::Command, operands: [u64; 3]) -> [u64; 8] {
        let [a, b, c] = operands;
        let function = command.function_id().into();
        self.resume(
            "REC_ENTER_TO_HOST_CALL_AFTER_RSI",
            0,
            &[Order::Smc as u64, function, a, b, c],
        );
        let word = |n: usize| self.host.read(self.run, (EXIT + exit_offset::GPRS) / 8 + n);
        println!("bench {} {}", command.name(), word(1));
        assert!(
            word(0) == 0,
            "{} is refused: {:#x}",
            command.name(),
            word(0)
        );
        core::array::from_fn(|n| word(2 + n))
    }
}
