//! RMI_RTT_READ_ENTRY: what a translation table says (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2;
use cca_abi::rmi::rtt_read_entry::{Condition, Input, Output};
use cca_abi::rmi::{EntryState, Ripas};
use cca_abi::{Failed, Outcome};

use crate::granule::Rd;
use crate::monitor::Monitor;
use crate::platform::Platform;
use crate::rtt::Walk;

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let walk = check(monitor, input)?;
    let (entry, level, lpa2) = (walk.entry, walk.level, walk.space().lpa2);
    let address = stage2::pack_address(entry.address(lpa2), lpa2);
    let (state, desc, ripas) = if entry.is_table(level) {
        (EntryState::Table, address, Ripas::Empty)
    } else if entry.is_assigned_ns(level) {
        (
            EntryState::Assigned,
            entry.host_descriptor(lpa2),
            Ripas::Empty,
        )
    } else if entry.is_assigned(level) {
        (EntryState::Assigned, address, entry.ripas(level))
    } else {
        (EntryState::Unassigned, 0, entry.ripas(level))
    };
    Ok(Output {
        walk_level: level.into(),
        state: state as u64,
        desc,
        ripas: ripas as u64,
    })
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Walk<'m>, Failed<Condition, Output>> {
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let space = rd.realm(monitor.platform()).address_space();
    let level = space.level(input.level).ok_or(Condition::LevelBound)?;
    if !stage2::is_aligned(input.ipa, input.level) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.contains(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    Ok(Walk::new(monitor, &space, input.ipa, level))
}
