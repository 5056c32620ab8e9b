//! RMI_RTT_UNMAP_UNPROTECTED: a mapping of Non-secure memory is removed (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2::{self, PAGE_LEVEL};
use cca_abi::rmi::rtt_unmap_unprotected::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::Rd;
use crate::monitor::Monitor;
use crate::platform::{Platform, TlbScope};
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
    if !stage2::is_aligned(input.ipa, input.level) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.contains(input.ipa) || space.is_protected(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, level);
    let condition = if walk.level < level {
        Condition::RttWalk
    } else if !walk.entry.is_assigned_ns(walk.level) {
        Condition::RtteState
    } else {
        return Ok(walk);
    };
    let top = walk.skip_live(monitor, input.ipa);
    Err(Failed::at_level(condition, walk.level).with_output(Output { top }))
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, mut walk: Walk<'_>) -> Output {
    let platform = monitor.platform();
    let (vmid, ipa, level) = (walk.space().vmid, input.ipa, walk.level);
    walk.set(platform, Entry::unassigned_ns());
    walk.count_down(monitor);
    platform.invalidate(if level == PAGE_LEVEL {
        TlbScope::Page { vmid, ipa }
    } else {
        TlbScope::Block { vmid, ipa, level }
    });
    Output {
        top: walk.skip_live(monitor, ipa),
    }
}
