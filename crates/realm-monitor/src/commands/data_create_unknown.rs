//! RMI_DATA_CREATE_UNKNOWN: a granule with wiped content becomes memory of a realm (RMM specification 1.0-rel0, chapter B4).

use cca_abi::rmi::data_create_unknown::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Data, Delegated, Locked, Rd, is_aligned};
use crate::monitor::Monitor;
use crate::platform::Platform;
use crate::rtt::{Entry, Walk};

struct Plan<'m> {
    data: Locked<'m, Delegated>,
    walk: Walk<'m>,
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, plan))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Plan<'m>, Failed<Condition, Output>> {
    let (data, rd) = monitor.lock_pair::<Delegated, Rd>(input.data, input.rd);
    let data = data.map_err(|refused| {
        refused.condition(
            Condition::DataAlign,
            Condition::DataBound,
            Condition::DataState,
        )
    })?;
    let rd = rd.map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let space = rd.realm(monitor.platform()).address_space();
    if space.is_too_big(input.data) {
        return Err(Condition::DataBound2.into());
    }
    if !is_aligned(input.ipa) {
        return Err(Condition::IpaAlign.into());
    }
    if !space.is_protected(input.ipa) {
        return Err(Condition::IpaBound.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, 3);
    if walk.level < 3 {
        return Err(Failed::at_level(Condition::RttWalk, walk.level));
    }
    if !walk.entry.is_unassigned() {
        return Err(Failed::at_level(Condition::RtteState, walk.level));
    }
    Ok(Plan { data, walk })
}

/// The RIPAS stays: a page in a hole that the host tore does not become accessible by mapping something there.
fn commit<P: Platform>(monitor: &Monitor<P>, plan: Plan<'_>) -> Output {
    let Plan { data, mut walk } = plan;
    let data = data.into_use::<Data>();
    walk.count_up(monitor);
    let ripas = walk.entry.ripas(walk.level);
    let entry = Entry::assigned(ripas, data.address(), walk.level, walk.space().lpa2);
    walk.set(monitor.platform(), entry);
    if entry.is_valid() {
        monitor.platform().publish_tables();
    }
    Output {}
}
