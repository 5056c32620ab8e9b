//! Realm translation tables (RTTs): what their entries say, how they are walked and scanned (DEN0137 A5).

mod entry;
mod scan;
mod walk;

pub use entry::Entry;
pub use walk::{AddressSpace, Walk};
