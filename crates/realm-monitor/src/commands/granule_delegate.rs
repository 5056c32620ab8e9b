//! RMI_GRANULE_DELEGATE: a granule of the host becomes the RMM's (RMM specification 1.0-rel0, chapter B4).

use cca_abi::Outcome;
use cca_abi::rmi::granule_delegate::{Condition, Input, Output};

use crate::granule::{Locked, Undelegated};
use crate::monitor::Monitor;
use crate::platform::Platform;

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let granule = check(monitor, input)?;
    Ok(commit(monitor, granule))
}

/// The last condition is for EL3 to evaluate: it refuses unless the granule is Non-secure, and otherwise has moved
/// it. Nothing can fail after that.
fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Locked<'m, Undelegated>, Condition> {
    let granule = monitor.lock::<Undelegated>(input.addr).map_err(|refused| {
        refused.condition(
            Condition::GranAlign,
            Condition::GranBound,
            Condition::GranState,
        )
    })?;
    monitor
        .platform()
        .gtsi_delegate(input.addr)
        .map_err(|_| Condition::GranGpt)?;
    Ok(granule)
}

fn commit<P: Platform>(monitor: &Monitor<P>, granule: Locked<'_, Undelegated>) -> Output {
    granule.into_delegated(monitor.platform());
    Output {}
}
