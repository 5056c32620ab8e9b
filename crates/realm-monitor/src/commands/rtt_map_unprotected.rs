//! RMI_RTT_MAP_UNPROTECTED: Non-secure memory is mapped for a realm (RMM specification 1.0-rel0, chapter B4).
//!
//! Which memory is the host's business: an access by the realm that the granule protection forbids faults.

use aarch64_formats::stage2;
use cca_abi::rmi::rtt_map_unprotected::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::Rd;
use crate::monitor::Monitor;
use crate::platform::Platform;
use crate::rtt::{Entry, Walk};

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let walk = check(monitor, input)?;
    Ok(commit(monitor, input, walk))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Walk<'m>, Failed<Condition, Output>> {
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let space = rd.realm(monitor.platform()).address_space();
    let level = space.leaf_level(input.level).ok_or(Condition::LevelBound)?;
    if !Entry::host_descriptor_is_valid(input.desc, space.lpa2) {
        return Err(Condition::AttrValid.into());
    }
    let address = Entry::host_descriptor_address(input.desc, space.lpa2);
    if !stage2::is_aligned(address, input.level) {
        return Err(Condition::AddrAlign.into());
    }
    if space.is_too_big(address) {
        return Err(Condition::AddrBound.into());
    }
    if !stage2::is_aligned(input.ipa, input.level) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.contains(input.ipa) || space.is_protected(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, level);
    if walk.level < level {
        return Err(Failed::at_level(Condition::RttWalk, walk.level));
    }
    if !walk.entry.is_unassigned() {
        return Err(Failed::at_level(Condition::RtteState, walk.level));
    }
    Ok(walk)
}

/// Invalid entries are not cached, so there is nothing to invalidate.
fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, mut walk: Walk<'_>) -> Output {
    let entry = Entry::assigned_ns(input.desc, walk.level, walk.space().lpa2);
    walk.set(monitor.platform(), entry);
    walk.count_up(monitor);
    monitor.platform().publish_tables();
    Output {}
}
