//! A case: a call that succeeds, one change, and what the change has to lead to.

use alloc::format;
use alloc::string::String;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::{Command, FailureKind, ReturnCode, Status};
use cca_abi::smccc::Registers;

use crate::fixture::{Fixture, State};
use crate::{Failure, Host};

/// The variant of cases that need [`Host::foreign`].
pub const FOREIGN: &str = "neither Non-secure nor Realm";

/// The one thing that a case changes in a call that would succeed.
#[derive(Clone, Copy)]
pub enum Change {
    /// Nothing: the call succeeds.
    None,
    /// The operand is not 4 KiB aligned.
    Unaligned,
    /// The operand names a device.
    Device,
    /// The operand names nothing.
    Outside,
    /// The operand names a granule in this state.
    Granule(State),
    /// The operand names a granule in another physical address space than Non-secure and Realm.
    Foreign,
    /// The operand has this value.
    Value(u64),
    /// The operand is XORed with this value.
    Flip(u64),
    /// A word of the structure that the operand points to has this value.
    Word(usize, u64),
    /// Something was done before the call; the fixture knows how to take it back, if it can be.
    Prepare(fn(&mut Fixture<'_>)),
    /// The operands become what the function makes of them.
    Operands(fn(&mut Fixture<'_>, &mut Registers)),
}

/// What X0 has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// What the condition's row in the command table says.
    Condition,
    /// RMI_ERROR_RTT at this level.
    Level(i8),
    /// Success.
    Success,
}

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// The command.
    pub command: Command,
    /// Name of the failure condition, or `success`.
    pub condition: &'static str,
    /// How the condition is brought about.
    pub variant: &'static str,
    /// Operand that the change concerns: 1 for X1.
    pub operand: usize,
    /// The change.
    pub change: Change,
    /// What is expected of it.
    pub expected: Expected,
    /// Whether the unchanged call must succeed afterwards. Not if the change cannot be taken back.
    pub then_succeeds: bool,
    /// Makes the call that succeeds.
    pub valid: fn(&mut Fixture<'_>) -> Registers,
}

impl Case {
    /// A name for people: `RMI_DATA_CREATE/rd_state (rec)`.
    #[must_use]
    pub fn name(&self) -> String {
        if self.variant.is_empty() {
            format!("{}/{}", self.command.name(), self.condition)
        } else {
            format!(
                "{}/{} ({})",
                self.command.name(),
                self.condition,
                self.variant
            )
        }
    }

    /// X0 as it has to be.
    fn expected_x0(&self) -> u64 {
        let kind = self
            .command
            .conditions()
            .iter()
            .find(|condition| condition.name == self.condition)
            .map(|condition| condition.kind);
        let code = match (self.expected, kind) {
            (Expected::Success, _) | (_, None) => ReturnCode::SUCCESS,
            (Expected::Level(level), _) => ReturnCode {
                status: Status::ErrorRtt,
                index: level.cast_unsigned(),
            },
            (_, Some(FailureKind::Input)) => ReturnCode {
                status: Status::ErrorInput,
                index: 0,
            },
            (_, Some(FailureKind::Realm(index))) => ReturnCode {
                status: Status::ErrorRealm,
                index,
            },
            (_, Some(FailureKind::Rec)) => ReturnCode {
                status: Status::ErrorRec,
                index: 0,
            },
            (_, Some(FailureKind::Rtt)) => ReturnCode {
                status: Status::ErrorRtt,
                index: 0,
            },
        };
        code.encode()
    }

    /// Runs the case on a machine.
    ///
    /// # Errors
    /// Says what was expected and what happened.
    pub fn run(&self, host: &dyn Host) -> Result<(), Failure> {
        let before_all = host.snapshot();
        let mut fixture = Fixture::new(host);
        let result = self.run_in(&mut fixture);
        let teardown = fixture.tear_down();
        result?;
        teardown?;
        if host.snapshot() != before_all {
            return Err(Failure(
                "the state after the teardown is not the state before the case".into(),
            ));
        }
        Ok(())
    }

    fn run_in(&self, fixture: &mut Fixture<'_>) -> Result<(), Failure> {
        let valid = (self.valid)(fixture);
        fixture.check()?;
        let mut call = valid;
        self.apply(fixture, &mut call);
        fixture.check()?;

        let state_before = fixture.host().snapshot();
        let mut registers = call;
        fixture.host().smc(&mut registers);
        let expected = self.expected_x0();
        if registers.0[0] != expected {
            return Err(Failure(format!(
                "expected {}, got {}",
                RmiResult(expected),
                RmiResult(registers.0[0])
            )));
        }
        if expected == 0 {
            fixture.succeeded(self.command, &call, &registers);
            return fixture.check();
        }
        if fixture.host().snapshot() != state_before {
            return Err(Failure("the refused command changed the state".into()));
        }
        // The specification has zero in registers that are not results; SMCCC, and our RMM, what the caller had there.
        let kept =
            |(is, was): (&u64, &u64)| is == was || *is == 0 && !fixture.host().has_own_monitor();
        if !registers.0[4..].iter().zip(&call.0[4..]).all(kept)
            && self.command != Command::RttReadEntry
        {
            return Err(Failure("the refused command changed X4 or above".into()));
        }

        fixture.undo();
        if self.then_succeeds {
            let mut registers = valid;
            fixture.host().smc(&mut registers);
            if registers.0[0] != 0 {
                return Err(Failure(format!(
                    "the unchanged call does not succeed: {}",
                    RmiResult(registers.0[0])
                )));
            }
            fixture.succeeded(self.command, &valid, &registers);
        }
        fixture.check()
    }

    fn apply(&self, fixture: &mut Fixture<'_>, call: &mut Registers) {
        let operand = self.operand;
        match self.change {
            Change::None => {}
            Change::Unaligned => call.0[operand] |= 1,
            Change::Device => call.0[operand] = fixture.host().device(),
            Change::Outside => call.0[operand] = fixture.host().outside(),
            Change::Foreign => match fixture.host().foreign() {
                Some(pa) => call.0[operand] = pa,
                None => fixture.fail("the machine has no such granule"),
            },
            Change::Granule(state) => call.0[operand] = fixture.granule_in(state),
            Change::Value(value) => call.0[operand] = value,
            Change::Flip(bits) => call.0[operand] ^= bits,
            Change::Word(word, value) => {
                fixture.save(call.0[operand]);
                fixture.host().write(call.0[operand], word, value);
            }
            Change::Prepare(prepare) => prepare(fixture),
            Change::Operands(change) => {
                fixture.save(call.0[operand]);
                change(fixture, call);
            }
        }
    }
}
