//! Scenarios: one per failure condition of each RMI command, run against every machine alike.
//!
//! A case starts from a call that succeeds, changes one thing, and expects the status that the condition
//! reports. Afterwards the whole state has to be what it was before, and the unchanged call has to succeed: so
//! the one thing that was changed is what the command objected to. Then everything is taken down again and no
//! granule may be missing.
//!
//! Where the scenarios run is behind [`Host`]: the in-process machine, or a payload at NS-EL2 on QEMU.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod case;
mod commands;
pub mod coverage;
mod fixture;
pub mod priorities;
mod puppet;
mod realm;
mod shared_registers;
mod stories;

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

pub use case::{Case, Change, Expected, FOREIGN};
pub use fixture::{Fixture, State};
pub use puppet::Puppet;
pub use realm::{Realm, RealmState};
pub use shared_registers::SharedRegisters;
pub use stories::{Needs, Story};

use cca_abi::smccc::Registers;
use realm_token::PUBLIC_KEY_SIZE;

/// The machine as a host at NS-EL2 sees it.
pub trait Host {
    /// Makes one SMC.
    fn smc(&self, registers: &mut Registers);

    /// A Non-secure granule that nobody uses: its PA. It may be handed out again after [`Host::free`].
    fn allocate(&self) -> u64;

    /// Several Non-secure granules in a row, aligned to their total size: the PA of the first.
    fn allocate_contiguous(&self, granules: u64) -> u64;

    /// Takes back a granule that is Non-secure again.
    fn free(&self, pa: u64);

    /// Reads a word of a Non-secure granule.
    fn read(&self, pa: u64, word: usize) -> u64;

    /// Writes a word of a Non-secure granule.
    fn write(&self, pa: u64, word: usize, value: u64);

    /// PA of a device: aligned, and nothing that may be delegated.
    fn device(&self) -> u64;

    /// An aligned PA outside all memory.
    fn outside(&self) -> u64;

    /// An aligned PA that the normal world reaches and where nothing answers; `None` if the machine has no such thing.
    fn hole(&self) -> Option<u64> {
        None
    }

    /// The raw image of [`realm_guest::puppet`], as words, or whatever stands for it where the program is not
    /// machine code.
    fn puppet_image(&self) -> &[u64];

    /// Takes the interrupts that are pending on this PE, so that a realm can run on.
    fn take_interrupts(&self);

    /// The counter of this PE.
    fn counter(&self) -> u64;

    /// Has this PE interrupted once its counter has reached a value, or no more with `None`.
    fn interrupt_at(&self, deadline: Option<u64>);

    /// Whether the root monitor gives the RMM a key to attest with.
    fn attests(&self) -> bool;

    /// The public part of the platform's attestation key, an uncompressed point; `None` if the machine's firmware has an
    /// identity of its own, of which nobody told the scenarios.
    fn platform_key(&self) -> Option<[u8; PUBLIC_KEY_SIZE]>;

    /// A granule that may be delegated as far as the RMM knows, but is in neither the Non-secure nor the Realm
    /// physical address space; `None` if the machine has no such thing.
    fn foreign(&self) -> Option<u64>;

    /// Starts a call on another PE and does not wait for it.
    ///
    /// # Errors
    /// There is no other PE.
    fn start_elsewhere(&self, registers: Registers) -> Result<(), NoOtherPe>;

    /// Interrupts the other PE until its call has ended: the registers then.
    fn finish_elsewhere(&self) -> Registers;

    /// The results of the call on the other PE, if it has ended by itself.
    fn poll_elsewhere(&self) -> Option<Registers>;

    /// What each PE of the host reads in the first word of a granule; `None` where the access is not allowed.
    fn probe(&self, pa: u64) -> Vec<Option<u64>>;

    /// Lets a private interrupt that the realm's own use of the PE raises end its run, or no more. Where there is no such
    /// switch it always does.
    fn set_interrupt(&self, intid: u32, enabled: bool) {
        let _ = (intid, enabled);
    }

    /// The registers that realms share with this PE; `None` where vCPUs are simulated without them.
    fn registers(&self) -> Option<&dyn SharedRegisters> {
        None
    }

    /// Whether the RMM is ours as it is shipped. Where it is not, scenarios expect what the specification asks of every
    /// RMM, and no more.
    fn has_own_monitor(&self) -> bool {
        true
    }

    /// A digest of the whole state behind the interface, where the machine can give one: every granule's
    /// state, granule protection, and the content of everything that is not Non-secure.
    fn snapshot(&self) -> Option<u64>;
}

/// The machine has one PE only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoOtherPe;

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// What happened in a run over all cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
}

/// A scenario.
#[derive(Clone, Copy)]
pub enum Scenario {
    /// A single call.
    Case(Case),
    /// A realm that runs.
    Story(Story),
}

impl Scenario {
    /// A name for people.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Scenario::Case(case) => case.name(),
            Scenario::Story(story) => story.name.into(),
        }
    }

    /// What the scenario shows: `COMMAND/condition` for each failure condition that it brings about, or
    /// `COMMAND/success`.
    #[must_use]
    pub fn covers(&self) -> Vec<String> {
        match self {
            Scenario::Case(case) => vec![format!("{}/{}", case.command.name(), case.condition)],
            Scenario::Story(story) => story.covers.iter().map(|&what| what.into()).collect(),
        }
    }

    /// What the scenario needs of a machine.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self {
            Scenario::Case(case) if case.variant == FOREIGN => Needs::Foreign,
            Scenario::Case(_) => Needs::Nothing,
            Scenario::Story(story) => story.needs,
        }
    }

    /// Whether a machine has what the scenario needs.
    #[must_use]
    pub fn possible(&self, host: &dyn Host) -> bool {
        match self.needs() {
            Needs::Nothing => true,
            Needs::Foreign => host.foreign().is_some(),
            Needs::Registers => host.registers().is_some(),
            Needs::Key => host.attests(),
            Needs::NoKey => !host.attests(),
        }
    }

    /// Runs the scenario on a machine.
    ///
    /// # Errors
    /// Says what was expected and what happened.
    pub fn run(&self, host: &dyn Host) -> Result<(), Failure> {
        match self {
            Scenario::Case(case) => case.run(host),
            Scenario::Story(story) => story.run(host),
        }
    }
}

/// All scenarios: the cases command by command, then the stories.
pub fn scenarios() -> impl Iterator<Item = Scenario> {
    commands::all()
        .chain(priorities::cases())
        .map(Scenario::Case)
        .chain(stories::all().map(Scenario::Story))
}

/// Runs every scenario that `choose` takes on `host` and tells `observe` what became of each.
pub fn run_some(
    host: &dyn Host,
    choose: impl Fn(&Scenario) -> bool,
    mut observe: impl FnMut(&Scenario, Result<(), &Failure>),
) -> Summary {
    let mut summary = Summary::default();
    let chosen = scenarios().filter(|scenario| choose(scenario) && scenario.possible(host));
    for scenario in chosen {
        match scenario.run(host) {
            Ok(()) => {
                summary.passed += 1;
                observe(&scenario, Ok(()));
            }
            Err(failure) => {
                summary.failed += 1;
                observe(&scenario, Err(&failure));
            }
        }
    }
    summary
}
