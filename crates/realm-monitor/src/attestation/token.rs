//! The token of a realm, from what its REC keeps: challenge, measurements, signature.
//!
//! Everything but the signature is quickly made again whenever a part of the token is asked for, so that no buffer for
//! the token is needed.

use realm_token::{CcaToken, REALM_PAYLOAD_MAX, RealmClaims, Sign1};

use super::Attestation;
use crate::platform::RecContext;
use crate::realm::Realm;
use crate::rec::layout;

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

/// Signs the claims, which takes milliseconds, and leaves the signature in the REC.
pub(crate) fn sign(attestation: &Attestation, realm: &Realm<'_>, rec: RecContext<'_>) {
    let mut buffer = [0; REALM_PAYLOAD_MAX];
    let payload = payload(attestation, realm, rec, &mut buffer);
    let signature = attestation.key.sign(payload);
    for (n, chunk) in signature.as_chunks().0.iter().enumerate() {
        rec.set(layout::ATTEST_SIGNATURE + n, u64::from_le_bytes(*chunk));
    }
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
