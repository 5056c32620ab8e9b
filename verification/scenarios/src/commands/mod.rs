//! The cases, command by command.

mod data;
mod granted;
mod granule;
mod psci_complete;
mod realm;
mod rec;
mod ripas;
mod rtt;
mod unprotected;
mod version;

use alloc::vec::Vec;

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;

use crate::case::{Case, Change, Expected, FOREIGN};
use crate::fixture::{Fixture, State};

/// An IPA of the protected half at which every level starts an entry.
const IPA: u64 = 0x40_0000_0000 / 2;

pub(crate) fn all() -> impl Iterator<Item = Case> {
    let mut cases = Vec::new();
    version::cases(&mut cases);
    granule::cases(&mut cases);
    realm::cases(&mut cases);
    rec::cases(&mut cases);
    data::cases(&mut cases);
    rtt::cases(&mut cases);
    ripas::cases(&mut cases);
    unprotected::cases(&mut cases);
    psci_complete::cases(&mut cases);
    granted::cases(&mut cases);
    cases.into_iter()
}

/// Collects the cases of one command.
struct Of<'c> {
    cases: &'c mut Vec<Case>,
    command: Command,
    valid: fn(&mut Fixture<'_>) -> Registers,
}

/// Makes the call that succeeds.
type Valid = fn(&mut Fixture<'_>) -> Registers;

impl<'c> Of<'c> {
    fn new(cases: &'c mut Vec<Case>, command: Command, valid: Valid) -> Self {
        Self {
            cases,
            command,
            valid,
        }
    }

    fn push(
        &mut self,
        condition: &'static str,
        variant: &'static str,
        operand: usize,
        change: Change,
    ) -> &mut Case {
        let case = Case {
            command: self.command,
            condition,
            variant,
            operand,
            change,
            expected: Expected::Condition,
            then_succeeds: true,
            valid: self.valid,
        };
        self.cases.push(case);
        self.cases.last_mut().expect("a case was just pushed")
    }

    /// The unchanged call.
    fn succeeds(&mut self, variant: &'static str) -> &mut Self {
        self.push("success", variant, 0, Change::None).expected = Expected::Success;
        self
    }

    /// Another call that succeeds.
    fn succeeds_with(&mut self, variant: &'static str, valid: Valid) -> &mut Self {
        let case = self.push("success", variant, 0, Change::None);
        case.expected = Expected::Success;
        case.valid = valid;
        self
    }

    /// A change of an operand that brings about a condition.
    fn fails(
        &mut self,
        condition: &'static str,
        variant: &'static str,
        operand: usize,
        change: Change,
    ) -> &mut Self {
        self.push(condition, variant, operand, change);
        self
    }

    /// As [`Of::fails`], with a level in the status.
    fn fails_at(
        &mut self,
        condition: &'static str,
        variant: &'static str,
        operand: usize,
        change: Change,
        level: i8,
    ) -> &mut Self {
        self.push(condition, variant, operand, change).expected = Expected::Level(level);
        self
    }

    /// Something done before the call that brings about a condition and stays.
    fn fails_after(
        &mut self,
        condition: &'static str,
        variant: &'static str,
        prepare: Valid,
    ) -> &mut Self {
        let case = self.push(condition, variant, 0, Change::None);
        case.then_succeeds = false;
        case.valid = prepare;
        self
    }

    /// As [`Of::fails_after`], with a level in the status.
    fn fails_after_at(
        &mut self,
        condition: &'static str,
        variant: &'static str,
        prepare: Valid,
        level: i8,
    ) -> &mut Self {
        self.fails_after(condition, variant, prepare);
        if let Some(case) = self.cases.last_mut() {
            case.expected = Expected::Level(level);
        }
        self
    }

    /// The conditions of a PA that has to be a realm descriptor.
    fn realm_descriptor(&mut self, operand: usize) -> &mut Self {
        self.address(operand, "rd_align", "rd_bound")
            .fails(
                "rd_state",
                "undelegated",
                operand,
                Change::Granule(State::Undelegated),
            )
            .fails(
                "rd_state",
                "delegated",
                operand,
                Change::Granule(State::Delegated),
            )
            .fails("rd_state", "rec", operand, Change::Granule(State::Rec))
            .fails("rd_state", "rtt", operand, Change::Granule(State::Rtt))
            .fails("rd_state", "data", operand, Change::Granule(State::Data))
    }

    /// The conditions of a PA that has to be a delegated granule.
    fn delegated(&mut self, operand: usize, [align, bound, state]: [&'static str; 3]) -> &mut Self {
        self.address(operand, align, bound)
            .fails(
                state,
                "undelegated",
                operand,
                Change::Granule(State::Undelegated),
            )
            .fails(state, "rd", operand, Change::Granule(State::Rd))
            .fails(state, "rec", operand, Change::Granule(State::Rec))
            .fails(state, "rtt", operand, Change::Granule(State::Rtt))
            .fails(state, "data", operand, Change::Granule(State::Data))
    }

    /// The conditions of a PA that has to be a REC.
    fn rec(&mut self, operand: usize, [align, bound, state]: [&'static str; 3]) -> &mut Self {
        self.address(operand, align, bound)
            .fails(
                state,
                "undelegated",
                operand,
                Change::Granule(State::Undelegated),
            )
            .fails(
                state,
                "delegated",
                operand,
                Change::Granule(State::Delegated),
            )
            .fails(state, "rd", operand, Change::Granule(State::Rd))
            .fails(state, "rtt", operand, Change::Granule(State::Rtt))
            .fails(state, "data", operand, Change::Granule(State::Data))
    }

    /// The conditions of a PA that has to be Non-secure memory.
    fn non_secure(&mut self, operand: usize, [align, bound, pas]: [&'static str; 3]) -> &mut Self {
        self.address(operand, align, bound)
            .fails(pas, "realm", operand, Change::Granule(State::Delegated))
            .fails(pas, "rd", operand, Change::Granule(State::Rd))
            .fails(pas, FOREIGN, operand, Change::Foreign)
    }

    fn address(&mut self, operand: usize, align: &'static str, bound: &'static str) -> &mut Self {
        self.fails(align, "", operand, Change::Unaligned)
            .fails(bound, "device", operand, Change::Device)
            .fails(bound, "outside", operand, Change::Outside)
    }
}
