//! Table walks, hand over hand.

use core::sync::atomic::Ordering::{Relaxed, Release};

use aarch64_formats::stage2::{self, Level};

use super::{Entry, GROUP, OTHERS_LIVE};
use crate::granule::{GRANULE_SIZE, Locked, Rtt};
use crate::monitor::Monitor;
use crate::platform::Platform;

/// What a walk needs to know of a realm. All of it is constant for the life of the realm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressSpace {
    /// PA of the first starting-level table.
    pub root: u64,
    /// Level of the starting-level tables.
    pub start_level: Level,
    /// IPA width in bits.
    pub ipa_bits: u32,
    /// Whether the tables are in LPA2 format.
    pub lpa2: bool,
    /// VMID.
    pub vmid: u16,
}

impl AddressSpace {
    /// Whether an address is in the IPA space.
    #[must_use]
    #[inline]
    pub const fn contains(&self, ipa: u64) -> bool {
        ipa >> self.ipa_bits == 0
    }

    /// Whether an address is in the protected half of the IPA space.
    #[must_use]
    #[inline]
    pub const fn is_protected(&self, ipa: u64) -> bool {
        ipa >> (self.ipa_bits - 1) == 0
    }

    /// Whether a physical address is too big for the format of the tables.
    #[must_use]
    #[inline]
    pub const fn is_too_big(&self, pa: u64) -> bool {
        !self.lpa2 && pa >> 48 != 0
    }

    /// The operand as a level at which the realm has tables, the starting level included.
    #[must_use]
    #[inline]
    pub const fn level(&self, level: i64) -> Option<Level> {
        if level >= self.start_level as i64 && level <= stage2::PAGE_LEVEL as i64 {
            Some(level as Level)
        } else {
            None
        }
    }

    /// The operand as a level at which tables can be created and destroyed: below the starting level.
    #[must_use]
    #[inline]
    pub const fn table_level(&self, level: i64) -> Option<Level> {
        if level > self.start_level as i64 && level <= stage2::PAGE_LEVEL as i64 {
            Some(level as Level)
        } else {
            None
        }
    }

    /// The operand as a level at which the realm can have blocks or pages.
    #[must_use]
    #[inline]
    pub const fn leaf_level(&self, level: i64) -> Option<Level> {
        if level >= 1 { self.level(level) } else { None }
    }
}

/// Where a walk ended: an entry, in a table that is locked.
///
/// The starting-level tables of a realm are protected by the lock of the first of them. Counts are kept per table.
#[derive(Debug)]
pub struct Walk<'m> {
    lock: Locked<'m, Rtt>,
    table: u64,
    index: usize,
    /// Level of the table.
    pub level: Level,
    /// The entry, as it was found.
    pub entry: Entry,
    space: AddressSpace,
}

impl<'m> Walk<'m> {
    /// Follows TABLE entries from the starting level until an entry is none, or `target` is reached.
    ///
    /// The caller keeps the realm from being destroyed until this returns (by the lock of its RD, or by a REC).
    ///
    /// # Panics
    /// If `ipa` is not in the space.
    #[inline]
    pub fn new<P: Platform>(
        monitor: &'m Monitor<P>,
        space: &AddressSpace,
        ipa: u64,
        target: Level,
    ) -> Self {
        assert!(space.contains(ipa), "walk of an address outside the space");
        let platform = monitor.platform();
        let mut level = space.start_level;
        let mut lock = monitor.lock_owned::<Rtt>(space.root);
        // At the starting level the index may have up to four more bits, which choose a table.
        let first = ipa >> stage2::entry_shift(level);
        let mut table = space.root + (first >> 9) * GRANULE_SIZE;
        let mut index = first as usize % stage2::TABLE_ENTRIES;
        loop {
            let entry = Entry::read(&platform.granule(table)[index]);
            if level >= target || !entry.is_table(level) {
                return Self {
                    lock,
                    table,
                    index,
                    level,
                    entry,
                    space: *space,
                };
            }
            table = entry.address(space.lpa2);
            // The child is locked before the assignment gives up the parent.
            lock = monitor.lock_owned::<Rtt>(table);
            level += 1;
            index = (ipa >> stage2::entry_shift(level)) as usize % stage2::TABLE_ENTRIES;
        }
    }

    /// The space that was walked.
    #[must_use]
    #[inline]
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// PA of the table.
    #[must_use]
    #[inline]
    pub fn table(&self) -> u64 {
        self.table
    }

    /// Index of the entry in the table.
    #[must_use]
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The number of live entries of the table.
    #[inline]
    pub(super) fn count<P: Platform>(&self, monitor: &Monitor<P>) -> u16 {
        if self.table == self.lock.address() {
            self.lock.count()
        } else {
            let count = monitor.granules().count(monitor.platform(), self.table);
            count.unwrap_or_else(|| unreachable!("a table that is no granule"))
        }
    }

    /// The entry at another index of the table.
    #[must_use]
    #[inline]
    pub fn entry_at(&self, platform: &impl Platform, index: usize) -> Entry {
        Entry::read(&platform.granule(self.table)[index])
    }

    /// Replaces the entry. Everything stored before is visible to whoever translates with it; the caller tells the
    /// platform when to publish it.
    #[inline]
    pub fn set(&mut self, platform: &impl Platform, entry: Entry) {
        self.entry = entry;
        self.set_at(platform, self.index, entry);
    }

    /// Replaces the entry at another index of the table.
    #[inline]
    pub fn set_at(&self, platform: &impl Platform, index: usize, entry: Entry) {
        let table = platform.granule(self.table);
        let group = &table[index / GROUP * GROUP..][..GROUP];
        let first = group[0].load(Relaxed);
        let at = index % GROUP;
        if at == 0 {
            group[0].store(entry.0 | first & OTHERS_LIVE, Release);
        } else {
            group[at].store(entry.0, Release);
            if entry.is_live() && first & OTHERS_LIVE == 0 {
                group[0].store(first | OTHERS_LIVE, Relaxed);
            }
        }
    }

    /// Replaces the entry and those that follow it, `count` in all, which are UNASSIGNED and stay so.
    #[inline]
    pub fn fill(&self, platform: &impl Platform, count: usize, entry: Entry) {
        for word in &platform.granule(self.table)[self.index..][..count] {
            word.store(entry.0 | word.load(Relaxed) & OTHERS_LIVE, Release);
        }
    }

    /// The table has one more live entry.
    #[inline]
    pub fn count_up<P: Platform>(&self, monitor: &Monitor<P>) {
        if self.table == self.lock.address() {
            self.lock.add(1);
        } else {
            monitor.granules().add(monitor.platform(), self.table, 1);
        }
    }

    /// The table has one live entry less.
    #[inline]
    pub fn count_down<P: Platform>(&self, monitor: &Monitor<P>) {
        if self.table == self.lock.address() {
            self.lock.subtract(1);
        } else {
            monitor
                .granules()
                .subtract(monitor.platform(), self.table, 1);
        }
    }
}
