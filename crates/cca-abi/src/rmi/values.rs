//! Small types of RMI (RMM specification 1.0-rel0, section B4.4).

use core::fmt;

/// Largest number of auxiliary granules that an RMM may ask for per REC.
pub const MAX_AUX_GRANULES: usize = 16;

/// RmiDataFlags: measure the content.
pub const DATA_FLAG_MEASURE: u64 = 1;

/// RmiInterfaceVersion and RsiInterfaceVersion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceVersion {
    /// Revisions of different majors may be incompatible.
    pub major: u16,
    /// Within a major, a higher minor only adds.
    pub minor: u16,
}

impl InterfaceVersion {
    /// Revision 1.0, the baseline of this implementation.
    pub const V1_0: InterfaceVersion = InterfaceVersion { major: 1, minor: 0 };

    /// The register value.
    #[must_use]
    pub const fn encode(self) -> u64 {
        (self.major as u64) << 16 | self.minor as u64
    }

    /// From a register value, ignoring bits 63:31.
    #[must_use]
    pub const fn decode(value: u64) -> Self {
        Self {
            major: (value >> 16) as u16 & 0x7FFF,
            minor: value as u16,
        }
    }
}

impl fmt::Display for InterfaceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// RmiRttEntryState: what RMI_RTT_READ_ENTRY says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// Nothing is mapped.
    Unassigned = 0,
    /// A data granule (protected) or Non-secure memory (unprotected) is mapped.
    Assigned = 1,
    /// The entry points to a table.
    Table = 2,
}

impl EntryState {
    /// From the register value.
    #[must_use]
    pub const fn decode(value: u64) -> Option<Self> {
        match value {
            0 => Some(Self::Unassigned),
            1 => Some(Self::Assigned),
            2 => Some(Self::Table),
            _ => None,
        }
    }
}

/// RmiRipas and RsiRipas: what a protected IPA is to the realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ripas {
    /// Nothing; an access is an external abort.
    Empty = 0,
    /// Private memory.
    Ram = 1,
    /// The host took something away; an access exits to the host.
    Destroyed = 2,
}

impl Ripas {
    /// From the register value.
    #[must_use]
    pub const fn decode(value: u64) -> Option<Self> {
        match value {
            0 => Some(Self::Empty),
            1 => Some(Self::Ram),
            2 => Some(Self::Destroyed),
            _ => None,
        }
    }
}

/// RmiHashAlgorithm and RsiHashAlgorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256: 32 bytes.
    Sha256 = 0,
    /// SHA-512: 64 bytes.
    Sha512 = 1,
}

impl HashAlgorithm {
    /// From the encoding; `None` if reserved.
    #[must_use]
    pub const fn decode(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::Sha256),
            1 => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Size of a digest in bytes.
    #[must_use]
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}
