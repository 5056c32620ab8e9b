//! The granule protection table: which world reaches which granule of physical memory.
//!
//! The table lives in storage that the caller provides as atomic words. Every entry of level 1 is kept in granules
//! form, so that a transition is one compare-and-swap on the descriptor it shares with fifteen neighbours and nothing
//! ever has to be split. All PEs can change granules at once.

use crate::memory::Range;
use crate::platform::Platform;
use crate::transition;
pub use crate::transition::TransitionError;
use aarch64_formats::gpt::{
    AddressSpace, Gpi, Granules, L0_SHIFT, L0Entry, L1_BYTES, L1_ENTRIES, ProtectedSpace,
};
use cca_abi::GRANULE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering};

/// Why a protection table cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The level 0 storage has not the length that the protected space needs.
    L0Length,
    /// The level 1 storage is not a whole number of tables, or its address is not aligned to a table.
    L1Layout,
    /// The range is not a whole number of granules inside the protected space.
    Range,
    /// There is no level 1 table left.
    NoTable,
}

/// What was left behind is not a protection table of this monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// A granule protection table over borrowed storage.
#[derive(Debug)]
pub struct Gpt<'a> {
    l0: &'a [AtomicU64],
    l1: &'a [AtomicU64],
    l1_address: u64,
    space: ProtectedSpace,
}

impl<'a> Gpt<'a> {
    /// A table in which every span is a block that all worlds reach.
    ///
    /// `l0` has one word for each GiB of `space`. `l1` is a whole number of level 1 tables ([`L1_ENTRIES`] words each)
    /// which the hardware sees at the physical address `l1_address`.
    ///
    /// # Errors
    ///
    /// [`BuildError::L0Length`], [`BuildError::L1Layout`].
    pub fn new(
        space: ProtectedSpace,
        l0: &'a [AtomicU64],
        l1: &'a [AtomicU64],
        l1_address: u64,
    ) -> Result<Self, BuildError> {
        let gpt = Self::left_behind(space, l0, l1, l1_address)?;
        for entry in l0 {
            entry.store(L0Entry::Block(Gpi::Any).encode(), Ordering::Relaxed);
        }
        Ok(gpt)
    }

    /// The table that an earlier life of the machine left in this storage, as it is.
    ///
    /// # Errors
    ///
    /// As [`Gpt::new`].
    pub fn left_behind(
        space: ProtectedSpace,
        l0: &'a [AtomicU64],
        l1: &'a [AtomicU64],
        l1_address: u64,
    ) -> Result<Self, BuildError> {
        if l0.len() != space.l0_entries() {
            return Err(BuildError::L0Length);
        }
        if !l1.len().is_multiple_of(L1_ENTRIES) || !l1_address.is_multiple_of(L1_BYTES) {
            return Err(BuildError::L1Layout);
        }
        Ok(Self {
            l0,
            l1,
            l1_address,
            space,
        })
    }

