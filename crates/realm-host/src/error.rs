//! What can go wrong, with everything that is known about it.

use core::fmt;

use cca_abi::rmi::{Command, InterfaceVersion};

use crate::client::Refusal;
#[cfg(feature = "alloc")]
use crate::client::Refused;
use crate::units::PageCount;

/// Why an operation failed.
///
/// Whatever it is, the operation left things as they were before, unless it says how far it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The monitor refused a command.
    Refused {
        /// The command, the status and the index.
        refusal: Refusal,
        /// What the command was about: an IPA for commands on a realm's address space, else a physical address.
        address: u64,
    },
    /// There is no Realm Management Monitor.
    NoMonitor,
    /// The monitor speaks no revision of the interface that this crate speaks.
    Version {
        /// The nearest revision that the monitor supports.
        lower: InterfaceVersion,
        /// The highest revision that the monitor supports.
        higher: InterfaceVersion,
    },
    /// The embedder's allocator has no pages left.
    OutOfMemory {
        /// How many it was asked for.
        pages: PageCount,
    },
    /// A realm cannot be promised all the memory that it may need.
    Short {
        /// Bytes that it needs besides what it has.
        needed: u64,
        /// Bytes that are free, and that nobody else was promised.
        free: u64,
    },
    /// The monitor refused to take every piece of memory that it was offered.
    NotDelegable {
        /// The last refusal.
        refusal: Refusal,
        /// The granule that it was about.
        address: u64,
    },
    /// The monitor's answer is not one that the specification allows.
    Answer {
        /// The command.
        command: Command,
        /// What is wrong with it.
        what: &'static str,
        /// The value that is wrong.
        value: u64,
    },
    /// The same command kept ending without progress.
    NoProgress {
        /// The command.
        command: Command,
        /// Where it stands still.
        address: u64,
    },
    /// The embedder asked for something that cannot be.
    Usage {
        /// What.
        what: &'static str,
        /// The value that is wrong.
        value: u64,
    },
    /// The vCPU that a PSCI call names has no REC any more. A monitor completes such a call with that REC only (RMM specification
    /// 1.0-rel0, RMI_PSCI_COMPLETE): the vCPU that made it waits for ever, the others of its realm run on.
    PsciTarget {
        /// The REC index of the target.
        target: u64,
    },
    /// As much was done as was asked for, and there is more to do. [`Realm::destroy_step`](crate::Realm::destroy_step) tells it
    /// otherwise; no other operation ends so.
    Unfinished,
    /// All VMIDs are taken.
    NoVmid,
    /// The ledger does not know a granule in the state that the operation needs: a defect of this crate, or a
    /// monitor that returned a granule that it was never given.
    Ledger {
        /// The granule's address.
        address: u64,
        /// What was expected of it.
        what: &'static str,
    },
}

impl Error {
    /// An error from a refusal.
    #[must_use]
    pub const fn refused(refusal: Refusal, address: u64) -> Self {
        Self::Refused { refusal, address }
    }

    /// The refusal in it, if that is what it is.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused { refusal, .. } | Self::NotDelegable { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }
}

/// Turns a client's answer into an [`Error`] that names an address.
#[cfg(feature = "alloc")]
pub(crate) trait About<O> {
    /// Names the address.
    fn about(self, address: u64) -> Result<O, Error>;
}

#[cfg(feature = "alloc")]
impl<O> About<O> for Result<O, Refused<O>> {
    fn about(self, address: u64) -> Result<O, Error> {
        self.map_err(|refused| Error::refused(refused.refusal, address))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal, address } => write!(f, "{refusal} (address {address:#x})"),
            Self::NoMonitor => f.write_str("there is no realm management monitor"),
            Self::Version { lower, higher } => {
                let own = InterfaceVersion::V1_0;
                write!(
                    f,
                    "the monitor speaks RMI {lower} to {higher}, the host {own}"
                )
            }
            Self::OutOfMemory { pages } => {
                write!(f, "out of memory: {} host pages wanted", pages.get())
            }
            Self::Short { needed, free } => {
                let (needed, free) = (needed.div_ceil(1024), free / 1024);
                write!(f, "it needs {needed} KiB, and {free} KiB are free")
            }
            Self::NotDelegable { refusal, address } => {
                write!(
                    f,
                    "the monitor takes no memory that it is offered: {refusal} (granule {address:#x})"
                )
            }
            Self::Answer {
                command,
                what,
                value,
            } => {
                write!(
                    f,
                    "{}: the monitor answered with {what}: {value:#x}",
                    command.name()
                )
            }
            Self::NoProgress { command, address } => {
                write!(f, "{}: no progress at {address:#x}", command.name())
            }
            Self::Usage { what, value } => write!(f, "{what}: {value:#x}"),
            Self::PsciTarget { target } => {
                write!(
                    f,
                    "the target of a PSCI call, REC {target}, does not exist any more"
                )
            }
            Self::Unfinished => f.write_str("there is more to do"),
            Self::NoVmid => f.write_str("all VMIDs are in use"),
            Self::Ledger { address, what } => write!(f, "granule {address:#x} is not {what}"),
        }
    }
}

impl core::error::Error for Error {}
