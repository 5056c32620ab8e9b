//! Realm translation tables (RTTs): what their entries say, how they are walked and scanned (RMM specification 1.0-rel0,
//! chapter A5).

mod entry;
mod scan;
mod walk;

pub use entry::Entry;
pub(crate) use entry::{GROUP, OTHERS_LIVE};
pub use walk::{AddressSpace, Walk};
