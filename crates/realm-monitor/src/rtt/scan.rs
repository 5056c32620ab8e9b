//! Scans of the rest of a table, from the entry where a walk ended: how far the host can skip.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aarch64_formats::stage2::{self, Level};
use cca_abi::rmi::Ripas;

use super::{Entry, Walk};
use crate::granule::{Locked, Rtt};
use crate::monitor::Monitor;
use crate::platform::Platform;

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
        let rest = &table[self.index()..stage2::entries(self.level)];
        let entries = if self.count(monitor) == 0 {
            rest.len()
        } else {
            first_live(rest)
        };
        (ipa & !(size - 1)) + entries as u64 * size
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
            if at >= top || !include(Entry(word.load(Relaxed))) {
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
                .any(|word| in_use(Entry(word.load(Relaxed))))
    }
}

/// Index of the first live entry, or the number of entries if none is live.
fn first_live(entries: &[AtomicU64]) -> usize {
    let is_live = |word: &AtomicU64| Entry(word.load(Relaxed)).is_live();
    // Most of a sparse table is passed sixteen entries at a time.
    let (chunks, _) = entries.as_chunks::<16>();
    let passed = 16
        * chunks
            .iter()
            .take_while(|chunk| {
                let all = chunk.iter().fold(0, |all, word| all | word.load(Relaxed));
                !Entry(all).is_live()
            })
            .count();
    let found = entries[passed..].iter().position(is_live);
    found.map_or(entries.len(), |index| passed + index)
}
