//! The book itself: the state of every granule of every page that the host took for its realms.
//!
//! Nothing here calls the monitor or the allocator, and no operation but [`Book::open`] and [`Book::add_page`]
//! allocates.

use alloc::collections::BTreeMap;
use core::fmt;

use super::pages::Pages;
use super::slot::{Account, Packed, Purpose, RealmId, Side, Slot};
use crate::error::Error;
use crate::units::{GranuleAddress, PageAddress, PageSize};

const NONE: u64 = u64::MAX;

/// One host page.
struct Page {
    owner: RealmId,
    side: Side,
    listed: bool,
    /// Low 16 bits of X0 of the last undelegate that failed in this page.
    reason: u16,
    slots: [Packed; PageSize::MAX_GRANULES],
    /// The neighbours in the list of the owner's pages of this side that have a free slot.
    next: u64,
    previous: u64,
}

/// The hypervisor's heap has room for so much for every page of the machine.
const _: () = assert!(size_of::<Option<Page>>() <= 40);

/// A page that is out of the book, for the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Freed {
    pub(super) page: PageAddress,
    pub(super) owner: RealmId,
    pub(super) side: Side,
}

/// What the book keeps for a realm.
struct Shelf {
    /// The first page with a free slot, for each side.
    first: [u64; 2],
    /// How many granules were delegated for it, in total.
    delegated: u64,
}

/// The book.
pub(super) struct Book {
    size: PageSize,
    pages: Pages<Page>,
    shelves: BTreeMap<RealmId, Shelf>,
    account: Account,
}

impl Book {
    pub(super) const fn new(size: PageSize) -> Self {
        Self {
            size,
            pages: Pages::new(size),
            shelves: BTreeMap::new(),
            account: Account {
                delegated: 0,
                returned: 0,
                quarantined: 0,
            },
        }
    }

    pub(super) const fn account(&self) -> Account {
        self.account
    }

    /// Pages in the book.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// How many granules were delegated for a realm, in total; 0 for one that the book does not keep granules for.
    pub(super) fn delegated_for(&self, owner: RealmId) -> u64 {
        self.shelves.get(&owner).map_or(0, |shelf| shelf.delegated)
    }

    /// Starts to keep granules for a realm.
    pub(super) fn open(&mut self, owner: RealmId) {
        let shelf = Shelf {
            first: [NONE; 2],
            delegated: 0,
        };
        self.shelves.insert(owner, shelf);
    }

    /// Enters a page whose granules are all unused.
    pub(super) fn add_page(&mut self, owner: RealmId, side: Side, page: PageAddress) {
        let entry = Page {
            owner,
            side,
            listed: false,
            reason: 0,
            slots: [Packed::FREE; PageSize::MAX_GRANULES],
            next: NONE,
            previous: NONE,
        };
        self.pages.insert(page.get(), entry);
        self.relist(page.get());
    }

    /// Takes a free granule of the owner's pages, if there is one.
    pub(super) fn take(&mut self, owner: RealmId, purpose: Purpose) -> Option<GranuleAddress> {
        let first = self.shelves.get(&owner)?.first[purpose.side() as usize];
        let page = self.pages.get_mut(first)?;
        let index = page.slots.iter().position(|&slot| slot == Packed::FREE)?;
        page.slots[index] = Packed::pack(Slot::Held(purpose));
        self.relist(first);
        PageAddress::new(first, self.size).map(|page| page.granule(index))
    }

    /// Takes this very granule, which is free.
    pub(super) fn take_at(
        &mut self,
        granule: GranuleAddress,
        purpose: Purpose,
    ) -> Result<(), Error> {
        self.change(granule, "unused", |slot| {
            (slot == Slot::Free).then_some(Slot::Held(purpose))
        })
        .map(|_| ())
    }

    /// A held granule has been delegated.
    pub(super) fn delegated(&mut self, granule: GranuleAddress) -> Result<(), Error> {
        self.change(granule, "about to be delegated", |slot| match slot {
            Slot::Held(purpose) => Some(Slot::Delegated(purpose)),
            _ => None,
        })?;
        self.account.delegated += 1;
        let page = self.pages.get(granule.page(self.size).get());
        if let Some(shelf) = page.and_then(|page| self.shelves.get_mut(&page.owner)) {
            shelf.delegated += 1;
        }
        Ok(())
    }

