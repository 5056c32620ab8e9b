//! The token of a realm, from what its REC keeps: challenge, measurements, signature.
//!
//! Everything but the signature is quickly made again whenever a part of the token is asked for, so that no buffer for
//! the token is needed.

use realm_token::sign::Key;
use realm_token::{CcaToken, REALM_PAYLOAD_MAX, RealmClaims, SIGNATURE_SIZE, Sign1};

use super::Attestation;
use super::places::Claim;
use crate::platform::{Platform, ProcessingElement, RecContext};
use crate::realm::Realm;
use crate::rec::{RunningRec, layout};

/// A signature: r, then s.
pub type Signature = [u8; SIGNATURE_SIZE];

/// A signature that is to be made, with all that it takes.
#[derive(Clone)]
pub struct Signing {
    key: Key,
    payload: [u8; REALM_PAYLOAD_MAX],
    size: usize,
}

impl core::fmt::Debug for Signing {
    /// Without the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Signing").finish_non_exhaustive()
    }
}

impl Signing {
    /// Makes it, which takes millions of instructions.
    #[must_use]
    pub fn sign(&self) -> Signature {
        self.key.sign(&self.payload[..self.size])
    }
}

/// Copies words of a REC out as bytes.
fn bytes<const N: usize>(rec: RecContext<'_>, from: usize) -> [u8; N] {
    let mut bytes = [0; N];
    for (n, chunk) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        *chunk = rec.get(from + n).to_le_bytes();
    }
    bytes
}

/// The encoded claims of the realm token.
fn payload<'b>(
    attestation: &Attestation,
    realm: &Realm<'_>,
    rec: RecContext<'_>,
    buffer: &'b mut [u8; REALM_PAYLOAD_MAX],
) -> &'b [u8] {
    let measurement = |slot: usize| {
        bytes(
            rec,
            layout::ATTEST_MEASUREMENTS + slot * layout::ATTEST_MEASUREMENT_WORDS,
        )
    };
    let mut rpv = [0; 64];
    for (chunk, word) in rpv.as_chunks_mut().0.iter_mut().zip(realm.rpv()) {
        *chunk = word.to_le_bytes();
    }
    let claims = RealmClaims {
        challenge: bytes(rec, layout::ATTEST_CHALLENGE),
        rpv,
        rim: measurement(0),
        rems: core::array::from_fn(|n| measurement(n + 1)),
        hash_algo: realm.hash_algorithm(),
        public_key: attestation.public_key,
    };
    // The buffer has the size of the largest claims.
    let size = claims.encode(buffer).unwrap_or(0);
    &buffer[..size]
}

/// Signs the claims, or goes on with that, until it is done or an interrupt is pending. Whether the signature is in the REC.
pub(crate) fn sign<P: Platform>(
    attestation: &Attestation,
    running: &RunningRec<'_, P>,
    pe: &mut impl ProcessingElement,
) -> bool {
    let rec = running.context;
    let places = running.monitor().places();
    let (place, signature) = match places.claim(running.address(), running.rd()) {
        Some(Claim::Begun(place)) => (place, pe.resume_signing(place)),
        Some(Claim::New(place)) => {
            let mut signing = Signing {
                key: attestation.key.clone(),
                payload: [0; REALM_PAYLOAD_MAX],
                size: 0,
            };
            let realm = running.realm();
            signing.size = payload(attestation, &realm, rec, &mut signing.payload).len();
            (place, pe.start_signing(place, signing))
        }
        None => return false,
    };
    let Some(signature) = signature else {
        places.suspend(place);
        return false;
    };
    places.free(place);
    for (n, chunk) in signature.as_chunks().0.iter().enumerate() {
        rec.set(layout::ATTEST_SIGNATURE + n, u64::from_le_bytes(*chunk));
    }
    true
}

/// Copies what begins at byte `offset` of a REC's signed token into `into`: how many bytes these were, and how many
/// follow.
pub(crate) fn token_bytes(
    attestation: &Attestation,
    realm: &Realm<'_>,
    rec: RecContext<'_>,
    offset: usize,
    into: &mut [u8],
) -> (usize, usize) {
    let mut buffer = [0; REALM_PAYLOAD_MAX];
    let token = CcaToken {
        platform: attestation.platform_token(),
        realm: Sign1 {
            payload: payload(attestation, realm, rec, &mut buffer),
            signature: &bytes(rec, layout::ATTEST_SIGNATURE),
        },
    };
    let copied = token.read(offset, into);
    (copied, token.size().saturating_sub(offset + copied))
}
