//! Decoding and verifying tokens.
//!
//! [`Evidence::decode`] says what a token *claims*; until [`Evidence::verify`] has agreed, anybody can have written
//! it. Verifying follows the chain from the platform's attestation key, which the caller must know from elsewhere:
//! it signed the platform token, that names the digest of the realm attestation key, which signed the realm token,
//! that repeats the caller's challenge.
//!
//! Whether what is claimed is any good (the measurements, the life cycle state) is for the caller to judge.
//!
//! Besides tokens of the RMM specification 1.0-rel0 two older and newer spellings of the same claims are understood,
//! because public samples use them: the collection tagged 907, and realm tokens without a profile, whose key is an
//! uncompressed point.

mod error;
mod key;
mod map;
mod platform;
mod realm;
mod signed;

use alloc::vec::Vec;

use coset::cbor::value::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

pub use error::{Error, Part};
pub use key::{Curve, PublicKey};
pub use platform::{Component, Platform};
pub use realm::Realm;
use signed::Signed;

use crate::claims::HashName;
use crate::{PLATFORM_LABEL, REALM_LABEL, TOKEN_TAG};

/// Profile of platform tokens before the specification's 1.0.
pub const LEGACY_PROFILE: &str = "http://arm.com/CCA-SSD/1.0.0";

/// Tag of a collection of messages in drafts of the token's successor.
const COLLECTION_TAG: u64 = 907;

/// In such a collection: the content is an EAT.
const EAT_CONTENT: u64 = 263;

/// A decoded token: claims that nobody has verified yet.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the platform says about itself.
    pub platform: Platform,
    /// What the RMM says about the realm.
    pub realm: Realm,
    platform_message: Signed,
    realm_message: Signed,
}

/// What a token is verified against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The platform's attestation key (CPAK).
    pub platform_key: &'a PublicKey,
    /// The challenge that the realm was given. Shorter ones are filled up with zeros, as realms do. `None` accepts
    /// any: then the token may be an old one that somebody has kept.
    pub challenge: Option<&'a [u8]>,
}

/// A step of verifying a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The platform token is signed by the platform's attestation key.
    PlatformSignature,
    /// The realm token is signed by the key in it.
    RealmSignature,
    /// That key is the one whose digest is in the platform token.
    Binding,
    /// The realm token repeats the challenge.
    Challenge,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 4] = [
        Self::PlatformSignature,
        Self::RealmSignature,
        Self::Binding,
        Self::Challenge,
    ];

    /// What is checked, in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlatformSignature => "platform signature",
            Self::RealmSignature => "realm signature",
            Self::Binding => "binding of the two",
            Self::Challenge => "challenge",
        }
    }
}

impl Evidence {
    /// Decodes a token.
    ///
    /// # Errors
    ///
    /// Says in which part what is missing, or not what it has to be.
    pub fn decode(token: &[u8]) -> Result<Self, Error> {
        let (platform, realm) = parts(token)?;
        let platform_message = Signed::decode(Part::Platform, &platform)?;
        let realm_message = Signed::decode(Part::Realm, &realm)?;
        Ok(Self {
            platform: Platform::decode(platform_message.payload())?,
            realm: Realm::decode(realm_message.payload())?,
            platform_message,
            realm_message,
        })
    }

    /// Takes one step. A [`Step::Challenge`] without one to expect is always right.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn check(&self, step: Step, expected: &Expected<'_>) -> Result<(), Error> {
        match step {
            Step::PlatformSignature => self.platform_message.verify(expected.platform_key),
            Step::RealmSignature => self.realm_message.verify(&self.realm.public_key),
            Step::Binding => self.check_binding(),
            Step::Challenge => self.check_challenge(expected.challenge),
        }
    }

    /// Takes all steps, in order.
    ///
    /// # Errors
    ///
    /// The first that fails.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<(), Error> {
        Step::ALL
            .into_iter()
            .try_for_each(|step| self.check(step, expected))
    }

    fn check_binding(&self) -> Result<(), Error> {
        let digest = digest(self.realm.public_key_hash, &self.realm.encoded_key);
        if self.platform.challenge == digest {
            Ok(())
        } else {
            Err(Error::Binding {
                hash: self.realm.public_key_hash.name(),
                realm_key: digest,
                platform: self.platform.challenge.clone(),
            })
        }
    }

    fn check_challenge(&self, expected: Option<&[u8]>) -> Result<(), Error> {
        let Some(expected) = expected else {
            return Ok(());
        };
        let mut padded = [0; 64];
        padded
            .get_mut(..expected.len())
            .ok_or(Error::ChallengeTooLong {
                size: expected.len(),
            })?
            .copy_from_slice(expected);
        if self.realm.challenge == padded {
            Ok(())
        } else {
            Err(Error::Challenge {
                expected: padded.to_vec(),
                found: self.realm.challenge.to_vec(),
            })
        }
    }
}

/// Decodes a token and verifies it.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn verify(token: &[u8], expected: &Expected<'_>) -> Result<Evidence, Error> {
    let evidence = Evidence::decode(token)?;
    evidence.verify(expected)?;
    Ok(evidence)
}

/// Takes the platform token and the realm token out of their wrapping.
fn parts(token: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Error> {
    let Value::Tag(tag, content) = map::read("the token", token)? else {
        return Err(Error::NotTagged);
    };
    if tag != u64::from(TOKEN_TAG) && tag != COLLECTION_TAG {
        return Err(Error::WrongTag { tag });
    }
    let Value::Map(entries) = *content else {
        return Err(Error::NoMap { what: "the token" });
    };
    let mut platform = None;
    let mut realm = None;
    for (label, value) in entries {
        let label = label
            .as_integer()
            .and_then(|label| u32::try_from(label).ok());
        let (part, place) = match label {
            Some(PLATFORM_LABEL) => (Part::Platform, &mut platform),
            Some(REALM_LABEL) => (Part::Realm, &mut realm),
            _ => return Err(Error::UnknownPart),
        };
        let message = match value {
            Value::Bytes(message) if tag == u64::from(TOKEN_TAG) => message,
            Value::Array(items) if tag == COLLECTION_TAG => match <[Value; 2]>::try_from(items) {
                Ok([Value::Integer(kind), Value::Bytes(message)]) if kind == EAT_CONTENT.into() => {
                    message
                }
                _ => return Err(Error::NoMessage { part }),
            },
            _ => return Err(Error::NoMessage { part }),
        };
        if place.replace(message).is_some() {
            return Err(Error::DuplicatePart { part });
        }
    }
    let missing = |part| Error::MissingPart { part };
    Ok((
        platform.ok_or(missing(Part::Platform))?,
        realm.ok_or(missing(Part::Realm))?,
    ))
}

fn digest(hash: HashName, bytes: &[u8]) -> Vec<u8> {
    match hash {
        HashName::Sha256 => Sha256::digest(bytes).to_vec(),
        HashName::Sha384 => Sha384::digest(bytes).to_vec(),
        HashName::Sha512 => Sha512::digest(bytes).to_vec(),
    }
}