    /// Calls `each` with the address of each granule that may hold what belongs to the Realm world: those that it alone
    /// reaches, and those on their way from or to it.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if the table is none that this monitor has made; what was found until then has been told.
    pub fn for_each_realm_granule(&self, mut each: impl FnMut(u64)) -> Result<(), Damaged> {
        for (span, entry) in self.l0.iter().enumerate() {
            let base = (span as u64) << L0_SHIFT;
            match L0Entry::decode(entry.load(Ordering::Relaxed)).ok_or(Damaged)? {
                L0Entry::Block(Gpi::Any) => {}
                L0Entry::Block(_) => return Err(Damaged),
                L0Entry::Table(_) => {
                    for n in 0..L1_ENTRIES as u64 {
                        let first = base + n * 16 * GRANULE_SIZE;
                        let entry = self.l1_entry(first).ok_or(Damaged)?;
                        let granules = Granules(entry.load(Ordering::Relaxed));
                        for address in (first..).step_by(GRANULE_SIZE as usize).take(16) {
                            match granules.get(Granules::slot(address)).ok_or(Damaged)? {
                                Gpi::Realm | Gpi::None => each(address),
                                _ => {}
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives every granule of `range` the protection `gpi`, turning blocks into tables where needed.
    ///
    /// For building before anybody else uses the table: it performs no maintenance, so afterwards the caller has to
    /// invalidate everything once. If it fails, granules before the one that failed have been changed.
    ///
    /// # Errors
    ///
    /// [`BuildError::Range`], [`BuildError::NoTable`].
    pub fn protect(&self, range: Range, gpi: Gpi) -> Result<(), BuildError> {
        let aligned =
            range.base.is_multiple_of(GRANULE_SIZE) && range.size.is_multiple_of(GRANULE_SIZE);
        if !aligned || range.end() > 1 << self.space.shift {
            return Err(BuildError::Range);
        }
        let whole_entry = GRANULE_SIZE * 16;
        let mut address = range.base;
        while address < range.end() {
            let entry = self.l1_entry_for_building(address)?;
            if address.is_multiple_of(whole_entry) && range.end() - address >= whole_entry {
                entry.store(Granules::all(gpi).0, Ordering::Relaxed);
                address += whole_entry;
            } else {
                let old = Granules(entry.load(Ordering::Relaxed));
                entry.store(old.with(Granules::slot(address), gpi).0, Ordering::Relaxed);
                address += GRANULE_SIZE;
            }
        }
        Ok(())
    }

    /// The part of `range` that [`Gpt::protect`] can describe with the tables there are, from its start on.
    ///
    /// Counts a table for each GiB that has none yet.
    #[must_use]
    pub fn coverable(&self, range: Range) -> Range {
        let used = self
            .l0
            .iter()
            .filter(|entry| entry.load(Ordering::Relaxed) & 0xF == 0b0011)
            .count();
        let mut free = self.l1.len() / L1_ENTRIES - used;
        let mut end = range.base;
        while end < range.end().min(1 << self.space.shift) {
            let span = (end >> L0_SHIFT) as usize;
            if self.l0[span].load(Ordering::Relaxed) & 0xF != 0b0011 {
                if free == 0 {
                    break;
                }
                free -= 1;
            }
            end = ((end >> L0_SHIFT) + 1) << L0_SHIFT;
        }
        Range::between(range.base, end.min(range.end()))
    }

    /// The protection of the granule that contains `address`; `None` outside the protected space.
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Gpi> {
        let entry = self
            .l0
            .get((address >> L0_SHIFT) as usize)?
            .load(Ordering::Acquire);
        match L0Entry::decode(entry)? {
            L0Entry::Block(gpi) => Some(gpi),
            L0Entry::Table(_) => {
                let descriptor = self.l1_entry(address)?.load(Ordering::Acquire);
                Granules(descriptor).get(Granules::slot(address))
            }
        }
    }

    /// Whether an access to `address` through `space` passes the granule protection check.
    #[must_use]
    pub fn permits(&self, space: AddressSpace, address: u64) -> bool {
        self.lookup(address).is_some_and(|gpi| space.reaches(gpi))
    }

    /// Moves a granule from the Non-secure to the Realm physical address space (`RMM_GTSI_DELEGATE`).
    ///
    /// # Errors
    ///
    /// [`TransitionError`]; nothing has changed then.
    #[inline]
    pub fn delegate(&self, platform: &impl Platform, address: u64) -> Result<(), TransitionError> {
        let entry = self.transition_entry(address)?;
        transition::delegate(entry, platform, address)
    }

    /// Moves a granule from the Realm to the Non-secure physical address space (`RMM_GTSI_UNDELEGATE`).
    ///
    /// The content is whatever the RMM left there: it scrubs, not the root monitor.
    ///
    /// # Errors
    ///
    /// [`TransitionError`]; nothing has changed then.
    #[inline]
    pub fn undelegate(
        &self,
        platform: &impl Platform,
        address: u64,
    ) -> Result<(), TransitionError> {
        let entry = self.transition_entry(address)?;
        transition::undelegate(entry, platform, address)
    }

    #[inline]
    fn transition_entry(&self, address: u64) -> Result<&AtomicU64, TransitionError> {
        if !address.is_multiple_of(GRANULE_SIZE) {
            return Err(TransitionError::BadAddress);
        }
        self.l1_entry(address).ok_or(TransitionError::BadAddress)
    }

    /// The level 1 entry for an address; `None` outside the protected space and in a block.
    #[inline]
    fn l1_entry(&self, address: u64) -> Option<&AtomicU64> {
        let descriptor = self
            .l0
            .get((address >> L0_SHIFT) as usize)?
            .load(Ordering::Acquire);
        let Some(L0Entry::Table(table)) = L0Entry::decode(descriptor) else {
            return None;
        };
        let first = table.wrapping_sub(self.l1_address) / 8;
        self.l1.get(first as usize + l1_index(address))
    }

    fn l1_entry_for_building(&self, address: u64) -> Result<&AtomicU64, BuildError> {
        let entry = &self.l0[(address >> L0_SHIFT) as usize];
        if let Some(L0Entry::Block(gpi)) = L0Entry::decode(entry.load(Ordering::Relaxed)) {
            let used = self
                .l0
                .iter()
                .filter(|entry| entry.load(Ordering::Relaxed) & 0xF == 0b0011)
                .count();
            let table = self
                .l1
                .get(used * L1_ENTRIES..(used + 1) * L1_ENTRIES)
                .ok_or(BuildError::NoTable)?;
            for word in table {
                word.store(Granules::all(gpi).0, Ordering::Relaxed);
            }
            let at = self.l1_address + used as u64 * L1_BYTES;
            entry.store(L0Entry::Table(at).encode(), Ordering::Release);
        }
        self.l1_entry(address).ok_or(BuildError::Range)
    }
}

#[inline]
fn l1_index(address: u64) -> usize {
    (address >> 16) as usize % L1_ENTRIES
}
