//! Granules: who owns each 4 KiB of the machine's memory, and the locks that order all changes.
//!
//! At rest a granule is a 16-bit value in the [table](GranuleTable): a lock bit, the state and a count. In motion,
//! while a command works on it, it is a [`Locked`] guard that carries the state in its type and gives the lock back
//! when it goes out of scope. Only the transitions that the specification has (RMM specification 1.0-rel0, chapter A2) exist as functions,
//! and a granule that returns to DELEGATED is wiped on the way: *every DELEGATED granule is all zero*.
//!
//! Lock order: granules that the host names, in ascending address order; then translation tables, from the starting
//! level down, hand over hand; then granules found through a locked table. A granule whose state is not the
//! expected one is unlocked at once, so nobody ever waits while holding a granule that somebody else could reach
//! through a pointer.

mod banks;
mod guard;
mod table;
pub mod word;

pub use banks::{Bank, Banks, MAX_BANKS};
pub use guard::{Data, Delegated, InUse, Locked, Rd, Rec, RecAux, Rtt, State, Undelegated};
pub use table::{GranuleTable, Refused};

/// Bytes in a granule.
pub const GRANULE_SIZE: u64 = 4096;

/// Whether an address is the base of a granule.
#[must_use]
#[inline]
pub const fn is_aligned(address: u64) -> bool {
    address & (GRANULE_SIZE - 1) == 0
}

/// Lifecycle state of a granule (RMM specification 1.0-rel0, chapter A2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum GranuleState {
    /// The host's, or at least not ours. We may look at it only as an allegation of the host.
    Undelegated = 0,
    /// In the Realm address space, owned by nobody, all zero. Left by use or by undelegation.
    Delegated = 1,
    /// A realm descriptor. Left by RMI_REALM_DESTROY. The count is the number of RECs of the realm.
    Rd = 2,
    /// A realm execution context. Left by RMI_REC_DESTROY. The count is 1 while the REC runs.
    Rec = 3,
    /// Auxiliary storage of a REC; follows it.
    RecAux = 4,
    /// A page of a realm. Left by RMI_DATA_DESTROY.
    Data = 5,
    /// A translation table. Left by RMI_RTT_DESTROY, RMI_RTT_FOLD and, at the starting level, RMI_REALM_DESTROY.
    /// The count is the number of its live entries.
    Rtt = 6,
}

impl GranuleState {
    /// The specification's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            GranuleState::Undelegated => "UNDELEGATED",
            GranuleState::Delegated => "DELEGATED",
            GranuleState::Rd => "RD",
            GranuleState::Rec => "REC",
            GranuleState::RecAux => "REC_AUX",
            GranuleState::Data => "DATA",
            GranuleState::Rtt => "RTT",
        }
    }
}
