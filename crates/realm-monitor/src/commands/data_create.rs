//! RMI_DATA_CREATE: a copy of a Non-secure granule becomes measured memory of a new realm (RMM specification 1.0-rel0, chapter B4).

use cca_abi::rmi::data_create::{Condition, Input, Output};
use cca_abi::rmi::{DATA_FLAG_MEASURE, Ripas};
use cca_abi::{Failed, Outcome};

use crate::granule::{Data, Delegated, Locked, Rd, is_aligned};
use crate::measurement;
use crate::monitor::Monitor;
use crate::platform::{AccessFault, Platform};
use crate::realm::RealmState;
use crate::rtt::{Entry, Walk};

type Refusal = Failed<Condition, Output>;

struct Plan<'m> {
    /// Still DELEGATED, but with the content of the source.
    data: Locked<'m, Delegated>,
    rd: Locked<'m, Rd>,
    walk: Walk<'m>,
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, input, plan))
}

fn check<'m, P: Platform>(monitor: &'m Monitor<P>, input: &Input) -> Result<Plan<'m>, Refusal> {
    let platform = monitor.platform();
    if input.flags & !DATA_FLAG_MEASURE != 0 {
        return Err(Condition::Flags.into());
    }
    if !is_aligned(input.src) {
        return Err(Condition::SrcAlign.into());
    }
    if !monitor.granules().banks().contains(input.src) {
        return Err(Condition::SrcBound.into());
    }
    // A look at one word settles the condition in its place. The copy comes last, and can still fault.
    platform
        .read_non_secure(input.src, 0, &mut [0])
        .map_err(|AccessFault| Condition::SrcPas)?;

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
    let realm = rd.realm(platform);
    let space = realm.address_space();
    if space.is_too_big(input.data) {
        return Err(Condition::DataBound2.into());
    }
    if realm.state() != RealmState::New {
        return Err(Condition::RealmState.into());
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
    if let Err(AccessFault) = platform.copy_from_non_secure(input.src, input.data) {
        platform.zero_granule(input.data);
        return Err(Condition::SrcPas.into());
    }
    Ok(Plan { data, rd, walk })
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan { data, rd, mut walk } = plan;
    let platform = monitor.platform();
    let realm = rd.realm(platform);
    // What is measured is what was copied, not what the source holds by now.
    let content = measurement::data_content(platform, &realm, input.flags, data.words(platform));
    measurement::extend_data(platform, &realm, input.ipa, input.flags, &content);
    data.into_use::<Data>();
    walk.count_up(monitor);
    let entry = Entry::assigned(Ripas::Ram, input.data, walk.level, walk.space().lpa2);
    walk.set(platform, entry);
    platform.publish_tables();
    Output {}
}
