//! RMI_RTT_CREATE: a table is added below an existing one; it says what its parent entry said (RMM specification 1.0-rel0, chapter B4).

use core::sync::atomic::Ordering::Relaxed;

use aarch64_formats::stage2::{self, Level, TABLE_ENTRIES};
use cca_abi::rmi::rtt_create::{Condition, Input, Output};
use cca_abi::{Failed, Outcome};

use crate::granule::{Delegated, Locked, Rd, Rtt};
use crate::monitor::Monitor;
use crate::platform::{Granule, Platform, TlbScope};
use crate::rtt::{Entry, GROUP, OTHERS_LIVE, Walk};

struct Plan<'m> {
    rtt: Locked<'m, Delegated>,
    walk: Walk<'m>,
    level: Level,
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
    let (rtt, rd) = monitor.lock_pair::<Delegated, Rd>(input.rtt, input.rd);
    let rtt = rtt.map_err(|refused| {
        refused.condition(
            Condition::RttAlign,
            Condition::RttBound,
            Condition::RttState,
        )
    })?;
    let rd = rd.map_err(|refused| {
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
    if space.is_too_big(input.rtt) {
        return Err(Condition::RttBound2.into());
    }
    let walk = Walk::new(monitor, &space, input.ipa, level - 1);
    if walk.level < level - 1 {
        return Err(Failed::at_level(Condition::RttWalk, walk.level));
    }
    if walk.entry.is_table(walk.level) {
        return Err(Failed::at_level(Condition::RtteState, walk.level));
    }
    Ok(Plan { rtt, walk, level })
}

fn commit<P: Platform>(monitor: &Monitor<P>, input: &Input, plan: Plan<'_>) -> Output {
    let Plan {
        rtt,
        mut walk,
        level,
    } = plan;
    let platform = monitor.platform();
    let parent = walk.entry;
    if parent.is_valid() {
        // Break before make: nobody may have the block cached when the table becomes visible.
        walk.set(platform, Entry::default());
        platform.invalidate(TlbScope::Block {
            vmid: walk.space().vmid,
            ipa: input.ipa,
            level: walk.level,
        });
    }
    fill(rtt.words(platform), parent, level);
    let rtt = rtt.into_use::<Rtt>();
    if parent.is_live() {
        // The pages that the block covered are now in the new table; the parent has a TABLE instead of the block.
        rtt.add(TABLE_ENTRIES as u16);
    } else {
        walk.count_up(monitor);
    }
    let entry = Entry::table(rtt.address(), walk.space().lpa2);
    walk.set(platform, entry);
    platform.publish_tables();
    Output {}
}

/// Writes what `parent` means into the entries of a table that is all zero.
fn fill(words: &Granule, parent: Entry, level: Level) {
    if parent == Entry::default() {
        return;
    }
    let first = parent.piece(0, level).0;
    let (step, mark) = if parent.is_live() {
        (stage2::entry_size(level), OTHERS_LIVE)
    } else {
        (0, 0)
    };
    let mut value = first;
    for group in words.as_chunks::<GROUP>().0 {
        let marked = value | mark;
        for word in group {
            word.store(value, Relaxed);
            value += step;
        }
        group[0].store(marked, Relaxed);
    }
}
