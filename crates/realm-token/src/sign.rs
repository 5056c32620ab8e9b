//! Keys and signatures: ECDSA P-384 with SHA-384, deterministic (RFC 6979), without an allocator.

use p384::SecretKey;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha256, Sha384};

use crate::cose::{CoseKey, PUBLIC_KEY_SIZE, SIGNATURE_SIZE, SignaturePrefix};

/// Size of a private key in bytes: the scalar, big-endian.
pub const PRIVATE_KEY_SIZE: usize = 48;

/// A private key with its public part.
#[derive(Clone)]
pub struct Key {
    signing: SigningKey,
}

impl Key {
    /// From the private scalar, big-endian, with the public part calculated from it, which takes millions of instructions. `None` if it is zero or not below the order of the curve.
    #[must_use]
    pub fn from_scalar(scalar: &[u8; PRIVATE_KEY_SIZE]) -> Option<Self> {
        SigningKey::from_slice(scalar)
            .ok()
            .map(|signing| Self { signing })
    }

    /// The private scalar, big-endian.
    #[must_use]
    pub fn scalar(&self) -> [u8; PRIVATE_KEY_SIZE] {
        self.signing.to_bytes().into()
    }

    /// The public part as an uncompressed point.
    #[must_use]
    pub fn public_key(&self) -> [u8; PUBLIC_KEY_SIZE] {
        let mut bytes = [0; PUBLIC_KEY_SIZE];
        bytes.copy_from_slice(self.signing.verifying_key().to_sec1_point(false).as_bytes());
        bytes
    }

    /// Signs a payload for a [`Sign1`](crate::Sign1).
    #[must_use]
    pub fn sign(&self, payload: &[u8]) -> [u8; SIGNATURE_SIZE] {
        self.sign_digest(&digest_to_sign(payload))
    }

    /// Signs a digest made by [`digest_to_sign`], or in steps of the caller's own.
    #[must_use]
    pub fn sign_digest(&self, digest: &[u8; 48]) -> [u8; SIGNATURE_SIZE] {
        let signature: Signature = self
            .signing
            .sign_prehash(digest)
            .expect("a 48-byte digest can be signed with P-384");
        signature.to_bytes().into()
    }
}

/// Whether this is the scalar of a private key, big-endian: not zero, and below the order of the curve.
#[must_use]
pub fn is_scalar(scalar: &[u8; PRIVATE_KEY_SIZE]) -> bool {
    SecretKey::from_slice(scalar).is_ok()
}

/// SHA-384 of what is signed for a payload.
#[must_use]
pub fn digest_to_sign(payload: &[u8]) -> [u8; 48] {
    Sha384::new()
        .chain_update(SignaturePrefix::new(payload.len()).as_bytes())
        .chain_update(payload)
        .finalize()
        .into()
}

/// What the platform token's challenge must be for this realm attestation key (an uncompressed point): SHA-256 of
/// its [`CoseKey`].
#[must_use]
pub fn binding(realm_key: &[u8; PUBLIC_KEY_SIZE]) -> [u8; 32] {
    Sha256::digest(CoseKey::from_point(realm_key).as_bytes()).into()
}

/// The instance id of a platform with this attestation key (an uncompressed point): 0x01, then SHA-256 of the key.
#[must_use]
pub fn instance_id(platform_key: &[u8; PUBLIC_KEY_SIZE]) -> [u8; 33] {
    let mut id = [1; 33];
    id[1..].copy_from_slice(&Sha256::digest(platform_key));
    id
}
