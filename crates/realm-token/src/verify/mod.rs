//! Decoding and verifying tokens.
//!
//! [`Evidence::decode`] says what a token *claims*; until [`Evidence::verify`] has agreed, anybody can have written
//! it. Verifying follows the chain from the platform's attestation key, which the caller must know from elsewhere:
//! it signed the platform token, that names the digest of the realm attestation key, which signed the realm token,
//! that repeats the caller's challenge.
//!
//! A token is only as good as what it is compared with: [`Expected`] says what the caller knows, and a step without anything to
//! compare with is [`Check::NotChecked`], never passed. What is claimed besides (software components, configuration, personalization
//! value, extensible measurements) is for the caller to judge.
//!
//! Decoding is strict: the rules of RFC 8949, 9052 and 9053, of RFC 8392 and 9711, and of the profile for every structure of a
//! token, with a test for each in `tests/rules`.
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
mod strict;

use alloc::vec::Vec;

use coset::cbor::value::Value;
use sha2::{Digest, Sha256, Sha384, Sha512};

pub use error::{Error, Part};
pub use key::{Curve, KeyError, PublicKey};
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

/// What a token is verified against. What is `None` is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The platform's attestation key (CPAK).
    pub platform_key: Option<&'a PublicKey>,
    /// The instance id of the platform that has this key.
    pub instance_id: Option<&'a [u8; 33]>,
    /// The implementation id of platforms of this kind.
    pub implementation_id: Option<&'a [u8; 32]>,
    /// The challenge that the realm was given. Shorter ones are filled up with zeros, as realms do. Without it, the token may be an
    /// old one that somebody has kept.
    pub challenge: Option<&'a [u8]>,
    /// The realm initial measurement. Without it, the realm may be any.
    pub rim: Option<&'a [u8]>,
}

/// What a step that found nothing wrong has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Check {
    /// All is as it should be.
    Passed,
    /// There was nothing to compare with.
    NotChecked,
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
    /// The platform is in production use and not being debugged.
    Lifecycle,
    /// The platform is the one that has the key.
    Instance,
    /// The platform is of the kind that has such keys.
    Implementation,
    /// The realm token repeats the challenge.
    Challenge,
    /// The realm was built from what it should be.
    Measurement,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 8] = [
        Self::PlatformSignature,
        Self::RealmSignature,
        Self::Binding,
        Self::Lifecycle,
        Self::Instance,
        Self::Implementation,
        Self::Challenge,
        Self::Measurement,
    ];

    /// What is checked, in a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PlatformSignature => "platform signature",
            Self::RealmSignature => "realm signature",
            Self::Binding => "binding of the two",
            Self::Lifecycle => "life cycle state",
            Self::Instance => "instance id",
            Self::Implementation => "implementation id",
            Self::Challenge => "challenge",
            Self::Measurement => "initial measurement",
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

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// Says what is wrong.
    pub fn check(&self, step: Step, expected: &Expected<'_>) -> Result<Check, Error> {
        match step {
            Step::PlatformSignature => given(expected.platform_key, |key| {
                self.platform_message.verify(key)
            }),
            Step::RealmSignature => {
                self.realm_message.verify(&self.realm.public_key)?;
                Ok(Check::Passed)
            }
            Step::Binding => self.check_binding(),
            Step::Lifecycle if self.platform.lifecycle.is_secured() => Ok(Check::Passed),
            Step::Lifecycle => Err(Error::Lifecycle {
                state: self.platform.lifecycle,
            }),
            Step::Instance => given(expected.instance_id, |expected| {
                let found = &self.platform.instance_id;
                same(expected, found, |expected, found| Error::Instance {
                    expected,
                    found,
                })
            }),
            Step::Implementation => given(expected.implementation_id, |expected| {
                let found = &self.platform.implementation_id;
                same(expected, found, |expected, found| Error::Implementation {
                    expected,
                    found,
                })
            }),
            Step::Challenge => given(expected.challenge, |expected| {
                let mut padded = [0; 64];
                padded
                    .get_mut(..expected.len())
                    .ok_or(Error::ChallengeTooLong {
                        size: expected.len(),
                    })?
                    .copy_from_slice(expected);
                let found = &self.realm.challenge;
                same(&padded, found, |expected, found| Error::Challenge {
                    expected,
                    found,
                })
            }),
            Step::Measurement => given(expected.rim, |expected| {
                let found = &self.realm.rim;
                same(expected, found, |expected, found| Error::Measurement {
                    expected,
                    found,
                })
            }),
        }
    }

    /// Takes all steps, in order, and says which of them had nothing to compare with.
    ///
    /// # Errors
    ///
    /// The first that fails.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<Vec<Step>, Error> {
        let mut left = Vec::new();
        for step in Step::ALL {
            if self.check(step, expected)? == Check::NotChecked {
                left.push(step);
            }
        }
        Ok(left)
    }

    fn check_binding(&self) -> Result<Check, Error> {
        let hash = self.realm.public_key_hash;
        let realm_key = digest(hash, &self.realm.encoded_key);
        same(
            &realm_key,
            &self.platform.challenge,
            |realm_key, platform| Error::Binding {
                hash: hash.name(),
                realm_key,
                platform,
            },
        )?;
        Ok(Check::Passed)
    }
}

/// Compares with what was given, if it was.
fn given<T>(
    expected: Option<T>,
    compare: impl FnOnce(T) -> Result<(), Error>,
) -> Result<Check, Error> {
    match expected {
        Some(expected) => compare(expected).map(|()| Check::Passed),
        None => Ok(Check::NotChecked),
    }
}

fn same(
    expected: &[u8],
    found: &[u8],
    wrong: impl FnOnce(Vec<u8>, Vec<u8>) -> Error,
) -> Result<(), Error> {
    if expected == found {
        Ok(())
    } else {
        Err(wrong(expected.to_vec(), found.to_vec()))
    }
}

/// Decodes a token and verifies it against all that was given; [`Evidence::verify`] says what was not.
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
    let Value::Tag(tag, content) = strict::read("the token", token)? else {
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
        *place = Some(message);
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
