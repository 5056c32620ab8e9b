//! RSI_ATTESTATION_TOKEN_INIT: begins a token over a challenge.
//!
//! The claims are those of this moment. A token that was begun before is forgotten.

use cca_abi::rsi::attestation_token_init::{Condition, Input, Output};
use realm_token::TOKEN_MAX;

use super::Stop;
use crate::granule::Rd;
use crate::platform::Platform;
use crate::rec::{RunningRec, TokenState, layout};

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    if running.platform().attestation().is_none() {
        return Err(Condition::Unknown.into());
    }
    let context = running.context;
    for (n, word) in input.challenge.into_iter().enumerate() {
        context.set(layout::ATTEST_CHALLENGE + n, word);
    }
    {
        // Another REC of the realm may be extending a measurement.
        let rd = running.monitor().lock_owned::<Rd>(running.rd());
        let realm = rd.realm(running.platform());
        for slot in 0..layout::ATTEST_MEASUREMENT_SLOTS {
            let first = layout::ATTEST_MEASUREMENTS + slot * layout::ATTEST_MEASUREMENT_WORDS;
            for (n, chunk) in realm.measurement(slot).as_chunks().0.iter().enumerate() {
                context.set(first + n, u64::from_le_bytes(*chunk));
            }
        }
    }
    running.monitor().places().forget(running.address());
    context.set(layout::ATTEST_OFFSET, 0);
    TokenState::Begun.put(context);
    Ok(Output {
        max_size: TOKEN_MAX as u64,
    })
}
