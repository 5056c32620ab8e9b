//! RSI_FEATURES: no feature register of revision 1.0 has a bit.

use cca_abi::rsi::features::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::RunningRec;

#[inline]
pub(super) fn handle<P: Platform>(
    _running: &RunningRec<'_, P>,
    _input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    Ok(Output { value: 0 })
}
