//! The CCA token: the platform token and the realm token in one.

use crate::cbor::{BufferTooSmall, Head, Major};
use crate::cose::{Sign1, bytes_head, payload_head};
use crate::pieces;
use crate::realm::REALM_TOKEN_MAX;

/// CBOR tag of a CCA token.
pub const TOKEN_TAG: u32 = 399;

/// Key of the platform token in the map.
pub const PLATFORM_LABEL: u32 = 44234;

/// Key of the realm token in the map.
pub const REALM_LABEL: u32 = 44241;

/// Size in bytes that no CCA token exceeds: one granule.
pub const TOKEN_MAX: usize = 4096;

/// Size in bytes of the largest platform token that leaves room for every realm token.
pub const PLATFORM_TOKEN_MAX: usize = TOKEN_MAX - REALM_TOKEN_MAX - WRAPPER_SIZE;

/// Tag, head of the map, two keys, two heads of byte strings of 256 bytes or more.
const WRAPPER_SIZE: usize = 3 + 1 + 2 * (3 + 3);

/// A CCA token, made up of parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CcaToken<'a> {
    /// The platform token: a signed message, encoded.
    pub platform: &'a [u8],
    /// The realm token.
    pub realm: Sign1<'a>,
}

/// What stands between the parts of a token.
struct Heads {
    tag: Head,
    map: Head,
    platform_key: Head,
    platform: Head,
    realm_key: Head,
    realm: Head,
    payload: Head,
}

impl CcaToken<'_> {
    /// Size of the encoded token in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        pieces::size(&self.pieces(&self.heads()))
    }

    /// Copies what begins at byte `offset` of the encoded token into `into`, and returns how many bytes that were:
    /// the size of `into`, or fewer at the end of the token.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        pieces::read(&self.pieces(&self.heads()), offset, into)
    }

    /// Writes the whole token, and returns its size.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if it does not fit.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, BufferTooSmall> {
        if into.len() < self.size() {
            return Err(BufferTooSmall);
        }
        Ok(self.read(0, into))
    }

    fn heads(&self) -> Heads {
        Heads {
            tag: Head::new(Major::Tag, TOKEN_TAG),
            map: Head::new(Major::Map, 2),
            platform_key: Head::new(Major::Unsigned, PLATFORM_LABEL),
            platform: bytes_head(self.platform.len()),
            realm_key: Head::new(Major::Unsigned, REALM_LABEL),
            realm: bytes_head(self.realm.size()),
            payload: payload_head(self.realm.payload.len()),
        }
    }

    fn pieces<'b>(&'b self, heads: &'b Heads) -> [&'b [u8]; 12] {
        let [start, payload_head, payload, signature_head, signature] =
            self.realm.pieces(&heads.payload);
        [
            heads.tag.as_bytes(),
            heads.map.as_bytes(),
            heads.platform_key.as_bytes(),
            heads.platform.as_bytes(),
            self.platform,
            heads.realm_key.as_bytes(),
            heads.realm.as_bytes(),
            start,
            payload_head,
            payload,
            signature_head,
            signature,
        ]
    }
}
