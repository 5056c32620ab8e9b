//! RMI_DATA_DESTROY: a page is taken away from a realm (RMM specification 1.0-rel0, chapter B4).

use cca_abi::rmi::Ripas;
use cca_abi::rmi::data_destroy::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Data, Locked, Rd, is_aligned};
use crate::monitor::Monitor;
use crate::platform::{Platform, TlbScope};
use crate::rtt::{Entry, Walk};

struct Plan<'m> {
    walk: Walk<'m>,
    data: Locked<'m, Data>,
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
    if !is_aligned(input.ipa) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.is_protected(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, 3);
    let condition = if walk.level < 3 {
        Condition::RttWalk
    } else if !walk.entry.is_assigned(walk.level) {
        Condition::RtteState
    } else {
        let data = monitor.lock_owned::<Data>(walk.entry.address(space.lpa2));
        return Ok(Plan { walk, data });
    };
    let top = walk.skip_live(monitor, input.ipa);
    Err(Failed::at_level(condition, walk.level).with_output(Output { data: 0, top }))
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan { mut walk, data } = plan;
    let platform = monitor.platform();
    let was_valid = walk.entry.is_valid();
    let ripas = match walk.entry.ripas(walk.level) {
        Ripas::Empty => Ripas::Empty,
        Ripas::Ram | Ripas::Destroyed => Ripas::Destroyed,
    };
    walk.set(platform, Entry::unassigned(ripas));
    walk.count_down(monitor);
    if was_valid {
        platform.invalidate(TlbScope::Page {
            vmid: walk.space().vmid,
            ipa: input.ipa,
        });
    }
    let top = walk.skip_live(monitor, input.ipa);
    let data = data.into_delegated(platform).address();
    Output { data, top }
}
