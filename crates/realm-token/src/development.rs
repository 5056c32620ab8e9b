//! The development identity: a platform attestation key that anybody can compute.
//!
//! A machine with a root of trust keeps its attestation key in hardware. An emulated one has nothing to keep a
//! secret in, so its key is derived from a 32-byte seed that is part of the firmware image. With
//! [`DEFAULT_SEED`] the key is known to the whole world: tokens signed with it show that the chain works, and prove
//! nothing about where a realm runs.

use sha2::{Digest, Sha384};

use crate::sign::{Key, PRIVATE_KEY_SIZE, is_scalar};

/// Which kind of platform has such an identity: the implementation id in its tokens.
pub const IMPLEMENTATION_ID: [u8; 32] = *b"suzerain root monitor, emulated.";

/// Size of a seed in bytes.
pub const SEED_SIZE: usize = 32;

/// The seed of images that were built without one. Not a secret.
pub const DEFAULT_SEED: [u8; SEED_SIZE] = *b"Suzerain: development, no secret";

/// What every derivation is labelled with.
pub const LABEL: &[u8] = b"Suzerain development identity; not a secret";

/// The platform attestation key (CPAK) of a seed.
#[must_use]
pub fn platform_key(seed: &[u8; SEED_SIZE]) -> Key {
    key(&derive(seed, b"platform attestation key", &[]))
}

/// The realm attestation key (RAK) of a seed, for the RMM whose image has this SHA-256: another RMM gets another key.
#[must_use]
pub fn realm_key(seed: &[u8; SEED_SIZE], rmm: &[u8; 32]) -> Key {
    key(&realm_scalar(seed, rmm))
}

/// The private scalar of [`realm_key`], which takes no calculation on the curve.
#[must_use]
pub fn realm_scalar(seed: &[u8; SEED_SIZE], rmm: &[u8; 32]) -> [u8; PRIVATE_KEY_SIZE] {
    derive(seed, b"realm attestation key", rmm)
}

fn key(scalar: &[u8; PRIVATE_KEY_SIZE]) -> Key {
    Key::from_scalar(scalar).expect("what is derived is a scalar")
}

/// The private scalar of a P-384 key from a seed: the first of SHA-384(label, 0, purpose, 0, seed, context, counter) with counter 0, 1, … as
/// 4 bytes, big-endian, that is a private scalar.
fn derive(seed: &[u8; SEED_SIZE], purpose: &[u8], context: &[u8]) -> [u8; PRIVATE_KEY_SIZE] {
    let mut counter = 0_u32;
    loop {
        let scalar: [u8; PRIVATE_KEY_SIZE] = Sha384::new()
            .chain_update(LABEL)
            .chain_update([0])
            .chain_update(purpose)
            .chain_update([0])
            .chain_update(seed)
            .chain_update(context)
            .chain_update(counter.to_be_bytes())
            .finalize()
            .into();
        if is_scalar(&scalar) {
            return scalar;
        }
        counter += 1;
    }
}
