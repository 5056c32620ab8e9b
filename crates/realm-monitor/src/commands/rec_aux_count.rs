//! RMI_REC_AUX_COUNT: how many auxiliary granules each REC of a realm needs (RMM specification 1.0-rel0, chapter B4).

use cca_abi::Outcome;
use cca_abi::rmi::rec_aux_count::{Condition, Input, Output};

use crate::granule::Rd;
use crate::monitor::Monitor;
use crate::platform::Platform;

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    Ok(Output {
        aux_count: rd.realm(monitor.platform()).aux_count(),
    })
}
