//! The Realm Services Interface: what a realm may ask of the RMM (RMM specification 1.0-rel0, chapter B5).

mod structures;
#[macro_use]
mod table;

pub use structures::{HostCall, RealmConfig, host_call_offset, realm_config_offset};

/// What a failure condition of RSI reports: X0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// RSI_ERROR_INPUT.
    Input,
    /// RSI_ERROR_STATE.
    State,
    /// RSI_ERROR_UNKNOWN.
    Unknown,
}

impl FailureKind {
    /// X0.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Input => ERROR_INPUT,
            Self::State => ERROR_STATE,
            Self::Unknown => ERROR_UNKNOWN,
        }
    }
}

/// RSI_SUCCESS.
pub const SUCCESS: u64 = 0;
/// RSI_ERROR_INPUT: an operand is not valid.
pub const ERROR_INPUT: u64 = 1;
/// RSI_ERROR_STATE: the realm or REC is not in the state that the command needs.
pub const ERROR_STATE: u64 = 2;
/// RSI_INCOMPLETE: call again for the rest.
pub const INCOMPLETE: u64 = 3;
/// RSI_ERROR_UNKNOWN: the operation failed for another reason.
pub const ERROR_UNKNOWN: u64 = 4;

/// Number of measurements of a realm: the initial measurement and four extensible ones.
pub const MEASUREMENTS: usize = 5;
/// Size of a measurement in 64-bit words.
pub const MEASUREMENT_WORDS: usize = 8;

/// RsiRipasChangeFlags: entries whose RIPAS is DESTROYED may be changed too.
pub const CHANGE_DESTROYED: u64 = 1;
/// RsiResponse: the host went along.
pub const RESPONSE_ACCEPT: u64 = 0;
/// RsiResponse: the host refused.
pub const RESPONSE_REJECT: u64 = 1;

rsi_commands!(define_commands);
