//! Granules in motion: from the allocator to the monitor and back.

use cca_abi::rmi::{Command, Status, granule_delegate, granule_undelegate};
use spin::Mutex;

use super::book::{Book, Freed};
use super::budget::Budget;
use super::slot::{Account, Purpose, RealmId, Side, Slot};
use crate::client::{Client, Refusal};
use crate::error::Error;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GranuleAddress, GranuleCount, PageAddress, PageCount};

/// How many granules that the monitor does not take are set aside in one operation before it is given up.
const MAX_SET_ASIDE: usize = 32;

/// What became of a granule that was to be undelegated. The ledger knows it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// It is the host's again.
    Yes,
    /// The monitor kept it; it is in quarantine.
    Quarantined(Refusal),
}

/// A granule in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which.
    pub granule: GranuleAddress,
    /// What it was used for.
    pub purpose: Purpose,
    /// Whose it was. The realm may be gone.
    pub owner: RealmId,
    /// What the monitor answered to the last undelegate in its page.
    pub refusal: Refusal,
}

/// The ledger, the allocator and the client together: the only place that delegates and undelegates.
pub(crate) struct Granules<T, M> {
    client: Client<T>,
    supply: M,
    book: Mutex<Book>,
    /// Held while a page is allocated or freed, so that what is free and what is promised fit together.
    budget: Mutex<Budget>,
}

impl<T: SmcTransport, M: PageSupply> Granules<T, M> {
    pub(crate) fn new(client: Client<T>, supply: M) -> Self {
        let size = supply.page_size();
        Self {
            client,
            supply,
            book: Mutex::new(Book::new(size)),
            budget: Mutex::new(Budget::new(size)),
        }
    }

    pub(crate) const fn client(&self) -> &Client<T> {
        &self.client
    }

    pub(crate) const fn supply(&self) -> &M {
        &self.supply
    }

    pub(crate) fn account(&self) -> Account {
        self.book.lock().account()
    }

    pub(crate) fn delegated_for(&self, owner: RealmId) -> u64 {
        self.book.lock().delegated_for(owner)
    }

    pub(crate) fn pages(&self) -> usize {
        self.book.lock().pages()
    }

    pub(crate) fn pages_owed(&self) -> PageCount {
        self.budget.lock().owed()
    }

    pub(crate) fn open(&self, owner: RealmId) {
        self.book.lock().open(owner);
        self.budget.lock().open(owner);
    }

    /// Promises a realm that it can have so many pages of the host's side and of the monitor's, those that it has included.
    pub(crate) fn promise(&self, owner: RealmId, sides: [PageCount; 2]) -> Result<(), Error> {
        let mut budget = self.budget.lock();
        let promised = budget.promise(owner, sides, self.supply.free_pages());
        promised.map_err(|(needed, free)| {
            let size = self.supply.page_size();
            Error::Short {
                needed: needed.bytes(size),
                free: free.bytes(size),
            }
        })
    }

    /// Whether a page for a realm, on either side, would be given now.
    pub(crate) fn has_page_for(&self, owner: RealmId) -> bool {
        let budget = self.budget.lock();
        let free = self.supply.free_pages();
        [Side::Host, Side::Monitor]
            .into_iter()
            .all(|side| budget.may_take(owner, side, PageCount::ONE, free))
    }

    /// Delegates a granule for a purpose.
    pub(crate) fn delegate(
        &self,
        owner: RealmId,
        purpose: Purpose,
    ) -> Result<GranuleAddress, Error> {
        let mut last = None;
        for _ in 0..MAX_SET_ASIDE {
            let granule = self.take(owner, purpose)?;
            match self.delegate_held(granule) {
                Ok(()) => return Ok(granule),
                Err(refusal) if refusal.is(Status::ErrorInput) => {
                    self.book.lock().set_aside(granule)?;
                    last = Some((refusal, granule));
                }
                Err(refusal) => {
                    self.release(granule)?;
                    return Err(Error::refused(refusal, granule.get()));
                }
            }
        }
        self.free_idle_pages(owner);
        Err(not_delegable(last))
    }

