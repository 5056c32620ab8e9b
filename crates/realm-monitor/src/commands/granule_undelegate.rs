//! RMI_GRANULE_UNDELEGATE: a granule that nobody uses goes back to the host (RMM specification 1.0-rel0, chapter B4).

use cca_abi::Outcome;
use cca_abi::rmi::granule_undelegate::{Condition, Input, Output};

use crate::granule::{Delegated, Locked};
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

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Locked<'m, Delegated>, Condition> {
    monitor.lock::<Delegated>(input.addr).map_err(|refused| {
        refused.condition(
            Condition::GranAlign,
            Condition::GranBound,
            Condition::GranState,
        )
    })
}

/// The granule is all zero already: it was wiped when it became DELEGATED.
fn commit<P: Platform>(monitor: &Monitor<P>, granule: Locked<'_, Delegated>) -> Output {
    if let Err(code) = monitor.platform().gtsi_undelegate(granule.address()) {
        panic!(
            "EL3 refuses to take granule {:#x} back: {code}",
            granule.address()
        );
    }
    granule.into_undelegated();
    Output {}
}
