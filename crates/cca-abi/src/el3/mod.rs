//! The interface between the RMM and the root monitor (RMM-EL3 communication interface 0.4).

pub mod manifest;
#[macro_use]
mod table;

/// The interface version passed in X1 at cold boot: 0.4.
pub const INTERFACE_VERSION: u64 = 0x0000_0004;

/// Major part of a version word.
#[must_use]
pub const fn version_major(version: u64) -> u64 {
    (version >> 16) & 0x7FFF
}

/// Minor part of a version word.
#[must_use]
pub const fn version_minor(version: u64) -> u64 {
    version & 0xFFFF
}

/// RMM_RMI_REQ_COMPLETE: the RMM is done with an RMI command. Does not return; the next command does.
pub const RMI_REQ_COMPLETE: u32 = 0xC400_018F;
/// RMM_BOOT_COMPLETE: the RMM is done booting on this PE.
pub const BOOT_COMPLETE: u32 = 0xC400_01CF;
/// A call of Suzerain's own, which another EL3 answers as unknown: the RMM, during its first boot, agrees that the
/// root monitor leaves some EL2 registers with the normal world's values until the RMM uses the first of them after an
/// RMI call arrived: the pointer authentication keys, SCXTNUM_EL2, HFG*_EL2, HDFG*_EL2, HCRX_EL2 and CNTPOFF_EL2.
///
/// The RMM promises to use at least one of them (for example, to load the realm's keys) before it enters a realm:
/// until then fine-grained traps, HCRX_EL2 and CNTPOFF_EL2 have no effect.
///
/// X0 is 0, or -1 if there is no such agreement and every register is switched with the world.
pub const SWITCH_ON_DEMAND: u32 = 0xC700_5A00;
/// A call of Suzerain's own, which another EL3 answers as unknown: the normal world rings for whoever started the machine and has
/// mapped the memory of the control channel ([`crate::firmware::CHANNEL_BASE`]).
///
/// X0 is 0, also if nobody is there to hear it.
pub const RING_BELL: u32 = 0xC700_5A01;
/// Number of results that RMM_RMI_REQ_COMPLETE carries to X0 to X4 of the host in interface 0.x.
pub const REQ_COMPLETE_RESULTS: usize = 5;

/// Codes of RMM_BOOT_COMPLETE (X1).
pub mod boot_code {
    /// Booted.
    pub const SUCCESS: i64 = 0;
    /// Failed for an unnamed reason.
    pub const UNKNOWN: i64 = -1;
    /// The interface version is not supported.
    pub const VERSION_NOT_VALID: i64 = -2;
    /// There are more PEs than supported.
    pub const CPUS_OUT_OF_RANGE: i64 = -3;
    /// The PE's index is out of range.
    pub const CPU_ID_OUT_OF_RANGE: i64 = -4;
    /// The shared buffer is missing or misaligned.
    pub const INVALID_SHARED_BUFFER: i64 = -5;
    /// The manifest's version is not supported.
    pub const MANIFEST_VERSION_NOT_SUPPORTED: i64 = -6;
    /// The manifest's data is not valid.
    pub const MANIFEST_DATA_ERROR: i64 = -7;
}

/// Return codes of the services (X0).
pub mod code {
    /// Done.
    pub const OK: i64 = 0;
    /// Failed for an unnamed reason, or not supported.
    pub const UNKNOWN: i64 = -1;
    /// The address is not valid.
    pub const BAD_ADDRESS: i64 = -2;
    /// The granule is not in the expected physical address space.
    pub const BAD_PAS: i64 = -3;
    /// Out of memory.
    pub const NO_MEMORY: i64 = -4;
    /// An argument is not valid.
    pub const INVALID: i64 = -5;
    /// Try again.
    pub const AGAIN: i64 = -6;
    /// It failed.
    pub const FAULT: i64 = -7;
    /// It is under way.
    pub const IN_PROGRESS: i64 = -8;
}

/// What a failure condition of a service reports: X0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// E_RMM_UNK.
    Unknown,
    /// E_RMM_BAD_ADDR.
    BadAddress,
    /// E_RMM_BAD_PAS.
    BadPas,
    /// E_RMM_INVAL.
    Invalid,
    /// E_RMM_AGAIN.
    Again,
}

impl FailureKind {
    /// The return code.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Unknown => code::UNKNOWN,
            Self::BadAddress => code::BAD_ADDRESS,
            Self::BadPas => code::BAD_PAS,
            Self::Invalid => code::INVALID,
            Self::Again => code::AGAIN,
        }
    }
}

rmm_el3_commands!(define_commands);
