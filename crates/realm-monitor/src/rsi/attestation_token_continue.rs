//! RSI_ATTESTATION_TOKEN_CONTINUE: this monitor has no attestation key, so it has no such command.

use cca_abi::rsi::attestation_token_continue::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::RunningRec;

pub(super) fn handle<P: Platform>(
    _running: &RunningRec<'_, P>,
    _input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    Err(Stop::NotSupported)
}
