//! What realms were promised of the allocator's pages.
//!
//! A realm that was promised pages takes those first. Nobody else gets a page that somebody was promised and does not have yet.

use alloc::collections::BTreeMap;

use super::slot::{RealmId, Side};
use crate::units::{PageCount, PageSize};

/// Of one realm, for each side: pages of one side cannot be used on the other. With pages of one granule they can, for a page is free
/// again as soon as its granule is.
#[derive(Clone, Copy, Default)]
struct Part {
    promised: [u64; 2],
    held: [u64; 2],
}

impl Part {
    /// Pages that are promised and not taken yet.
    fn owed(&self) -> u64 {
        (0..2).map(|pool| self.owed_of(pool)).sum()
    }

    fn owed_of(&self, pool: usize) -> u64 {
        self.promised[pool].saturating_sub(self.held[pool])
    }
}

/// The promises to all realms.
pub(super) struct Budget {
    is_one_pool: bool,
    parts: BTreeMap<RealmId, Part>,
    owed: u64,
}

impl Budget {
    pub(super) fn new(size: PageSize) -> Self {
        Self {
            is_one_pool: size.granules().get() == 1,
            parts: BTreeMap::new(),
            owed: 0,
        }
    }

    /// Promises a realm that it can have so many pages of the monitor's side and of the host's, those that it has included.
    ///
    /// # Errors
    ///
    /// How many pages it needs, and how many of those that are `free` nobody was promised. Nothing is promised then.
    pub(super) fn promise(
        &mut self,
        owner: RealmId,
        sides: [PageCount; 2],
        free: PageCount,
    ) -> Result<(), (PageCount, PageCount)> {
        let mut part = self.parts.get(&owner).copied().unwrap_or_default();
        let before = part.owed();
        part.promised = [0; 2];
        for (side, pages) in [Side::Host, Side::Monitor].into_iter().zip(sides) {
            part.promised[self.pool(side)] += pages.get();
        }
        let unpromised = free.get().saturating_sub(self.owed - before);
        if part.owed() > unpromised {
            return Err((PageCount::new(part.owed()), PageCount::new(unpromised)));
        }
        self.owed = self.owed - before + part.owed();
        self.parts.insert(owner, part);
        Ok(())
    }

    /// Pages that are promised and not taken yet, over all realms.
    pub(super) const fn owed(&self) -> PageCount {
        PageCount::new(self.owed)
    }

    /// Whether a realm may take so many pages, if so many are free.
    pub(super) fn may_take(
        &self,
        owner: RealmId,
        side: Side,
        pages: PageCount,
        free: PageCount,
    ) -> bool {
        let own = self.parts.get(&owner);
        let own = own.map_or(0, |part| part.owed_of(self.pool(side)));
        let beyond = pages.get().saturating_sub(own);
        beyond <= free.get().saturating_sub(self.owed)
    }

    /// A realm has taken pages.
    pub(super) fn took(&mut self, owner: RealmId, side: Side, pages: PageCount) {
        self.change(owner, side, |held| held + pages.get());
    }

    /// Pages of a realm are free again.
    pub(super) fn gave(&mut self, owner: RealmId, side: Side, pages: PageCount) {
        self.change(owner, side, |held| held.saturating_sub(pages.get()));
    }

    /// A realm is gone.
    pub(super) fn close(&mut self, owner: RealmId) {
        let part = self.parts.remove(&owner).unwrap_or_default();
        self.owed -= part.owed();
    }

    /// Starts to keep account of a realm, which is promised nothing.
    pub(super) fn open(&mut self, owner: RealmId) {
        self.parts.entry(owner).or_default();
    }

    fn change(&mut self, owner: RealmId, side: Side, held: impl FnOnce(u64) -> u64) {
        let pool = self.pool(side);
        // A page that comes out of quarantine may be one of a realm that is gone.
        if let Some(part) = self.parts.get_mut(&owner) {
            let before = part.owed();
            part.held[pool] = held(part.held[pool]);
            self.owed = self.owed - before + part.owed();
        }
    }

    const fn pool(&self, side: Side) -> usize {
        if self.is_one_pool { 0 } else { side as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: RealmId = RealmId(1);
    const TWO: RealmId = RealmId(2);

    fn pages(pages: u64) -> PageCount {
        PageCount::new(pages)
    }

    #[test]
    fn what_one_realm_was_promised_no_other_gets() {
        let mut budget = Budget::new(PageSize::Size4K);
        budget.open(ONE);
        budget.open(TWO);
        budget.took(ONE, Side::Monitor, pages(2));
        assert_eq!(
            budget.promise(ONE, [pages(10), pages(50)], pages(98)),
            Ok(())
        );
        // 58 are owed, 40 are not.
        assert_eq!(
            budget.promise(TWO, [pages(1), pages(40)], pages(98)),
            Err((pages(41), pages(40)))
        );
        assert!(budget.may_take(TWO, Side::Monitor, pages(40), pages(98)));
        assert!(!budget.may_take(TWO, Side::Monitor, pages(41), pages(98)));
        budget.took(TWO, Side::Monitor, pages(40));
        assert!(!budget.may_take(TWO, Side::Host, pages(1), pages(58)));
        // On either side.
        assert!(budget.may_take(ONE, Side::Host, pages(58), pages(58)));
        assert!(!budget.may_take(ONE, Side::Host, pages(59), pages(58)));
        budget.took(ONE, Side::Host, pages(58));
        budget.gave(TWO, Side::Monitor, pages(40));
        assert!(budget.may_take(ONE, Side::Host, pages(1), pages(40)));
        budget.gave(ONE, Side::Host, pages(60));
        assert!(!budget.may_take(TWO, Side::Host, pages(41), pages(100)));
        budget.close(ONE);
        assert!(budget.may_take(TWO, Side::Host, pages(100), pages(100)));
    }

    #[test]
    fn pages_of_several_granules_stay_on_their_side() {
        let mut budget = Budget::new(PageSize::Size64K);
        budget.open(ONE);
        assert_eq!(budget.promise(ONE, [pages(3), pages(5)], pages(8)), Ok(()));
        assert!(budget.may_take(ONE, Side::Host, pages(3), pages(8)));
        assert!(!budget.may_take(ONE, Side::Host, pages(4), pages(8)));
        assert!(budget.may_take(ONE, Side::Monitor, pages(5), pages(8)));
    }
}
