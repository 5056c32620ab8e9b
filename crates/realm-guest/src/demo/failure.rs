//! What the demonstration program can find wrong.

use core::fmt;

use crate::Error;

/// A check that failed, with what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The host described memory that the program cannot use.
    Memory {
        /// First address.
        base: u64,
        /// Bytes.
        size: u64,
    },
    /// The RMM refused an RSI command, or answered outside of the specification.
    Rsi {
        /// The command's name.
        command: &'static str,
        /// Why it failed.
        error: Error,
    },
    /// The realm's configuration makes no sense.
    Configuration,
    /// A PSCI function gave something that it must not.
    Psci {
        /// The function's name.
        function: &'static str,
        /// What it returned in X0.
        returned: i64,
    },
    /// A vCPU runs under another MPIDR than it was started with.
    Mpidr {
        /// `MPIDR_EL1` as read.
        found: u64,
    },
    /// A vCPU turned itself off without having done its part.
    Idle {
        /// Its index.
        vcpu: u64,
    },
    /// The host did not build what the RMM measured.
    Measurement,
    /// The host did not compute what it was asked for.
    HostSum {
        /// What it should be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The host saw something else in the shared page than the realm wrote.
    SharedRead {
        /// What the realm wrote.
        expected: u64,
        /// What the host read.
        found: u64,
    },
    /// The host's own word did not arrive in the shared page.
    SharedWrite,
    /// The RMM made a token that is longer than it said.
    Token {
        /// Bytes that it has at least.
        found: u64,
        /// Bytes that it was to have at most.
        most: u64,
    },
    /// The host did not take the attestation token.
    TokenRefused,
    /// Memory does not hold what was written to it.
    Memorised {
        /// Where.
        address: u64,
        /// What was written.
        expected: u64,
        /// What was read.
        found: u64,
    },
    /// Another interrupt came than the virtual timer's.
    Interrupt {
        /// Its INTID.
        intid: u32,
    },
    /// The timer's interrupt came before its time.
    Early {
        /// The counter value that the timer was set to.
        deadline: u64,
        /// The counter when the interrupt was taken.
        counter: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Memory { base, size } => {
                write!(f, "memory of {size:#x} bytes at {base:#x} is not usable")
            }
            Self::Rsi { command, error } => write!(f, "{command}: {error}"),
            Self::Configuration => write!(f, "the realm's configuration makes no sense"),
            Self::Psci { function, returned } => write!(f, "{function} returned {returned}"),
            Self::Mpidr { found } => write!(f, "running under an unexpected MPIDR {found:#x}"),
            Self::Idle { vcpu } => write!(f, "vCPU {vcpu} is off and has not done its part"),
            Self::Measurement => write!(f, "the host did not build what the RMM measured"),
            Self::HostSum { expected, found } => {
                write!(f, "the host's sum is {found}, not {expected}")
            }
            Self::SharedRead { expected, found } => {
                write!(
                    f,
                    "the host read {found:#x} from the shared page, not {expected:#x}"
                )
            }
            Self::SharedWrite => write!(f, "the host's word did not arrive in the shared page"),
            Self::Token { found, most } => {
                write!(
                    f,
                    "the attestation token has {found} bytes or more, not {most} at most"
                )
            }
            Self::TokenRefused => write!(f, "the host did not take the attestation token"),
            Self::Memorised {
                address,
                expected,
                found,
            } => {
                write!(
                    f,
                    "memory at {address:#x} holds {found:#x}, not {expected:#x}"
                )
            }
            Self::Interrupt { intid } => {
                write!(f, "took interrupt {intid}, not the virtual timer's")
            }
            Self::Early { deadline, counter } => {
                write!(
                    f,
                    "the timer's interrupt came at {counter}, before its time {deadline}"
                )
            }
        }
    }
}
