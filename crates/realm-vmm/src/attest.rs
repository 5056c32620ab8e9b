//! The attestation token that a realm hands to its host: what was asked for, and what came.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use cca_abi::GRANULE_SIZE;
use cca_abi::host_calls::TOKEN_MAX;
use realm_host::realm::Active;
use realm_host::{Ipa, PageSupply, Realm, SmcTransport};

/// Challenge and token of a run.
#[derive(Debug)]
pub(crate) struct Attestation {
    challenge: [u64; 8],
    asked: bool,
    token: Vec<u8>,
}

impl Attestation {
    /// With the challenge of whoever wants to believe the token.
    pub(crate) const fn new(challenge: [u64; 8]) -> Self {
        Self {
            challenge,
            asked: false,
            token: Vec::new(),
        }
    }

    /// The realm asks for the challenge; what it has handed over so far is forgotten.
    pub(crate) fn ask(&mut self) -> [u64; 8] {
        self.asked = true;
        self.token.clear();
        self.challenge
    }

    /// The realm hands over `length` bytes at `address`, in one page that it shares. `None` if it does not, or has not asked
    /// for a challenge.
    pub(crate) fn take<T: SmcTransport, M: PageSupply>(
        &mut self,
        realm: &Realm<'_, T, M, Active>,
        address: u64,
        length: u64,
    ) -> Option<()> {
        let fits = length <= GRANULE_SIZE - address % GRANULE_SIZE;
        if !self.asked || !fits || self.token.len() + length as usize > TOKEN_MAX {
            return None;
        }
        let start = self.token.len();
        for offset in (0..length).step_by(8) {
            match realm.read_shared(Ipa::new(address + offset)) {
                Some(word) => self.token.extend(word.to_le_bytes()),
                None => {
                    self.token.truncate(start);
                    return None;
                }
            }
        }
        self.token.truncate(start + length as usize);
        Some(())
    }

    /// The token in hexadecimal, if the realm has handed one over.
    pub(crate) fn token(&self) -> Option<String> {
        (!self.token.is_empty()).then(|| hex(&self.token))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_token_nothing_is_reported() {
        let mut attestation = Attestation::new([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(attestation.ask(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(attestation.token(), None);
        attestation.token.extend([0xD9, 0x01]);
        assert_eq!(attestation.token().as_deref(), Some("d901"));
    }
}
