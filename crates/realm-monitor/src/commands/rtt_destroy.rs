//! RMI_RTT_DESTROY: a table without live content is removed, and what it said is lost (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2;
use cca_abi::rmi::Ripas;
use cca_abi::rmi::rtt_destroy::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Locked, Rd, Rtt};
use crate::monitor::Monitor;
use crate::platform::{Platform, TlbScope};
use crate::rtt::{Entry, Walk};

struct Plan<'m> {
    walk: Walk<'m>,
    rtt: Locked<'m, Rtt>,
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, input, plan))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Plan<'m>, Failed<Condition, Output>> {
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let space = rd.realm(monitor.platform()).address_space();
    let level = space
        .table_level(input.level)
        .ok_or(Condition::LevelBound)?;
    if !stage2::is_aligned(input.ipa, input.level - 1) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.contains(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, level - 1);
    let condition = if walk.level < level - 1 {
        Condition::RttWalk
    } else if !walk.entry.is_table(walk.level) {
        Condition::RtteState
    } else {
        let rtt = monitor.lock_owned::<Rtt>(walk.entry.address(space.lpa2));
        if rtt.is_in_use(monitor.platform(), level) {
            let output = Output {
                rtt: 0,
                top: input.ipa,
            };
            return Err(Failed::at_level(Condition::RttLive, level).with_output(output));
        }
        return Ok(Plan { walk, rtt });
    };
    let top = walk.skip_live(monitor, input.ipa);
    Err(Failed::at_level(condition, walk.level).with_output(Output { rtt: 0, top }))
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan { mut walk, rtt } = plan;
    let platform = monitor.platform();
    let vmid = walk.space().vmid;
    let ipa = input.ipa;
    let (entry, scope) = if walk.space().is_protected(ipa) {
        (
            Entry::unassigned(Ripas::Destroyed),
            TlbScope::Table { vmid, ipa },
        )
    } else {
        // Mappings of Non-secure memory do not keep a table alive, but they may be cached.
        let size = stage2::entry_size(walk.level);
        let scope = if rtt.count() != 0 {
            TlbScope::Range { vmid, ipa, size }
        } else {
            TlbScope::Table { vmid, ipa }
        };
        (Entry::unassigned_ns(), scope)
    };
    walk.set(platform, entry);
    walk.count_down(monitor);
    platform.invalidate(scope);
    let top = walk.skip_live(monitor, ipa);
    let rtt = rtt.into_delegated(platform).address();
    Output { rtt, top }
}
