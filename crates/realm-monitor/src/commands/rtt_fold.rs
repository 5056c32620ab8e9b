//! RMI_RTT_FOLD: a homogeneous table is removed, and its parent entry says the same (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::stage2::{self, Level, TABLE_ENTRIES};
use cca_abi::rmi::rtt_fold::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Locked, Rd, Rtt};
use crate::monitor::Monitor;
use crate::platform::{Granule, Platform, TlbScope};
use crate::rtt::{Entry, Walk};

struct Plan<'m> {
    walk: Walk<'m>,
    rtt: Locked<'m, Rtt>,
    folded: Entry,
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
    let platform = monitor.platform();
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    let space = rd.realm(platform).address_space();
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
    if walk.level < level - 1 {
        return Err(Failed::at_level(Condition::RttWalk, walk.level));
    }
    if !walk.entry.is_table(walk.level) {
        return Err(Failed::at_level(Condition::RtteState, walk.level));
    }
    let rtt = monitor.lock_owned::<Rtt>(walk.entry.address(space.lpa2));
    let folded = fold(rtt.words(platform), rtt.count(), level, space.lpa2)
        .ok_or_else(|| Failed::at_level(Condition::RttHomo, level))?;
    Ok(Plan { walk, rtt, folded })
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan {
        mut walk,
        rtt,
        folded,
    } = plan;
    let platform = monitor.platform();
    let vmid = walk.space().vmid;
    let ipa = input.ipa;
    if folded.is_valid() {
        // Break before make: the pages must be forgotten before the block becomes visible.
        walk.set(platform, Entry::default());
        platform.invalidate(TlbScope::Range {
            vmid,
            ipa,
            size: stage2::entry_size(walk.level),
        });
        walk.set(platform, folded);
        platform.publish_tables();
    } else {
        walk.set(platform, folded);
        platform.invalidate(TlbScope::Table { vmid, ipa });
    }
    if folded.is_unassigned() {
        walk.count_down(monitor);
    }
    Output {
        rtt: rtt.into_delegated(platform).address(),
    }
}

/// The entry of the level above that says the same as a table at `level` with `count` live entries;
/// `None` if there is no such entry.
fn fold(words: &Granule, count: u16, level: Level, lpa2: bool) -> Option<Entry> {
    if count != 0 && usize::from(count) != TABLE_ENTRIES {
        return None;
    }
    let first = Entry::read(&words[0]);
    let step = if first.is_unassigned() {
        0
    } else {
        // There are no blocks at level 0, and a block is as aligned as it is big.
        let block = stage2::is_aligned(first.address(lpa2), i64::from(level) - 1);
        if first.is_table(level) || level < 2 || !block {
            return None;
        }
        stage2::entry_size(level)
    };
    // Entries with the same state, attributes and RIPAS differ in the address only.
    let mut expected = first.0;
    for word in words {
        if Entry::read(word).0 != expected {
            return None;
        }
        expected += step;
    }
    Some(first.block(level - 1))
}
