//! A realm that obeys: the host's side of [`realm_guest::puppet`].

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use cca_abi::explain::{RmiResult, Syndrome};
use cca_abi::rmi::run::{
    ENTER_WORDS, EXIT, EXIT_WORDS, ExitReason, RecEnter, RecExit, enter_flags,
};
use cca_abi::rmi::{
    Command, data_create, data_create_unknown, realm_activate, rec_enter, rtt_init_ripas,
};
use realm_guest::demo::PROGRAM_SIZE;
use realm_guest::puppet::{IMMEDIATE, Operation};

use crate::fixture::Fixture;
use crate::realm::Realm;

/// First IPA of the puppet's memory; its image is loaded and entered here.
pub(crate) const MEMORY: u64 = 0x4000_0000;
/// Size of its memory: the program, then pages that scenarios use as they like.
pub(crate) const MEMORY_SIZE: u64 = 2 * PROGRAM_SIZE;
/// The host call page of REC 0; that of REC n lies n pages above.
pub(crate) const CALL_PAGE: u64 = MEMORY + PROGRAM_SIZE;
/// First page that the puppet does not use by itself.
pub(crate) const FREE_PAGE: u64 = CALL_PAGE + 0x10_0000;
/// A PL011 that is not there, in the protected half.
pub(crate) const UART: u64 = 0x0900_0000;

/// An entry may come back this often without getting further, for interrupts and for pages to be populated.
const PATIENCE: usize = 10_000;

/// A running realm that obeys.
pub struct Puppet {
    /// The realm.
    pub realm: Realm,
    /// PAs of the RECs by index.
    pub recs: Vec<u64>,
    /// PAs of their run pages.
    pub run_pages: Vec<u64>,
}

impl Puppet {
    /// First IPA that the puppet does not use by itself, in its memory.
    pub const FREE_PAGE: u64 = FREE_PAGE;

    /// Builds and activates a realm with this many RECs, of which the first is runnable.
    pub fn new(fixture: &mut Fixture<'_>, recs: u64) -> Puppet {
        let realm = fixture.realm();
        Self::of(fixture, realm, recs)
    }

    /// As [`Puppet::new`], in a realm that has nothing yet.
    pub fn of(fixture: &mut Fixture<'_>, realm: Realm, recs: u64) -> Puppet {
        let rd = realm.rd;
        fixture.tables(rd, MEMORY);
        fixture.tables(rd, CALL_PAGE);
        let mut base = MEMORY;
        while base < MEMORY + MEMORY_SIZE {
            let input = rtt_init_ripas::Input {
                rd,
                base,
                top: MEMORY + MEMORY_SIZE,
            };
            let top = fixture.call(Command::RttInitRipas, input.encode()).0[1];
            if top <= base {
                break;
            }
            base = top;
        }
        let image = fixture.host().puppet_image();
        for (page, words) in (MEMORY..).step_by(4096).zip(image.chunks(512)) {
            let src = fixture.non_secure_with(words);
            let data = fixture.delegated();
            let input = data_create::Input {
                rd,
                data,
                ipa: page,
                src,
                flags: 0,
            };
            fixture.call(Command::DataCreate, input.encode());
        }
        let arguments = [MEMORY, MEMORY_SIZE, UART, 0, 0, 0, 0, 0];
        let recs: Vec<u64> = (0..recs)
            .map(|index| {
                let call = Realm::rec_create_at(fixture, rd, index, index == 0, MEMORY, arguments);
                fixture.call(Command::RecCreate, call);
                call.0[2]
            })
            .collect();
        let run_pages = recs.iter().map(|_| fixture.non_secure_with(&[])).collect();
        fixture.call(
            Command::RealmActivate,
            realm_activate::Input { rd }.encode(),
        );
        let puppet = Puppet {
            realm,
            recs,
            run_pages,
        };
        puppet.expect_call(fixture, 0, &RecEnter::default());
        puppet
    }

    /// Has REC 0 store a doubleword at an IPA.
    pub fn write(&self, fixture: &mut Fixture<'_>, address: u64, value: u64) {
        self.perform(fixture, 0, Operation::Write, &[address, value]);
    }

    /// Enters a REC once: X0 and the exit record.
    pub fn enter(&self, fixture: &Fixture<'_>, index: usize, enter: &RecEnter) -> (u64, RecExit) {
        let host = fixture.host();
        let run_ptr = self.run_pages[index];
        let mut words = [0; ENTER_WORDS];
        enter.write(&mut words);
        for (word, value) in words.into_iter().enumerate() {
            host.write(run_ptr, word, value);
        }
        let input = rec_enter::Input {
            rec: self.recs[index],
            run_ptr,
        };
        let mut registers = input.encode();
        host.smc(&mut registers);
        let words: [u64; EXIT_WORDS] =
            core::array::from_fn(|word| host.read(run_ptr, EXIT / 8 + word));
        (registers.0[0], RecExit::read(&words))
    }

