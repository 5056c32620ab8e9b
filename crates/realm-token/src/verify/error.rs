//! What can be wrong with a token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Curve;

/// A part of a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The platform token.
    Platform,
    /// The realm token.
    Realm,
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
    /// A part is there twice.
    #[error("there are two {part}s")]
    DuplicatePart {
        /// Which.
        part: Part,
    },
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
    /// A key is there twice.
    #[error("the {part} has claim {key} twice")]
    DuplicateClaim {
        /// Where.
        part: Part,
        /// Key of the claim.
        key: i128,
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
