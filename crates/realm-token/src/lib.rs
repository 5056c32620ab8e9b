//! The CCA attestation token: what a realm shows to somebody who wants to trust it.
//!
//! A token has two parts. The *platform token* says which firmware runs on which machine, and is signed by the
//! platform's attestation key (CPAK). The *realm token* says what is in the realm, and is signed by the realm
//! attestation key (RAK). The platform token carries a digest of the RAK, which ties the two together. Both are
//! COSE_Sign1 messages over a map of claims (RMM specification 1.0-rel0, section A7.2; profiles
//! [`REALM_PROFILE`] and [`PLATFORM_PROFILE`]).
//!
//! Building takes no allocator and no key, so that a monitor can hash and sign in its own time:
//!
//! 1. [`RealmClaims::encode`] or [`PlatformClaims::encode`] writes the *payload*, the encoded claims;
//! 2. [`SignaturePrefix::new`] gives the bytes that precede the payload in what is signed: the signature is ECDSA
//!    P-384 over SHA-384 of prefix and payload;
//! 3. [`Sign1`] is the signed message, from payload and signature;
//! 4. [`CcaToken`] joins both messages. It is copied out in parts of any size ([`CcaToken::read`]): nowhere is a
//!    buffer for the whole of it needed.
//!
//! Feature `sign` adds hashing, signing and the [development identity](development), still without an allocator.
//! Feature `verify` adds the other side, [decoding and verifying](verify), made from other libraries.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "verify")]
extern crate alloc;

mod cbor;
mod claims;
mod cose;
#[cfg(feature = "sign")]
pub mod development;
mod pieces;
mod platform;
mod realm;
#[cfg(feature = "sign")]
pub mod sign;
#[cfg(feature = "verify")]
pub mod verify;
mod wrapper;

pub use cbor::BufferTooSmall;
pub use claims::{
    HashName, PLATFORM_PROFILE, REALM_PROFILE, component_key, platform_key, realm_key,
};
pub use cose::{COSE_KEY_SIZE, CoseKey, PUBLIC_KEY_SIZE, SIGNATURE_SIZE, Sign1, SignaturePrefix};
pub use platform::{Lifecycle, PLATFORM_PAYLOAD_MAX, PlatformClaims, SoftwareComponent};
pub use realm::{REALM_PAYLOAD_MAX, REALM_TOKEN_MAX, RealmClaims};
pub use wrapper::{
    CcaToken, PLATFORM_LABEL, PLATFORM_TOKEN_MAX, REALM_LABEL, TOKEN_MAX, TOKEN_TAG,
};
