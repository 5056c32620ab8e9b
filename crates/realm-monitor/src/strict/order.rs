//! The other one of two failure conditions.
//!
//! Where two conditions hold and the specification does not say which one is reported (RMM specification 1.0-rel0, the orderings of
//! each command), the monitor reports the one that comes first in the command table, and the strict one the other.

use aarch64_formats::stage2;
use cca_abi::rmi::{
    Command, FailureKind, ReturnCode, Status, data_create, data_create_unknown, rec_create,
    rec_enter, rtt_create,
};
use cca_abi::smccc::Registers;
use cca_abi::{Condition, Failed};

use crate::granule::{Rd, Rec, is_aligned};
use crate::monitor::Monitor;
use crate::platform::{Platform, RecContext};
use crate::realm::RealmState;
use crate::rec::layout;
use crate::rtt::Walk;

/// A failure condition that holds: what it reports, and its name.
type Found = (ReturnCode, &'static str);

/// What `call`, which was refused with `reported`, may be refused with as well: `None` if nothing else is wrong with it.
///
/// The refused command has changed nothing. Who looks again may find the state that another PE has made meanwhile; what holds then has
/// held during the call, too.
pub(super) fn other<P: Platform>(
    monitor: &Monitor<P>,
    command: Command,
    call: &Registers,
    reported: ReturnCode,
) -> Option<Found> {
    match (command, reported.status) {
        (Command::RecEnter, Status::ErrorRealm) => {
            rec_is_idle(monitor, &rec_enter::Input::decode(call))
        }
        (Command::RecCreate, Status::ErrorInput) => {
            realm_is_not_new(monitor, &rec_create::Input::decode(call))
        }
        (Command::DataCreate, Status::ErrorInput | Status::ErrorRealm) => {
            use data_create::Condition::{RttWalk, RtteState};
            let input = data_create::Input::decode(call);
            page_is_not_free(monitor, input.rd, input.ipa, [RttWalk, RtteState])
        }
        (Command::DataCreateUnknown, Status::ErrorInput) => {
            use data_create_unknown::Condition::{RttWalk, RtteState};
            let input = data_create_unknown::Input::decode(call);
            page_is_not_free(monitor, input.rd, input.ipa, [RttWalk, RtteState])
        }
        (Command::RttCreate, Status::ErrorInput) => {
            table_has_no_place(monitor, &rtt_create::Input::decode(call))
        }
        _ => None,
    }
}

fn rec_is_idle<P: Platform>(monitor: &Monitor<P>, input: &rec_enter::Input) -> Option<Found> {
    let rec = monitor.lock::<Rec>(input.rec).ok()?;
    let context = RecContext(rec.words(monitor.platform()));
    if context.get(layout::RUNNABLE) == 0 {
        Some(found(rec_enter::Condition::RecRunnable))
    } else if context.get(layout::PSCI_PENDING) != 0 {
        Some(found(rec_enter::Condition::RecPsci))
    } else {
        None
    }
}

fn realm_is_not_new<P: Platform>(monitor: &Monitor<P>, input: &rec_create::Input) -> Option<Found> {
    let rd = monitor.lock::<Rd>(input.rd).ok()?;
    let is_new = rd.realm(monitor.platform()).state() == RealmState::New;
    (!is_new).then(|| found(rec_create::Condition::RealmState))
}

/// About an address that is one: else a condition holds that comes first by all means.
fn page_is_not_free<P: Platform, C: Condition<Kind = FailureKind>>(
    monitor: &Monitor<P>,
    rd: u64,
    ipa: u64,
    [no_table, not_free]: [C; 2],
) -> Option<Found> {
    let rd = monitor.lock::<Rd>(rd).ok()?;
    let space = rd.realm(monitor.platform()).address_space();
    if !is_aligned(ipa) || !space.is_protected(ipa) {
        return None;
    }
    let walk = Walk::new(monitor, &space, ipa, stage2::PAGE_LEVEL);
    if walk.level < stage2::PAGE_LEVEL {
        Some(found_at(no_table, walk.level))
    } else if !walk.entry.is_unassigned() {
        Some(found_at(not_free, walk.level))
    } else {
        None
    }
}

/// As [`page_is_not_free`], about a level and an address that are one.
fn table_has_no_place<P: Platform>(
    monitor: &Monitor<P>,
    input: &rtt_create::Input,
) -> Option<Found> {
    let rd = monitor.lock::<Rd>(input.rd).ok()?;
    let space = rd.realm(monitor.platform()).address_space();
    let above = space.table_level(input.level)? - 1;
    if !stage2::is_aligned(input.ipa, above.into()) || !space.contains(input.ipa) {
        return None;
    }
    let walk = Walk::new(monitor, &space, input.ipa, above);
    if walk.level < above {
        Some(found_at(rtt_create::Condition::RttWalk, walk.level))
    } else if walk.entry.is_table(walk.level) {
        Some(found_at(rtt_create::Condition::RtteState, walk.level))
    } else {
        None
    }
}

fn found(condition: impl Condition<Kind = FailureKind>) -> Found {
    found_at(condition, 0)
}

fn found_at(condition: impl Condition<Kind = FailureKind>, level: i8) -> Found {
    let failed: Failed<_, ()> = Failed::at_level(condition, level);
    (failed.return_code(), condition.name())
}
