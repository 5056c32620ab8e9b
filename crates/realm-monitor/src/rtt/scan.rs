//! Scans of the rest of a table, from the entry where a walk ended: how far the host can skip.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aarch64_formats::stage2::{self, Level};
use cca_abi::rmi::Ripas;

use super::{Entry, GROUP, OTHERS_LIVE, Walk};
use crate::granule::{Locked, Rtt};
use crate::monitor::Monitor;
use crate::platform::{Granule, Platform};

impl Walk<'_> {
    /// IPA of the first live entry at or above `ipa` in the table, or of the end of the table if there is none.
    /// Exactly `ipa` if the entry that covers it is live.
    #[must_use]
    pub fn skip_live<P: Platform>(&self, monitor: &Monitor<P>, ipa: u64) -> u64 {
        if self.entry.is_live() {
            return ipa;
        }
        let size = stage2::entry_size(self.level);
        let table = monitor.platform().granule(self.table());
        let end = stage2::entries(self.level);
        let live = if self.count(monitor) == 0 {
            end
        } else {
            first_live(table, self.index(), end)
        };
        (ipa & !(size - 1)) + (live - self.index()) as u64 * size
    }

    /// The end of the range from `base` on in which every entry of the table passes `include`, but not beyond `top`,
    /// rounded down to whole entries.
    #[must_use]
    pub fn skip_while(
        &self,
        platform: &impl Platform,
        base: u64,
        top: u64,
        include: impl Fn(Entry) -> bool,
    ) -> u64 {
        let size = stage2::entry_size(self.level);
        let top = top & !(size - 1);
        let mut at = base & !(size - 1);
        let rest = &platform.granule(self.table())[self.index()..stage2::entries(self.level)];
        for word in rest {
            if at >= top || !include(Entry::read(word)) {
                break;
            }
            at += size;
        }
        at.min(top)
    }

    /// The end of the range from `base` to `top`, or of its first `entries` entries if it has more.
    #[must_use]
    pub fn at_most(&self, base: u64, top: u64, entries: u64) -> u64 {
        let size = stage2::entry_size(self.level);
        top.min((base & !(size - 1)).saturating_add(size.saturating_mul(entries)))
    }

    /// The end of the range from `base` to at most `top` that a RIPAS change can process: it stops in front of a
    /// TABLE entry and, unless `change_destroyed`, of one whose RIPAS is DESTROYED.
    #[must_use]
    pub fn skip_ripas(
        &self,
        platform: &impl Platform,
        base: u64,
        top: u64,
        change_destroyed: bool,
    ) -> u64 {
        self.skip_while(platform, base, top, |entry| {
            !entry.is_table(self.level)
                && (change_destroyed || entry.ripas(self.level) != Ripas::Destroyed)
        })
    }
}

impl Locked<'_, Rtt> {
    /// Whether the table, which is at `level`, has TABLE or ASSIGNED entries: those that somebody has to remove before
    /// the table can go. Mappings of Non-secure memory go with it.
    #[must_use]
    pub fn is_in_use(&self, platform: &impl Platform, level: Level) -> bool {
        let in_use = |entry: Entry| entry.is_live() && !entry.is_assigned_ns(level);
        self.count() != 0
            && self
                .words(platform)
                .iter()
                .any(|word| in_use(Entry::read(word)))
    }
}

/// Index of the first live entry from `from` on, or `end` if none is live in front of it. Both are in the table, and `end`
/// is the end of a group.
fn first_live(table: &Granule, from: usize, end: usize) -> usize {
    let groups = table[..end].as_chunks::<GROUP>().0;
    let (mut n, mut start) = (from / GROUP, from % GROUP);
    while let Some(group) = groups.get(n) {
        // Four groups without a mark are passed by at once: most of a table is like that.
        if start == 0
            && let Some(four) = groups[n..].first_chunk::<4>()
            && four
                .iter()
                .fold(0, |all, group| all | group[0].load(Relaxed))
                & MARKS
                == 0
        {
            n += 4;
            continue;
        }
        if let Some(found) = live_in(group, start) {
            return n * GROUP + found;
        }
        (n, start) = (n + 1, 0);
    }
    end
}

/// What the first entry of a group has if one of the group may be live.
const MARKS: u64 = Entry::LIVE | OTHERS_LIVE;

/// Index of the first live entry of a group from `start` on.
fn live_in(group: &[AtomicU64; GROUP], start: usize) -> Option<usize> {
    if group[0].load(Relaxed) & MARKS == 0 {
        return None;
    }
    // The mark may be of old, or be about what is in front. All words together are less work than one after the other.
    let rest = &group[start..];
    let all = rest.iter().fold(0, |all, word| all | word.load(Relaxed));
    if all & Entry::LIVE == 0 {
        return None;
    }
    let found = rest.iter().position(|word| Entry::read(word).is_live());
    found.map(|found| start + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: u64 = 1;

    #[test]
    fn the_first_live_entry_is_found_wherever_it_is() {
        for live in [0, 1, 15, 16, 17, 255, 496, 511] {
            let table = [const { AtomicU64::new(4) }; 512];
            table[live].fetch_or(LIVE, Relaxed);
            if live % GROUP != 0 {
                table[live / GROUP * GROUP].fetch_or(OTHERS_LIVE, Relaxed);
            }
            for from in 0..512 {
                let expected = if from <= live { live } else { 512 };
                assert_eq!(
                    first_live(&table, from, 512),
                    expected,
                    "{live} from {from}"
                );
                let end = from.next_multiple_of(GROUP);
                let expected = if from <= live && live < end {
                    live
                } else {
                    end
                };
                assert_eq!(first_live(&table, from, end), expected);
            }
        }
    }

    #[test]
    fn a_mark_that_was_left_behind_hides_nothing() {
        let table = [const { AtomicU64::new(OTHERS_LIVE) }; 512];
        assert_eq!(first_live(&table, 3, 512), 512);
        table[500].store(LIVE, Relaxed);
        assert_eq!(first_live(&table, 3, 512), 500);
    }
}
