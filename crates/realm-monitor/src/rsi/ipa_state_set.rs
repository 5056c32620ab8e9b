//! RSI_IPA_STATE_SET: asks the host to change what a range of protected addresses is.
//!
//! The host carries it out with RMI_RTT_SET_RIPAS; the next entry tells the realm how far it got.

use cca_abi::GRANULE_SIZE;
use cca_abi::rmi::Ripas;
use cca_abi::rsi::CHANGE_DESTROYED;
use cca_abi::rsi::ipa_state_set::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::{Exit, LastExit, RunningRec, layout};

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    let Some(ripas @ (Ripas::Empty | Ripas::Ram)) = Ripas::decode(input.ripas) else {
        return Err(Condition::RipasValid.into());
    };
    let &Input { base, top, .. } = input;
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
    let context = running.context;
    context.set(layout::RIPAS_ADDR, base);
    context.set(layout::RIPAS_TOP, top);
    context.set(layout::RIPAS_VALUE, ripas as u64);
    context.set(layout::RIPAS_DESTROYED, input.flags & CHANGE_DESTROYED);
    context.set(layout::LAST_EXIT, LastExit::RipasChange as u64);
    Err(Stop::Exit(Exit::RipasChange { base, top, ripas }))
}
