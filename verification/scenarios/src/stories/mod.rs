//! Scenarios with a realm that runs: each tells what the realm does, what the host sees of it and what the realm
//! gets to know.

mod attestation;
mod canaries;
mod counters;
mod encodings;
mod exits;
mod features;
mod interrupts;
mod kvm;
mod leftovers;
mod meanwhile;
mod points;
mod psci;
mod records;
mod ripas;
mod rsi;
mod running;
pub(crate) mod vectors;

use alloc::format;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::run::{ExitReason, RecExit};
use cca_abi::smccc::Registers;

use crate::fixture::Fixture;
use crate::{Failure, Host};

/// What a scenario needs of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing that not every machine has.
    Nothing,
    /// Memory that is neither Non-secure nor Realm ([`Host::foreign`]).
    Foreign,
    /// Registers that realms share with the host ([`Host::registers`]).
    Registers,
    /// A root monitor that gives the RMM a key to attest with.
    Key,
    /// A root monitor that refuses the RMM such a key.
    NoKey,
}

/// One story.
#[derive(Clone, Copy)]
pub struct Story {
    /// What it shows: the command or function, then the condition or behaviour.
    pub name: &'static str,
    /// The failure conditions that it brings about: `COMMAND/condition`.
    pub covers: &'static [&'static str],
    /// What it needs.
    pub needs: Needs,
    /// Tells it; what is not as it must be is told to the fixture.
    pub(crate) tell: fn(&mut Fixture<'_>),
}

impl Story {
    /// Runs the story on a machine.
    ///
    /// # Errors
    /// Says what was expected and what happened.
    pub fn run(&self, host: &dyn Host) -> Result<(), Failure> {
        let before = host.snapshot();
        let mut fixture = Fixture::new(host);
        (self.tell)(&mut fixture);
        let told = fixture.check();
        let teardown = fixture.tear_down();
        told?;
        teardown?;
        if host.snapshot() == before {
            Ok(())
        } else {
            Err(Failure(
                "the state after the teardown is not the state before the story".into(),
            ))
        }
    }
}

pub(crate) fn all() -> impl Iterator<Item = Story> {
    [
        rsi::STORIES,
        attestation::STORIES,
        psci::STORIES,
        ripas::STORIES,
        exits::STORIES,
        records::STORIES,
        features::STORIES,
        running::STORIES,
        meanwhile::STORIES,
        leftovers::STORIES,
        canaries::STORIES,
        encodings::STORIES,
        vectors::STORIES,
        counters::STORIES,
        points::STORIES,
        interrupts::STORIES,
        kvm::STORIES,
    ]
    .into_iter()
    .flatten()
    .copied()
}

impl Fixture<'_> {
    /// Expects two values to be equal.
    pub(crate) fn equal<T: PartialEq + core::fmt::Debug>(&mut self, what: &str, is: T, must: T) {
        if is != must {
            self.fail(&format!("{what}: expected {must:x?}, got {is:x?}"));
        }
    }

    /// Expects an exit for this reason.
    pub(crate) fn reason(&mut self, exit: &RecExit, must: ExitReason) {
        if exit.exit_reason != must as u8 {
            self.fail(&format!(
                "expected an exit for {}, got reason {} with ESR {:#x}",
                must.name(),
                exit.exit_reason,
                exit.esr
            ));
        }
    }

    /// Makes a call that has to be refused with this X0, without a change of state.
    pub(crate) fn refused(&mut self, what: &str, call: Registers, x0: u64) {
        let before = self.host().snapshot();
        let mut registers = call;
        self.host().smc(&mut registers);
        if registers.0[0] != x0 {
            self.fail(&format!(
                "{what}: expected {}, got {}",
                RmiResult(x0),
                RmiResult(registers.0[0])
            ));
        } else if self.host().snapshot() != before {
            self.fail(&format!("{what}: the refused command changed the state"));
        }
    }
}
