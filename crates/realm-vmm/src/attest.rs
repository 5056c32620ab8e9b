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
    /// A challenge of its own for each run. The seed is a time: good enough to tell one run's token from that of
    /// another, and nothing that somebody else could not guess.
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        Self {
            // SplitMix64.
            challenge: core::array::from_fn(|_| {
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut word = state;
                word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                word ^ (word >> 31)
            }),
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

    /// Token and challenge in hexadecimal, if the realm has handed over a token.
    pub(crate) fn report(&self) -> (Option<String>, Option<String>) {
        if self.token.is_empty() {
            return (None, None);
        }
        let challenge = self.challenge.iter().flat_map(|word| word.to_le_bytes());
        (Some(hex(self.token.iter().copied())), Some(hex(challenge)))
    }
}

fn hex(bytes: impl Iterator<Item = u8>) -> String {
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
    fn a_challenge_is_its_seeds() {
        let mut first = Attestation::new(1);
        assert_eq!(first.ask(), Attestation::new(1).ask());
        assert_ne!(first.ask(), Attestation::new(2).ask());
        let words = first.ask();
        assert!((1..8).all(|n| words[n] != words[n - 1]));
    }

    #[test]
    fn without_a_token_nothing_is_reported() {
        let mut attestation = Attestation::new(1);
        attestation.ask();
        assert_eq!(attestation.report(), (None, None));
        attestation.challenge = [0x0807_0605_0403_0201, 0, 0, 0, 0, 0, 0, 0xFF << 56];
        attestation.token.extend([0xD9, 0x01]);
        let (token, challenge) = attestation.report();
        assert_eq!(token.as_deref(), Some("d901"));
        let challenge = challenge.unwrap_or_default();
        assert_eq!(challenge.len(), 128);
        assert!(challenge.starts_with("0102030405060708") && challenge.ends_with("00ff"));
    }
}
