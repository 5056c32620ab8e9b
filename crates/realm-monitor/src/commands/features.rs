//! RMI_FEATURES: what this RMM can do (RMM specification 1.0-rel0, chapter B4). Cannot fail; a register that does not exist is zero.

use cca_abi::Outcome;
use cca_abi::rmi::features::{Condition, Input, Output};

use crate::monitor::Monitor;
use crate::platform::Platform;

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let value = if input.index == 0 {
        monitor.features().encode()
    } else {
        0
    };
    Ok(Output { value })
}
