//! RMI_RTT_INIT_RIPAS: a range of a new realm becomes RAM, without content (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2;
use cca_abi::rmi::Ripas;
use cca_abi::rmi::rtt_init_ripas::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{GRANULE_SIZE, Locked, Rd, is_aligned};
use crate::measurement;
use crate::monitor::Monitor;
use crate::platform::Platform;
use crate::realm::RealmState;
use crate::rtt::{Entry, Walk};

/// Entries that one call measures at most, after which the host calls again for the rest: each takes some 1,500
/// instructions with SHA-512, during which the PE does not look at interrupts.
const MEASURED_AT_A_TIME: u64 = 12;

struct Plan<'m> {
    rd: Locked<'m, Rd>,
    walk: Walk<'m>,
    /// End of the range to process: [`MEASURED_AT_A_TIME`] entries of one table at most.
    end: u64,
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, input, &plan))
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Plan<'m>, Failed<Condition, Output>> {
    let platform = monitor.platform();
    if input.top <= input.base {
        return Err(Condition::SizeValid.into());
    }
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let realm = rd.realm(platform);
    let space = realm.address_space();
    if !is_aligned(input.top) {
        return Err(Condition::TopGranAlign.into());
    }
    if !space.is_protected(input.top - GRANULE_SIZE) {
        return Err(Condition::TopBound.into());
    }
    if realm.state() != RealmState::New {
        return Err(Condition::RealmState.into());
    }
    let walk = Walk::new(monitor, &space, input.base, 3);
    if !stage2::is_aligned(input.base, walk.level.into()) {
        return Err(Failed::at_level(Condition::BaseAlign, walk.level));
    }
    if !walk.entry.is_unassigned() {
        return Err(Failed::at_level(Condition::RtteState, walk.level));
    }
    // The specification's scan passes over ASSIGNED entries, although it refuses one that comes first. Stopping in
    // front of each is the reading under which no page changes its RIPAS by a command that is not about pages.
    let entries = MEASURED_AT_A_TIME.min(platform.most_ripas_entries());
    let top = walk.at_most(input.base, input.top, entries);
    let end = walk.skip_while(platform, input.base, top, Entry::is_unassigned);
    if end == input.base {
        return Err(Failed::at_level(Condition::NoProgress, walk.level));
    }
    Ok(Plan { rd, walk, end })
}

/// Entries that are RAM already are measured again.
fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: &Plan<'_>) -> Output {
    let Plan { rd, walk, end } = plan;
    let platform = monitor.platform();
    let size = stage2::entry_size(walk.level);
    let count = (end - input.base) / size;
    walk.fill(platform, count as usize, Entry::unassigned(Ripas::Ram));
    measurement::extend_ripas(platform, &rd.realm(platform), input.base, size, count);
    Output { out_top: *end }
}
