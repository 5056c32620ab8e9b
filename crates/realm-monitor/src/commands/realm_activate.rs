//! RMI_REALM_ACTIVATE: a realm is complete and may run; its initial measurement is final (RMM specification 1.0-rel0, chapter B4).

use cca_abi::Outcome;
use cca_abi::rmi::realm_activate::{Condition, Input, Output};

use crate::granule::{Locked, Rd};
use crate::monitor::Monitor;
use crate::platform::Platform;
use crate::realm::RealmState;

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let rd = check(monitor, input)?;
    Ok(commit(monitor, &rd))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Locked<'m, Rd>, Condition> {
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    if rd.realm(monitor.platform()).state() != RealmState::New {
        return Err(Condition::RealmState);
    }
    Ok(rd)
}

fn commit<P: Platform>(monitor: &Monitor<P>, rd: &Locked<'_, Rd>) -> Output {
    rd.realm(monitor.platform()).set_state(RealmState::Active);
    Output {}
}
