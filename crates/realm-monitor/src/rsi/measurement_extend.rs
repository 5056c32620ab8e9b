//! RSI_MEASUREMENT_EXTEND: an extensible measurement (REM) takes in a value of the realm's choice.
//!
//! The new measurement is the digest of the old one, without padding, followed by the value.

use cca_abi::rsi::MEASUREMENTS;
use cca_abi::rsi::measurement_extend::{Condition, Input, Output};

use super::Stop;
use crate::granule::Rd;
use crate::measurement;
use crate::platform::Platform;
use crate::rec::RunningRec;

/// Size of the value in bytes, at most.
const MOST: usize = 64;

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    if input.index < 1 || input.index >= MEASUREMENTS as u64 {
        return Err(Condition::Index.into());
    }
    if input.size > MOST as u64 {
        return Err(Condition::Size.into());
    }
    let (slot, size) = (input.index as usize, input.size as usize);
    let mut value = [0; MOST];
    for (bytes, word) in value.as_chunks_mut().0.iter_mut().zip(input.value) {
        *bytes = word.to_le_bytes();
    }

    let rd = running.monitor().lock_owned::<Rd>(running.rd());
    let realm = rd.realm(running.platform());
    let algorithm = realm.hash_algorithm();
    let old = algorithm.digest_size();
    let mut message = [0; 64 + MOST];
    message[..old].copy_from_slice(&realm.measurement(slot)[..old]);
    message[old..old + size].copy_from_slice(&value[..size]);
    realm.set_measurement(
        slot,
        &measurement::digest(running.platform(), algorithm, &message[..old + size]),
    );
    Ok(Output {})
}
