//! The steps of the program, each a check of one thing that a realm may count on.

use core::fmt;

use cca_abi::host_calls;
use cca_abi::mpidr::index_from_architectural;
use cca_abi::rsi::host_call_offset;

use super::board::Board;
use super::console::{Console, Hex};
use super::{Failure, GuestPe};
use crate::{Error, GRANULE_SIZE, HashAlgorithm, HostCall, IpaWidth, Psci, Ripas, Rsi};

/// INTID of the virtual timer's private peripheral interrupt (Arm Base System Architecture).
const VIRTUAL_TIMER: u32 = 27;

/// Registers of the GICv3's distributor, and of a redistributor's two frames.
const GICD_CTLR: u64 = 0x0;
const GICD_ENABLE_GROUP_1: u32 = 1 << 1;
const GICD_ARE: u32 = 1 << 4;
const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;
const GICR_WAKER: u64 = 0x14;
const GICR_WAKER_ASLEEP: u32 = 1 << 2;
const SGI_FRAME: u64 = 0x1_0000;
const IGROUPR0: u64 = 0x80;
const ISENABLER0: u64 = 0x100;
const IPRIORITYR: u64 = 0x400;
/// The timer's priority: any that the CPU interface lets through.
const PRIORITY: u32 = 0xA0;

/// Index of the realm initial measurement among a realm's measurements.
const INITIAL_MEASUREMENT: u64 = 0;

/// One vCPU with all that its steps need.
pub(super) struct Vcpu<'p, P> {
    pub(super) pe: &'p P,
    pub(super) board: Board,
    pub(super) width: IpaWidth,
    pub(super) index: u64,
}

/// What a vCPU lets the host add up.
fn summands(vcpu: u64) -> (u64, u64) {
    (1000 * (vcpu + 1), 42)
}

/// Tells the host, with the host call structure at `structure`, that the program has found something wrong, and ends
/// the realm.
pub(super) fn give_up<P: GuestPe>(pe: &P, structure: u64) {
    pe.write(structure, u64::from(host_calls::FAILED));
    // The realm ends in either case: there is nobody else left to tell.
    let _ = Rsi::new(pe).host_call(structure);
    Psci::new(pe).system_off();
}

/// Names the command that failed.
pub(super) fn rsi(command: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure::Rsi { command, error }
}