    /// Delegates contiguous granules, the first aligned to all of them together. Their number is a power of two.
    pub(crate) fn delegate_contiguous(
        &self,
        owner: RealmId,
        purpose: Purpose,
        count: GranuleCount,
    ) -> Result<GranuleAddress, Error> {
        let mut last = None;
        for _ in 0..MAX_SET_ASIDE {
            let first = self.take_contiguous(owner, purpose, count)?;
            match self.delegate_run(first, count)? {
                None => return Ok(first),
                Some((refusal, granule)) if refusal.is(Status::ErrorInput) => {
                    last = Some((refusal, granule))
                }
                Some((refusal, granule)) => {
                    self.free_idle_pages(owner);
                    return Err(Error::refused(refusal, granule.get()));
                }
            }
        }
        self.free_idle_pages(owner);
        Err(not_delegable(last))
    }

    /// As [`Granules::delegate_contiguous`], once, and `None` if there is no such memory or the monitor does not take it.
    pub(crate) fn delegate_block(
        &self,
        owner: RealmId,
        purpose: Purpose,
        count: GranuleCount,
    ) -> Result<Option<GranuleAddress>, Error> {
        let first = match self.take_contiguous(owner, purpose, count) {
            Err(Error::OutOfMemory { .. }) => return Ok(None),
            first => first?,
        };
        if self.delegate_run(first, count)?.is_none() {
            return Ok(Some(first));
        }
        // The host has other uses for the rest of it.
        self.free_idle_pages(owner);
        Ok(None)
    }

    /// Takes a granule of the host's own for a purpose, and clears it.
    pub(crate) fn hold(&self, owner: RealmId, purpose: Purpose) -> Result<GranuleAddress, Error> {
        let granule = self.take(owner, purpose)?;
        self.clear(granule);
        Ok(granule)
    }

    /// Gives up a granule that `hold` returned.
    pub(crate) fn release(&self, granule: GranuleAddress) -> Result<(), Error> {
        let page = self.book.lock().released(granule)?;
        self.free(page);
        Ok(())
    }

    /// Takes a delegated granule back, or puts it into quarantine.
    pub(crate) fn undelegate(&self, granule: GranuleAddress) -> Result<Returned, Error> {
        match self.client.granule_undelegate(granule_undelegate::Input {
            addr: granule.get(),
        }) {
            Ok(_) => {
                let page = self.book.lock().returned(granule)?;
                self.free(page);
                Ok(Returned::Yes)
            }
            Err(refused) => {
                self.book.lock().quarantine(granule, refused.refusal.x0)?;
                Ok(Returned::Quarantined(refused.refusal))
            }
        }
    }

    /// A granule that the monitor says it released, if it is one that this realm gave it for that purpose.
    pub(crate) fn expect(
        &self,
        address: u64,
        owner: RealmId,
        purpose: Purpose,
    ) -> Result<GranuleAddress, Error> {
        let wrong = Error::Ledger {
            address,
            what: "the address of a granule",
        };
        let granule = GranuleAddress::new(address).ok_or(wrong)?;
        self.book.lock().expect(granule, owner, purpose)?;
        Ok(granule)
    }

    /// Ends a realm's part of the ledger: takes back whatever is still there, frees what it can.
    pub(crate) fn close(&self, owner: RealmId) -> Result<(), Error> {
        loop {
            let leftover = self.book.lock().leftover(owner);
            match leftover {
                Some((granule, Slot::Delegated(_))) => drop(self.undelegate(granule)?),
                Some((granule, _)) => self.release(granule)?,
                None => break,
            }
        }
        self.free_idle_pages(owner);
        self.book.lock().close(owner);
        self.budget.lock().close(owner);
        Ok(())
    }

    /// Calls `f` for each granule that the monitor has, in ascending order of address.
    pub(crate) fn for_each_delegated(&self, mut f: impl FnMut(GranuleAddress, Purpose, RealmId)) {
        let mut from = 0;
        loop {
            let next = self.book.lock().delegated_from(from);
            let Some((granule, purpose, owner)) = next else {
                return;
            };
            f(granule, purpose, owner);
            from = granule.get() + 1;
        }
    }

    /// Calls `f` for each granule in quarantine, in ascending order of address.
    pub(crate) fn for_each_quarantined(&self, mut f: impl FnMut(Quarantined)) {
        let mut from = 0;
        while let Some(entry) = self.quarantined_from(from) {
            f(entry);
            from = entry.granule.get() + 1;
        }
    }

    /// Tries to undelegate every granule in quarantine; returns how many came back.
    pub(crate) fn retry_quarantine(&self) -> Result<GranuleCount, Error> {
        let (mut from, mut back) = (0, 0);
        while let Some(entry) = self.quarantined_from(from) {
            if self.undelegate(entry.granule)? == Returned::Yes {
                back += 1;
            }
            from = entry.granule.get() + 1;
        }
        Ok(GranuleCount::new(back))
    }

