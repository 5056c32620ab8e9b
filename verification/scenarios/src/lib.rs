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
mod fixture;
mod realm;

use alloc::string::String;

pub use case::{Case, Change, Expected};
pub use fixture::{Fixture, State};
pub use realm::{Realm, RealmState};

use cca_abi::smccc::Registers;

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

    /// A digest of the whole state behind the interface, where the machine can give one: every granule's
    /// state, granule protection, and the content of everything that is not Non-secure.
    fn snapshot(&self) -> Option<u64>;
}

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

/// All cases, command by command.
pub fn cases() -> impl Iterator<Item = Case> {
    commands::all()
}

/// Runs every case on `host` and tells `observe` what became of each.
pub fn run_all<H: Host>(host: &H, mut observe: impl FnMut(&Case, Result<(), &Failure>)) -> Summary {
    let mut summary = Summary::default();
    for case in cases() {
        let result = case.run(host);
        match &result {
            Ok(()) => {
                summary.passed += 1;
                observe(&case, Ok(()));
            }
            Err(failure) => {
                summary.failed += 1;
                observe(&case, Err(failure));
            }
        }
    }
    summary
}
