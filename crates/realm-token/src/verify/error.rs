//! What can be wrong with a token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{Curve, KeyError};
use crate::platform::Lifecycle;

/// A part of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The platform token.
    Platform,
    /// The realm token.
    Realm,
}

impl Part {
    /// Its name in a sentence.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Platform => "the platform token",
            Self::Realm => "the realm token",
        }
    }

    /// The name of its protected header.
    pub(super) const fn header(self) -> &'static str {
        match self {
            Self::Platform => "the protected header of the platform token",
            Self::Realm => "the protected header of the realm token",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform => "platform token",
            Self::Realm => "realm token",
        })
    }
}

/// Why a token is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not CBOR.
    #[error("{what} is not well-formed CBOR")]
    Malformed {
        /// What was read.
        what: &'static str,
    },
    /// A string, an array or a map without a length (RFC 8949, section 3.2), which the profile does not allow.
    #[error("{what} has an item of indefinite length")]
    Indefinite {
        /// What was read.
        what: &'static str,
    },
    /// Items in items in items.
    #[error("{what} is nested too deeply")]
    Nested {
        /// What was read.
        what: &'static str,
    },
    /// A key is there twice in a map, so that two readers may see two different things (RFC 8949, section 5.6).
    #[error("{what} has a map with a key that is there twice")]
    Duplicate {
        /// What was read.
        what: &'static str,
    },
    /// A map with keys that are neither numbers nor text.
    #[error("{what} has a key that is neither a number nor text")]
    NoLabel {
        /// What was read.
        what: &'static str,
    },
    /// There is more than there should be.
    #[error("{count} bytes follow {what}")]
    Trailing {
        /// What was read.
        what: &'static str,
        /// Bytes after it.
        count: usize,
    },
    /// No tag around the token.
    #[error("this is no CCA token: it has no tag (399 was expected)")]
    NotTagged,
    /// Another tag around the token.
    #[error("this is no CCA token: its tag is {tag}, not 399")]
    WrongTag {
        /// Which.
        tag: u64,
    },
    /// Something else than a map.
    #[error("{what} is no map")]
    NoMap {
        /// What was read.
        what: &'static str,
    },
    /// The token has a part that is neither platform nor realm token.
    #[error("the token has a part that is neither platform nor realm token")]
    UnknownPart,
    /// A part is not there.
    #[error("there is no {part}")]
    MissingPart {
        /// Which.
        part: Part,
    },
    /// A part is no COSE_Sign1.
    #[error("the {part} is no tagged COSE_Sign1 message")]
    NoMessage {
        /// Which.
        part: Part,
    },
    /// The message has no payload in it.
    #[error("the {part} has no payload")]
    NoPayload {
        /// Which.
        part: Part,
    },
    /// The message is signed with an algorithm that is not known here.
    #[error("the {part} is signed with {algorithm}; only ES384 and ES256 are known")]
    Algorithm {
        /// Which.
        part: Part,
        /// The algorithm, as it is in the message.
        algorithm: String,
    },
    /// A header parameter is there twice, signed and not (RFC 9052, section 3).
    #[error(
        "the {part} has header parameter {label} both in its protected and in its unprotected header"
    )]
    BothHeaders {
        /// Which.
        part: Part,
        /// The label.
        label: String,
    },
    /// `crit` is where anybody can change it (RFC 9052, section 3.1).
    #[error("the {part} has crit in its unprotected header")]
    CritUnprotected {
        /// Which.
        part: Part,
    },
    /// `crit` is no array with something in it (RFC 9052, section 3.1).
    #[error("the {part} has a crit that names nothing")]
    CritEmpty {
        /// Which.
        part: Part,
    },
    /// `crit` names what is not in the protected header (RFC 9052, section 3.1).
    #[error("the {part} has {label} in crit, but not in its protected header")]
    CritAbsent {
        /// Which.
        part: Part,
        /// The label.
        label: String,
    },
    /// `crit` names what has to be understood, and is not (RFC 9052, section 3.1).
    #[error(
        "the {part} has {label} in crit: who does not understand that header parameter must refuse it"
    )]
    CritUnknown {
        /// Which.
        part: Part,
        /// The label.
        label: String,
    },
    /// The realm attestation key is not for this use (RFC 9052, section 7; RFC 9053, sections 2.1 and 7.1).
    #[error("the realm attestation key is not to be used so: {why}")]
    KeyUse {
        /// Why.
        why: KeyError,
    },
    /// A claim that must be there is not.
    #[error("the {part} has no claim {key} ({name})")]
    MissingClaim {
        /// Where.
        part: Part,
        /// Key of the claim.
        key: u32,
        /// Its name.
        name: &'static str,
    },
    /// A claim is not what it has to be.
    #[error("claim {key} ({name}) of the {part} is not {expected}")]
    Claim {
        /// Where.
        part: Part,
        /// Key of the claim.
        key: u32,
        /// Its name.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// The claims are of another profile.
    #[error("the profile of the {part} is {found:?}, not {expected:?}")]
    Profile {
        /// Where.
        part: Part,
        /// The profile it names.
        found: String,
        /// The profile that is known here.
        expected: &'static str,
    },
    /// The key to verify with is of another curve than the signature.
    #[error("the {part} is signed with {algorithm}, but the key is of curve {curve}")]
    KeyMismatch {
        /// Which.
        part: Part,
        /// Algorithm of the signature.
        algorithm: &'static str,
        /// Curve of the key.
        curve: Curve,
    },
    /// The signature is wrong.
    #[error("the signature of the {part} does not verify with {key}: it was changed, or another key signed it", key = match part {
        Part::Platform => "the platform key given",
        Part::Realm => "the realm attestation key in it",
    })]
    Signature {
        /// Which.
        part: Part,
    },
    /// The two parts do not belong together.
    #[error(
        "the platform token vouches for another realm attestation key: its challenge is {platform}, but {hash} of the realm \
         token's key is {realm_key}",
        platform = Hex(platform), realm_key = Hex(realm_key)
    )]
    Binding {
        /// Name of the hash algorithm.
        hash: &'static str,
        /// Digest of the realm token's key.
        realm_key: Vec<u8>,
        /// Challenge in the platform token.
        platform: Vec<u8>,
    },
    /// The platform is not in production use, or is being debugged: its secrets may be known.
    #[error("the platform's life cycle state is {name} ({state:#06x}), and only `secured` is worth trust", name = .state.name().unwrap_or("undefined"), state = .state.0)]
    Lifecycle {
        /// Its state.
        state: Lifecycle,
    },
    /// The token is of another platform than its key.
    #[error("the platform is another one: its instance id is {found}, not {expected}", found = Hex(found), expected = Hex(expected))]
    Instance {
        /// What was expected.
        expected: Vec<u8>,
        /// What the platform token has.
        found: Vec<u8>,
    },
    /// The platform is of another kind.
    #[error("the platform is of another kind: its implementation id is {found}, not {expected}", found = Hex(found), expected = Hex(expected))]
    Implementation {
        /// What was expected.
        expected: Vec<u8>,
        /// What the platform token has.
        found: Vec<u8>,
    },
    /// The realm is another one.
    #[error("the realm measured {found}, not {expected}: it was built from something else, or in another way", found = Hex(found), expected = Hex(expected))]
    Measurement {
        /// What was expected.
        expected: Vec<u8>,
        /// What the realm token has.
        found: Vec<u8>,
    },
    /// The token answers another challenge.
    #[error(
        "the token answers another challenge, so it may be an old one: {found}, not {expected}",
        found = Hex(found), expected = Hex(expected)
    )]
    Challenge {
        /// What was expected.
        expected: Vec<u8>,
        /// What the realm token has.
        found: Vec<u8>,
    },
    /// The challenge to expect is none.
    #[error("a challenge has at most 64 bytes, not {size}")]
    ChallengeTooLong {
        /// Its size in bytes.
        size: usize,
    },
}

/// Bytes in lower-case hexadecimal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