    /// A held granule is not wanted by the monitor.
    pub(super) fn set_aside(&mut self, granule: GranuleAddress) -> Result<(), Error> {
        self.change(granule, "about to be delegated", |slot| match slot {
            Slot::Held(_) => Some(Slot::SetAside),
            _ => None,
        })
        .map(|_| ())
    }

    /// A held granule is not needed any more. If its whole page is free the page is out of the book, and the caller
    /// gives it back to the allocator.
    pub(super) fn released(&mut self, granule: GranuleAddress) -> Result<Option<Freed>, Error> {
        self.change(granule, "held by the host", |slot| match slot {
            Slot::Held(_) => Some(Slot::Free),
            _ => None,
        })
    }

    /// A delegated granule has been undelegated. As for [`Book::released`].
    pub(super) fn returned(&mut self, granule: GranuleAddress) -> Result<Option<Freed>, Error> {
        let mut was_quarantined = false;
        let free = self.change(granule, "delegated", |slot| match slot {
            Slot::Delegated(_) => Some(Slot::Free),
            Slot::Quarantined(_) => {
                was_quarantined = true;
                Some(Slot::Free)
            }
            _ => None,
        })?;
        self.account.returned += 1;
        self.account.quarantined -= u64::from(was_quarantined);
        Ok(free)
    }

    /// A delegated granule could not be undelegated.
    pub(super) fn quarantine(&mut self, granule: GranuleAddress, x0: u64) -> Result<(), Error> {
        let mut is_new = true;
        self.change(granule, "delegated", |slot| match slot {
            Slot::Delegated(purpose) => Some(Slot::Quarantined(purpose)),
            Slot::Quarantined(_) => {
                is_new = false;
                Some(slot)
            }
            _ => None,
        })?;
        self.account.quarantined += u64::from(is_new);
        if let Some(page) = self.pages.get_mut(granule.page(self.size).get()) {
            page.reason = x0 as u16;
        }
        Ok(())
    }

    /// Checks that a granule is delegated for a purpose of a realm.
    pub(super) fn expect(
        &self,
        granule: GranuleAddress,
        owner: RealmId,
        purpose: Purpose,
    ) -> Result<(), Error> {
        let page = self.pages.get(granule.page(self.size).get());
        let slot = page.map(|page| {
            (
                page.owner,
                page.slots[granule.index_in_page(self.size)].unpack(),
            )
        });
        if slot == Some((owner, Slot::Delegated(purpose))) {
            Ok(())
        } else {
            Err(Error::Ledger {
                address: granule.get(),
                what: "what the monitor says that it returns",
            })
        }
    }

    /// A page of the realm that holds only free and set-aside granules, taken out of the book.
    pub(super) fn take_idle_page(&mut self, owner: RealmId) -> Option<Freed> {
        let idle = |page: &Page| {
            page.owner == owner
                && page
                    .slots
                    .iter()
                    .all(|slot| matches!(slot.unpack(), Slot::Free | Slot::SetAside))
        };
        let (address, _) = self.pages.from(0).find(|(_, page)| idle(page))?;
        self.take_out(address)
    }

    /// A granule of the realm that the host holds or that is delegated, if there is one.
    pub(super) fn leftover(&self, owner: RealmId) -> Option<(GranuleAddress, Slot)> {
        self.find(0, |page, slot| {
            page.owner == owner && matches!(slot, Slot::Held(_) | Slot::Delegated(_))
        })
        .map(|(granule, slot, ..)| (granule, slot))
    }

    /// The first quarantined granule at or above an address: where, what for, whose, and the low bits of X0.
    pub(super) fn quarantined_from(
        &self,
        from: u64,
    ) -> Option<(GranuleAddress, Purpose, RealmId, u16)> {
        self.find(from, |_, slot| matches!(slot, Slot::Quarantined(_)))
            .and_then(|(granule, slot, owner, reason)| match slot {
                Slot::Quarantined(purpose) => Some((granule, purpose, owner, reason)),
                _ => None,
            })
    }

