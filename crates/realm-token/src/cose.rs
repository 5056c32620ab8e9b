//! COSE_Sign1 and COSE_Key (RFC 9052, RFC 9053) as far as tokens need them: ES384, P-384, no other headers.

use crate::cbor::{BufferTooSmall, Head, Major, Writer};
use crate::pieces;

/// Size of an uncompressed P-384 point in bytes: 0x04, then x and y.
pub const PUBLIC_KEY_SIZE: usize = 97;

/// Size of a [`CoseKey`] in bytes.
pub const COSE_KEY_SIZE: usize = 107;

/// Size of an ES384 signature in bytes: r, then s, 48 bytes each, big-endian.
pub const SIGNATURE_SIZE: usize = 96;

/// Bytes of a [`Sign1`] besides its payload, if that has 256 to 65535 bytes.
pub(crate) const SIGN1_OVERHEAD: usize = 109;

/// The protected header { 1 (alg): -35 (ES384) }, as a byte string.
const PROTECTED: [u8; 5] = [0x44, 0xa1, 0x01, 0x38, 0x22];

/// Tag 18, an array of four, the protected header, an empty map for the unprotected one.
const SIGN1_START: [u8; 8] = [0xd2, 0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0];

/// Head of the signature's byte string.
const SIGNATURE_HEAD: [u8; 2] = [0x58, SIGNATURE_SIZE as u8];

/// A P-384 public key as an encoded COSE_Key: `{1: 2 (EC2), -1: 2 (P-384), -2: x, -3: y}`. These bytes are in the
/// realm token, and their digest is the challenge of the platform token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoseKey([u8; COSE_KEY_SIZE]);

impl CoseKey {
    /// From an uncompressed point.
    #[must_use]
    pub fn from_point(point: &[u8; PUBLIC_KEY_SIZE]) -> Self {
        let mut bytes = [0; COSE_KEY_SIZE];
        bytes[..8].copy_from_slice(&[0xa4, 0x01, 0x02, 0x20, 0x02, 0x21, 0x58, 0x30]);
        bytes[8..56].copy_from_slice(&point[1..49]);
        bytes[56..59].copy_from_slice(&[0x22, 0x58, 0x30]);
        bytes[59..].copy_from_slice(&point[49..]);
        Self(bytes)
    }

    /// The encoded key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; COSE_KEY_SIZE] {
        &self.0
    }
}

/// What precedes the payload in the bytes that are signed, the COSE `Sig_structure`: `["Signature1", protected
/// header, empty external data, payload]`. The signature is over SHA-384 of these bytes followed by the payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignaturePrefix {
    bytes: [u8; 23],
    len: u8,
}

impl SignaturePrefix {
    /// For a payload of `payload_len` bytes.
    #[must_use]
    pub fn new(payload_len: usize) -> Self {
        let mut bytes = [0; 23];
        bytes[0] = 0x84;
        bytes[1] = 0x6a;
        bytes[2..12].copy_from_slice(b"Signature1");
        bytes[12..17].copy_from_slice(&PROTECTED);
        bytes[17] = 0x40;
        let head = payload_head(payload_len);
        let head = head.as_bytes();
        bytes[18..18 + head.len()].copy_from_slice(head);
        Self {
            bytes,
            len: 18 + head.len() as u8,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A signed message: a tagged COSE_Sign1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sign1<'a> {
    /// The encoded claims.
    pub payload: &'a [u8],
    /// The signature, see [`SignaturePrefix`].
    pub signature: &'a [u8; SIGNATURE_SIZE],
}

impl Sign1<'_> {
    /// Size of the encoded message in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let head = payload_head(self.payload.len());
        pieces::size(&self.pieces(&head))
    }

    /// Writes the message, and returns its size.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if it does not fit.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let head = payload_head(self.payload.len());
        let mut writer = Writer::new(into);
        for piece in self.pieces(&head) {
            writer.raw(piece)?;
        }
        Ok(writer.written())
    }

    /// The parts that make the message up, one after the other. `head` is [`payload_head`] of the payload.
    pub(crate) fn pieces<'b>(&'b self, head: &'b Head) -> [&'b [u8]; 5] {
        [
            &SIGN1_START,
            head.as_bytes(),
            self.payload,
            &SIGNATURE_HEAD,
            self.signature,
        ]
    }
}

/// The head of a payload's byte string.
pub(crate) fn payload_head(payload_len: usize) -> Head {
    bytes_head(payload_len)
}

/// The head of a byte string. Nothing here comes near 4 GiB.
pub(crate) fn bytes_head(len: usize) -> Head {
    Head::new(Major::Bytes, u32::try_from(len).unwrap_or(u32::MAX))
}
