//! RSI_VERSION: one revision is supported.

use cca_abi::Failed;
use cca_abi::rmi::InterfaceVersion;
use cca_abi::rsi::version::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::RunningRec;

#[inline]
pub(super) fn handle<P: Platform>(
    _running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    let supported = InterfaceVersion::V1_0.encode();
    let output = Output {
        lower: supported,
        higher: supported,
    };
    if input.req == supported {
        Ok(output)
    } else {
        Err(Stop::Failed(
            Failed::new(Condition::Incompatible).with_output(output),
        ))
    }
}
