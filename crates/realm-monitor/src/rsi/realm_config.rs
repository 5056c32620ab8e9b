//! RSI_REALM_CONFIG: writes the realm's configuration into a page of its memory.

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::GRANULE_SIZE;
use cca_abi::rsi::RealmConfig;
use cca_abi::rsi::realm_config::{Condition, Input, Output};

use super::Stop;
use crate::platform::Platform;
use crate::rec::RunningRec;

pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    input: &Input,
) -> Result<Output, Stop<Condition, Output>> {
    if !input.addr.is_multiple_of(GRANULE_SIZE) {
        return Err(Condition::AddrAlign.into());
    }
    if !running.is_protected(input.addr) {
        return Err(Condition::AddrBound.into());
    }
    let realm = running.realm();
    let config = RealmConfig {
        ipa_width: realm.ipa_bits().into(),
        hash_algo: realm.hash_algorithm() as u8,
        rpv: realm.rpv(),
    };
    running
        .with_page(input.addr, |page| {
            for word in page {
                word.store(0, Relaxed);
            }
            for (index, value) in config.fields() {
                page[index].store(value, Relaxed);
            }
        })
        .map_err(|why| Stop::inaccessible(why, Condition::Empty))?;
    Ok(Output {})
}
