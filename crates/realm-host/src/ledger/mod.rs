//! Where every granule is: the ledger, the pool that packs pages with granules, and the quarantine.
//!
//! A host page is on one of two *sides*: its granules are either given to the monitor, or shared with it or with a
//! realm. The two never meet in one page, because the host may touch any byte of a page that is its own. A page is
//! taken from the embedder's allocator when a granule is needed and no page of that realm and side has room, and
//! goes back when all of its granules are the host's again and unused.

mod book;
mod budget;
mod granules;
mod handle;
mod pages;
mod slot;

pub(crate) use granules::Granules;
pub use granules::{Quarantined, Returned};
pub(crate) use handle::EMBEDDER;
pub use handle::{DelegatedGranule, OwnGranule};
pub use slot::{Account, Purpose, RealmId};
