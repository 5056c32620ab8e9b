//! RSI_IPA_STATE_GET: what a range of protected addresses is, as far as it is the same.

use aarch64_formats::stage2::{self, PAGE_LEVEL};
use cca_abi::GRANULE_SIZE;
use cca_abi::rsi::ipa_state_get::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::RunningRec;
use crate::rtt::Walk;

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    let &Input { base, top } = input;
    if !base.is_multiple_of(GRANULE_SIZE) {
        return Err(Condition::BaseAlign.into());
    }
    if !top.is_multiple_of(GRANULE_SIZE) {
        return Err(Condition::TopAlign.into());
    }
    if top <= base {
        return Err(Condition::SizeValid.into());
    }
    if !running.is_protected(top - 1) {
        return Err(Condition::RgnBound.into());
    }
    let walk = Walk::new(
        running.monitor(),
        &running.realm().address_space(),
        base,
        PAGE_LEVEL,
    );
    let ripas = walk.entry.ripas(walk.level);
    let size = stage2::entry_size(walk.level);
    if top - (base & !(size - 1)) <= size {
        return Ok(Output {
            out_top: top,
            ripas: ripas as u64,
        });
    }
    // The last entry may reach beyond the range.
    let end = top.next_multiple_of(size);
    let same = walk.skip_while(running.platform(), base, end, |entry| {
        !entry.is_table(walk.level) && entry.ripas(walk.level) == ripas
    });
    Ok(Output {
        out_top: same.min(top),
        ripas: ripas as u64,
    })
}
