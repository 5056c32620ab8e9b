//! What no scenario brings about, and why: the coverage page says it, and its test that it is still so.

use crate::Needs;

/// Conditions that no host and no realm can bring about on a whole machine: `COMMAND/condition`, then why, and what shows
/// it instead.
pub const OUT_OF_REACH: &[(&str, &str)] = &[(
    "RSI_ATTESTATION_TOKEN_CONTINUE/unknown",
    "signing cannot fail with a key, and without one nothing is begun, which is told first (`state`); \
     `crates/realm-monitor/tests/attestation` has a platform that loses its key",
)];

impl Needs {
    /// On which machines a scenario runs that needs this.
    #[must_use]
    pub const fn machines(self) -> &'static str {
        match self {
            Self::Nothing | Self::Key => "both",
            Self::NoKey => "both, firmware without identity",
            Self::Registers => "QEMU only [2]",
            Self::Foreign => "in-process only [1]",
        }
    }
}
