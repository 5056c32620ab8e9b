//! Attestation: the key and the platform token that EL3 gives to this monitor, and the tokens of realms made with them
//! (RMM specification 1.0-rel0, A7.2).

mod fetch;
mod places;
mod token;

pub use fetch::{RootServices, Unavailable};
pub use places::PLACES;
pub(crate) use places::Places;
pub use token::{Signature, Signing};
pub(crate) use token::{sign, token_bytes};

use realm_token::PLATFORM_TOKEN_MAX;
use realm_token::sign::Key;

/// What this monitor attests with, for as long as it runs.
#[derive(Clone)]
pub struct Attestation {
    /// The realm attestation key (RAK).
    key: Key,
    /// Its public part, an uncompressed point.
    public_key: [u8; realm_token::PUBLIC_KEY_SIZE],
    platform_token: [u8; PLATFORM_TOKEN_MAX],
    platform_token_size: usize,
}

impl core::fmt::Debug for Attestation {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Attestation").finish_non_exhaustive()
    }
}

impl Attestation {
    /// The platform token: a signed message.
    #[must_use]
    pub fn platform_token(&self) -> &[u8] {
        &self.platform_token[..self.platform_token_size]
    }

    /// The public part of the realm attestation key, an uncompressed point.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; realm_token::PUBLIC_KEY_SIZE] {
        &self.public_key
    }
}