impl<P: GuestPe> Vcpu<'_, P> {
    pub(super) fn rsi(&self) -> Rsi<'_, P> {
        Rsi::new(self.pe)
    }

    pub(super) fn psci(&self) -> Psci<'_, P> {
        Psci::new(self.pe)
    }

    /// Says one line on the realm's console.
    pub(super) fn say(&self, text: fmt::Arguments<'_>) {
        Console::new(self.pe, self.width.shared(self.board.uart)).line(text);
    }

    /// Runs `steps`; tells people and the host if one of them fails, and ends the realm then.
    pub(super) fn guard(&self, steps: impl FnOnce(&Self) -> Result<(), Failure>) {
        if let Err(failure) = steps(self) {
            self.say(format_args!("FAILED vCPU {}: {failure}", self.index));
            give_up(self.pe, self.structure());
        }
    }

    /// The host call structure of this vCPU.
    fn structure(&self) -> u64 {
        match self.board.check() {
            Ok(()) => self.board.host_call(self.index),
            Err(_) => self.board.config(),
        }
    }

    /// What every vCPU shows of itself.
    pub(super) fn introduce(&self) -> Result<(), Failure> {
        let mpidr = self.pe.mpidr();
        if index_from_architectural(mpidr) != self.index {
            return Err(Failure::Mpidr { found: mpidr });
        }
        self.say(format_args!("vCPU {} is up, MPIDR {mpidr:#x}", self.index));
        self.listen();
        self.ask_the_host()?;
        self.take_timer_interrupt()
    }

    /// Reads the realm initial measurement and asks the host whether that is what it built.
    pub(super) fn compare_measurement(&self, algorithm: HashAlgorithm) -> Result<(), Failure> {
        let rim = self
            .rsi()
            .measurement(INITIAL_MEASUREMENT)
            .map_err(rsi("RSI_MEASUREMENT_READ"))?;
        let used = algorithm.size() / size_of::<u64>();
        self.say(format_args!("initial measurement {}", Hex(&rim[..used])));
        let mut call = HostCall {
            imm: host_calls::MEASUREMENT,
            ..HostCall::default()
        };
        call.gprs[..rim.len()].copy_from_slice(&rim);
        match self.host_call(call)?.gprs[0] {
            0 => Ok(()),
            _ => Err(Failure::Measurement),
        }
    }

    /// Lets the interrupt controller forward interrupts (GIC architecture, IHI 0069). Once for all vCPUs.
    pub(super) fn forward_interrupts(&self) {
        let control = self.width.shared(self.board.distributor) + GICD_CTLR;
        self.pe
            .store_device(control, GICD_ARE | GICD_ENABLE_GROUP_1);
    }

    /// Lets the interrupt of the virtual timer through to this vCPU.
    fn listen(&self) {
        let frame = self.board.redistributors + self.index * REDISTRIBUTOR_SIZE;
        let waker = self.width.shared(frame) + GICR_WAKER;
        self.pe.store_device(waker, 0);
        while self.pe.load_device(waker) & GICR_WAKER_ASLEEP != 0 {}
        let private = |offset: u64| self.width.shared(frame) + SGI_FRAME + offset;
        let (word, byte) = (u64::from(VIRTUAL_TIMER) & !3, VIRTUAL_TIMER & 3);
        self.pe.store_device(private(IGROUPR0), 1 << VIRTUAL_TIMER);
        self.pe
            .store_device(private(IPRIORITYR + word), PRIORITY << (8 * byte));
        self.pe
            .store_device(private(ISENABLER0), 1 << VIRTUAL_TIMER);
    }

    /// A host call whose answer can be checked.
    fn ask_the_host(&self) -> Result<(), Failure> {
        let (left, right) = summands(self.index);
        let mut call = HostCall {
            imm: host_calls::ADD,
            ..HostCall::default()
        };
        call.gprs[1] = left;
        call.gprs[2] = right;
        let (expected, found) = (left + right, self.host_call(call)?.gprs[0]);
        if found != expected {
            return Err(Failure::HostSum { expected, found });
        }
        self.say(format_args!(
            "vCPU {} asked the host: {left} + {right} = {found}",
            self.index
        ));
        Ok(())
    }

    /// An interrupt of the virtual timer, a millisecond from now.
    fn take_timer_interrupt(&self) -> Result<(), Failure> {
        let intid = self.sleep()?;
        self.say(format_args!(
            "vCPU {} took its timer interrupt, INTID {intid}",
            self.index
        ));
        Ok(())
    }

    /// Sleeps for a millisecond by the virtual timer; its INTID.
    pub(super) fn sleep(&self) -> Result<u32, Failure> {
        let deadline = self.pe.counter() + self.pe.frequency() / 1000;
        self.pe.arm_timer(deadline);
        let intid = loop {
            if let Some(intid) = self.pe.acknowledge_interrupt() {
                break intid;
            }
            self.pe.wait_for_interrupt();
        };
        let counter = self.pe.counter();
        self.pe.disarm_timer();
        self.pe.end_of_interrupt(intid);
        if intid != VIRTUAL_TIMER {
            return Err(Failure::Interrupt { intid });
        }
        if counter < deadline {
            return Err(Failure::Early { deadline, counter });
        }
        Ok(intid)
    }

    /// Looks whether another vCPU, now off, has done its part: its last host call was the sum, and what the host said
    /// is still in that vCPU's structure.
    pub(super) fn check_work_of(&self, vcpu: u64) -> Result<(), Failure> {
        let sum = self
            .pe
            .read(self.board.host_call(vcpu) + host_call_offset::GPRS as u64);
        let (left, right) = summands(vcpu);
        if sum == left + right {
            Ok(())
        } else {
            Err(Failure::Idle { vcpu })
        }
    }

    /// Gives a page to the host, checks that both sides see what the other writes, and takes the page back.
    pub(super) fn share_a_page(&self) -> Result<(), Failure> {
        const PATTERN: u64 = 0x5355_5A45_5241_494E;
        const SECRET: u64 = 0x0123_4567_89AB_CDEF;
        let page = self.board.shared();
        let alias = self.width.shared(page);
        self.pe.write(page, SECRET);

        self.set_state(page, Ripas::Empty)?;
        self.pe.write(alias, PATTERN);
        self.pe.write(alias + 8, 0);
        let mut call = HostCall {
            imm: host_calls::SHARED_PAGE,
            ..HostCall::default()
        };
        call.gprs[0] = alias;
        let (read, written) = (self.host_call(call)?.gprs[0], self.pe.read(alias + 8));
        if read != PATTERN {
            return Err(Failure::SharedRead {
                expected: PATTERN,
                found: read,
            });
        }
        if written == 0 {
            return Err(Failure::SharedWrite);
        }
        self.say(format_args!(
            "shared page {page:#x}: the host read {read:#x} and wrote {written:#x}"
        ));

        self.set_state(page, Ripas::Ram)?;
        self.remember(page, SECRET)?;
        self.say(format_args!("shared page {page:#x}: taken back"));
        Ok(())
    }

    /// Touches memory for which the host has not yet given any.
    pub(super) fn touch_untouched(&self) -> Result<(), Failure> {
        let page = self.board.last();
        self.remember(page, !page)?;
        self.say(format_args!(
            "touched {page:#x}, which nobody had populated"
        ));
        Ok(())
    }

    fn remember(&self, address: u64, expected: u64) -> Result<(), Failure> {
        self.pe.write(address, expected);
        let found = self.pe.read(address);
        if found == expected {
            Ok(())
        } else {
            Err(Failure::Memorised {
                address,
                expected,
                found,
            })
        }
    }

    pub(super) fn set_state(&self, page: u64, ripas: Ripas) -> Result<(), Failure> {
        let refused = rsi("RSI_IPA_STATE_SET");
        self.rsi()
            .set_ipa_state(page, page + GRANULE_SIZE, ripas, true)
            .map_err(&refused)?;
        let (_, found) = self
            .rsi()
            .ipa_state(page, page + GRANULE_SIZE)
            .map_err(rsi("RSI_IPA_STATE_GET"))?;
        if found == ripas {
            Ok(())
        } else {
            Err(refused(Error::Malformed))
        }
    }

    /// Makes a host call through the structure of this vCPU; what came back.
    pub(super) fn host_call(&self, call: HostCall) -> Result<HostCall, Failure> {
        let structure = self.structure();
        for (address, word) in (structure..).step_by(8).zip(call.words()) {
            self.pe.write(address, word);
        }
        self.rsi()
            .host_call(structure)
            .map_err(rsi("RSI_HOST_CALL"))?;
        let words = core::array::from_fn(|i| self.pe.read(structure + 8 * i as u64));
        Ok(HostCall::read(&words))
    }
}
