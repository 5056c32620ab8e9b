//! Why a call to the RMM failed.

use core::fmt;

/// How an RSI command failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no RMM, or it does not know the command: `SMCCC_NOT_SUPPORTED`.
    NotSupported,
    /// `RSI_ERROR_INPUT`: an operand is not valid.
    Input,
    /// `RSI_ERROR_STATE`: the realm or the vCPU is in the wrong state for the command.
    State,
    /// `RSI_ERROR_UNKNOWN`: the RMM failed for another reason.
    Unknown,
    /// The host rejected a change of memory to RAM; everything below `reached` has been changed.
    Rejected {
        /// The first address that has not been changed.
        reached: u64,
    },
    /// The host let a request for a change of memory through many times without making any progress.
    NoProgress {
        /// The first address that has not been changed.
        reached: u64,
    },
    /// The answer is none that the specification allows.
    Malformed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSupported => f.write_str("not supported"),
            Self::Input => f.write_str("RSI_ERROR_INPUT"),
            Self::State => f.write_str("RSI_ERROR_STATE"),
            Self::Unknown => f.write_str("RSI_ERROR_UNKNOWN"),
            Self::Rejected { reached } => write!(f, "the host rejected the change at {reached:#x}"),
            Self::NoProgress { reached } => write!(f, "the host makes no progress at {reached:#x}"),
            Self::Malformed => f.write_str("an answer that the specification does not allow"),
        }
    }
}

impl core::error::Error for Error {}
