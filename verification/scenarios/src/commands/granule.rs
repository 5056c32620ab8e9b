//! RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, granule_delegate, granule_undelegate};

use super::Of;
use crate::case::{Case, Change, FOREIGN};
use crate::fixture::State;

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::GranuleDelegate, |fixture| {
        granule_delegate::Input {
            addr: fixture.delegable(),
        }
        .encode()
    })
    .succeeds("")
    .address(1, "gran_align", "gran_bound")
    .fails(
        "gran_state",
        "delegated",
        1,
        Change::Granule(State::Delegated),
    )
    .fails("gran_state", "rd", 1, Change::Granule(State::Rd))
    .fails("gran_state", "rec", 1, Change::Granule(State::Rec))
    .fails("gran_state", "rtt", 1, Change::Granule(State::Rtt))
    .fails("gran_state", "data", 1, Change::Granule(State::Data))
    .fails("gran_gpt", FOREIGN, 1, Change::Foreign);

    Of::new(cases, Command::GranuleUndelegate, |fixture| {
        granule_undelegate::Input {
            addr: fixture.delegated(),
        }
        .encode()
    })
    .succeeds("")
    .delegated(1, ["gran_align", "gran_bound", "gran_state"]);
}