    /// Enters a REC until it comes back with something that is neither an interrupt nor a page to be populated.
    pub fn run(&self, fixture: &mut Fixture<'_>, index: usize, enter: &RecEnter) -> RecExit {
        let mut enter = *enter;
        let mut last = RecExit::default();
        for _ in 0..PATIENCE {
            let (x0, exit) = self.enter(fixture, index, &enter);
            if x0 != 0 {
                fixture.fail(&format!("RMI_REC_ENTER: {}", RmiResult(x0)));
                return exit;
            }
            enter.flags &= enter_flags::TRAP_WFI | enter_flags::TRAP_WFE;
            enter.gicv3_lrs = exit.gicv3_lrs;
            last = exit;
            match ExitReason::decode(exit.exit_reason) {
                Some(ExitReason::Irq) => fixture.host().take_interrupts(),
                Some(ExitReason::Sync) if self.is_missing_page(fixture, &exit) => {
                    self.populate(fixture, (exit.hpfar >> 4) << 12);
                }
                _ => return exit,
            }
        }
        fixture.fail(&format!(
            "the realm does not get further: reason {}, {}, HPFAR {:#x}, CNTV_CTL {:#x}",
            last.exit_reason,
            Syndrome(last.esr),
            last.hpfar,
            last.cntv_ctl
        ));
        last
    }

    /// Enters a REC until it comes back with something that is not an interrupt, a page to be populated included.
    pub fn run_to_page(
        &self,
        fixture: &mut Fixture<'_>,
        index: usize,
        enter: &RecEnter,
    ) -> RecExit {
        for _ in 0..PATIENCE {
            let (x0, exit) = self.enter(fixture, index, enter);
            if x0 != 0 {
                fixture.fail(&format!("RMI_REC_ENTER: {}", RmiResult(x0)));
                return exit;
            }
            if ExitReason::decode(exit.exit_reason) != Some(ExitReason::Irq) {
                return exit;
            }
            fixture.host().take_interrupts();
        }
        fixture.fail("nothing but interrupts");
        RecExit::default()
    }

    fn is_missing_page(&self, fixture: &Fixture<'_>, exit: &RecExit) -> bool {
        let ipa = (exit.hpfar >> 4) << 12;
        let class = exit.esr >> 26;
        let memory = MEMORY..MEMORY + MEMORY_SIZE;
        (class == 0x24 || class == 0x20)
            && memory.contains(&ipa)
            && !fixture
                .find(self.realm.rd)
                .is_some_and(|realm| realm.data.iter().any(|&(at, _)| at == ipa))
    }

    fn populate(&self, fixture: &mut Fixture<'_>, ipa: u64) {
        let data = fixture.delegated();
        let input = data_create_unknown::Input {
            rd: self.realm.rd,
            data,
            ipa,
        };
        fixture.call(Command::DataCreateUnknown, input.encode());
    }

    /// Runs a REC until its next host call: the registers of the call.
    pub fn expect_call(
        &self,
        fixture: &mut Fixture<'_>,
        index: usize,
        enter: &RecEnter,
    ) -> [u64; 31] {
        let exit = self.run(fixture, index, enter);
        if ExitReason::decode(exit.exit_reason) != Some(ExitReason::HostCall)
            || exit.imm != IMMEDIATE
        {
            fixture.fail(&format!(
                "the realm was to make a host call, but left with reason {}: {}",
                exit.exit_reason,
                Syndrome(exit.esr)
            ));
        }
        exit.gprs
    }

    /// The record that has a REC, which waits in a host call, carry out an operation.
    pub fn order(operation: Operation, arguments: &[u64]) -> RecEnter {
        let mut enter = RecEnter::default();
        enter.gprs[0] = operation as u64;
        enter.gprs[1..=arguments.len()].copy_from_slice(arguments);
        enter
    }

    /// Has a REC carry out an operation; its result, from X1 of its next host call.
    pub fn perform(
        &self,
        fixture: &mut Fixture<'_>,
        index: usize,
        operation: Operation,
        arguments: &[u64],
    ) -> [u64; 30] {
        let gprs = self.expect_call(fixture, index, &Self::order(operation, arguments));
        if gprs[0] != operation as u64 {
            fixture.fail("the realm reports another operation than it was told to carry out");
        }
        core::array::from_fn(|i| gprs[i + 1])
    }

    /// What the system register with this encoding holds in a REC.
    pub(crate) fn system(&self, fixture: &mut Fixture<'_>, index: usize, register: u64) -> u64 {
        let range = [register, register + 1];
        let report = self.perform(fixture, index, Operation::ReadRegisters, &range);
        fixture.equal(
            "registers that were read",
            report[..2].to_vec(),
            vec![1, register],
        );
        report[2]
    }

    /// Has a REC carry out an operation that leaves the realm: the exit.
    pub fn provoke(
        &self,
        fixture: &mut Fixture<'_>,
        index: usize,
        operation: Operation,
        arguments: &[u64],
    ) -> RecExit {
        self.run(fixture, index, &Self::order(operation, arguments))
    }
}