    /// The first granule at or above an address that the monitor has, in use or in quarantine.
    pub(super) fn delegated_from(&self, from: u64) -> Option<(GranuleAddress, Purpose, RealmId)> {
        self.find(from, |_, slot| {
            matches!(slot, Slot::Delegated(_) | Slot::Quarantined(_))
        })
        .and_then(|(granule, slot, owner, _)| match slot {
            Slot::Delegated(purpose) | Slot::Quarantined(purpose) => {
                Some((granule, purpose, owner))
            }
            _ => None,
        })
    }

    /// Stops to keep granules for a realm. Its quarantined granules stay.
    pub(super) fn close(&mut self, owner: RealmId) {
        for page in self.pages.values_mut().filter(|page| page.owner == owner) {
            page.listed = false;
            page.next = NONE;
            page.previous = NONE;
        }
        self.shelves.remove(&owner);
    }

    fn find(
        &self,
        from: u64,
        wanted: impl Fn(&Page, Slot) -> bool,
    ) -> Option<(GranuleAddress, Slot, RealmId, u16)> {
        let start = from & !(self.size.bytes() - 1);
        self.pages.from(start).find_map(|(address, page)| {
            let base = PageAddress::new(address, self.size)?;
            (0..self.size.granules().get() as usize).find_map(|index| {
                let granule = base.granule(index);
                let slot = page.slots[index].unpack();
                (granule.get() >= from && wanted(page, slot)).then_some((
                    granule,
                    slot,
                    page.owner,
                    page.reason,
                ))
            })
        })
    }

    /// Changes the state of a granule. If that leaves its page all free, the page is taken out of the book and
    /// returned.
    fn change(
        &mut self,
        granule: GranuleAddress,
        what: &'static str,
        to: impl FnOnce(Slot) -> Option<Slot>,
    ) -> Result<Option<Freed>, Error> {
        let unknown = Error::Ledger {
            address: granule.get(),
            what,
        };
        let address = granule.page(self.size).get();
        let page = self.pages.get_mut(address).ok_or(unknown)?;
        let slot = &mut page.slots[granule.index_in_page(self.size)];
        *slot = Packed::pack(to(slot.unpack()).ok_or(unknown)?);
        // Of a realm that is gone, a page goes back although the monitor would not take some of it.
        let gone = !self.shelves.contains_key(&page.owner);
        let done = |slot: &Packed| {
            *slot == Packed::FREE || gone && matches!(slot.unpack(), Slot::SetAside)
        };
        if page.slots.iter().all(done) {
            return Ok(self.take_out(address));
        }
        self.relist(address);
        Ok(None)
    }

    fn take_out(&mut self, address: u64) -> Option<Freed> {
        self.unlist(address);
        let Page { owner, side, .. } = self.pages.remove(address)?;
        PageAddress::new(address, self.size).map(|page| Freed { page, owner, side })
    }

    /// Puts a page into its owner's list or takes it out, as it has free granules or not.
    fn relist(&mut self, address: u64) {
        let granules = self.size.granules().get() as usize;
        let Some(page) = self.pages.get_mut(address) else {
            return;
        };
        let has_room = page.slots[..granules].contains(&Packed::FREE);
        if !has_room {
            self.unlist(address);
        } else if !page.listed
            && let Some(shelf) = self.shelves.get_mut(&page.owner)
        {
            let first = &mut shelf.first[page.side as usize];
            page.listed = true;
            page.previous = NONE;
            page.next = *first;
            let second = *first;
            *first = address;
            if let Some(second) = self.pages.get_mut(second) {
                second.previous = address;
            }
        }
    }

    fn unlist(&mut self, address: u64) {
        let Some(page) = self.pages.get_mut(address) else {
            return;
        };
        if !page.listed {
            return;
        }
        page.listed = false;
        let (owner, side, next, previous) = (page.owner, page.side, page.next, page.previous);
        if let Some(page) = self.pages.get_mut(next) {
            page.previous = previous;
        }
        if let Some(page) = self.pages.get_mut(previous) {
            page.next = next;
        } else if let Some(shelf) = self.shelves.get_mut(&owner) {
            shelf.first[side as usize] = next;
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Book")
            .field("account", &self.account)
            .field("pages", &self.pages.len())
            .finish()
    }
}

#[cfg(test)]
mod tests;
