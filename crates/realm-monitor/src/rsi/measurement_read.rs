//! RSI_MEASUREMENT_READ: a measurement of the calling realm.

use cca_abi::rsi::MEASUREMENTS;
use cca_abi::rsi::measurement_read::{Condition, Input, Output};

use super::Stop;
use crate::granule::Rd;
use crate::platform::Platform;
use crate::rec::RunningRec;

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    if input.index >= MEASUREMENTS as u64 {
        return Err(Condition::Index.into());
    }
    // Another REC of the realm may be extending it.
    let rd = running.monitor().lock_owned::<Rd>(running.rd());
    let realm = rd.realm(running.platform());
    Ok(Output {
        value: realm.measurement_words(input.index as usize),
    })
}