    /// Makes a granule of the host's own all zero.
    pub(crate) fn clear(&self, granule: GranuleAddress) {
        for word in self.supply.words(granule) {
            word.store(0, core::sync::atomic::Ordering::Relaxed);
        }
    }

    fn quarantined_from(&self, from: u64) -> Option<Quarantined> {
        self.book
            .lock()
            .quarantined_from(from)
            .map(|(granule, purpose, owner, reason)| Quarantined {
                granule,
                purpose,
                owner,
                refusal: Refusal {
                    command: Command::GranuleUndelegate,
                    x0: if reason == u16::MAX {
                        u64::MAX
                    } else {
                        reason.into()
                    },
                },
            })
    }

    /// Delegates a granule that is held. It is cleared before.
    pub(super) fn delegate_held(&self, granule: GranuleAddress) -> Result<(), Refusal> {
        self.clear(granule);
        let answer = self.client.granule_delegate(granule_delegate::Input {
            addr: granule.get(),
        });
        answer.map_err(|refused| refused.refusal)?;
        // The granule is held, so this cannot fail.
        let _ = self.book.lock().delegated(granule);
        Ok(())
    }

    /// Delegates a run of held granules. If one is refused, those before it are taken back, those behind it
    /// released, and the refusal is returned.
    fn delegate_run(
        &self,
        first: GranuleAddress,
        count: GranuleCount,
    ) -> Result<Option<(Refusal, GranuleAddress)>, Error> {
        for done in 0..count.get() {
            let granule = first.plus(GranuleCount::new(done));
            if let Err(refusal) = self.delegate_held(granule) {
                self.book.lock().set_aside(granule)?;
                for before in 0..done {
                    self.undelegate(first.plus(GranuleCount::new(before)))?;
                }
                for behind in done + 1..count.get() {
                    self.release(first.plus(GranuleCount::new(behind)))?;
                }
                return Ok(Some((refusal, granule)));
            }
        }
        Ok(None)
    }

    fn take(&self, owner: RealmId, purpose: Purpose) -> Result<GranuleAddress, Error> {
        // A second thread may take all granules of the page that this one adds, so it may need more than one.
        loop {
            if let Some(granule) = self.book.lock().take(owner, purpose) {
                return Ok(granule);
            }
            let align = self.supply.page_size().bytes();
            let page = self.allocate(owner, purpose.side(), PageCount::ONE, align)?;
            self.book.lock().add_page(owner, purpose.side(), page);
        }
    }

    fn take_contiguous(
        &self,
        owner: RealmId,
        purpose: Purpose,
        count: GranuleCount,
    ) -> Result<GranuleAddress, Error> {
        let size = self.supply.page_size();
        let pages = count.pages(size);
        let align = count.bytes().max(size.bytes());
        let base = self.allocate(owner, purpose.side(), pages, align)?;
        let mut book = self.book.lock();
        let first = base.granule(0);
        for page in 0..pages.get() {
            book.add_page(owner, purpose.side(), base.plus(PageCount::new(page), size));
        }
        for granule in 0..count.get() {
            book.take_at(first.plus(GranuleCount::new(granule)), purpose)?;
        }
        Ok(first)
    }

    fn allocate(
        &self,
        owner: RealmId,
        side: Side,
        pages: PageCount,
        align: u64,
    ) -> Result<PageAddress, Error> {
        let mut budget = self.budget.lock();
        let may = budget.may_take(owner, side, pages, self.supply.free_pages());
        let first = may.then(|| self.supply.allocate(pages, align)).flatten();
        let first = first.ok_or(Error::OutOfMemory { pages })?;
        budget.took(owner, side, pages);
        Ok(first)
    }

    fn free(&self, page: Option<Freed>) {
        if let Some(Freed { page, owner, side }) = page {
            let mut budget = self.budget.lock();
            self.supply.free(page, PageCount::ONE);
            budget.gave(owner, side, PageCount::ONE);
        }
    }

    fn free_idle_pages(&self, owner: RealmId) {
        loop {
            let page = self.book.lock().take_idle_page(owner);
            if page.is_none() {
                return;
            }
            self.free(page);
        }
    }
}

fn not_delegable(last: Option<(Refusal, GranuleAddress)>) -> Error {
    match last {
        Some((refusal, granule)) => Error::NotDelegable {
            refusal,
            address: granule.get(),
        },
        None => Error::OutOfMemory {
            pages: PageCount::ONE,
        },
    }
}
