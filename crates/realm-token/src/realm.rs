//! The claims of a realm token.

use cca_abi::rmi::HashAlgorithm;

use crate::cbor::{BufferTooSmall, Writer};
use crate::claims::{HashName, REALM_PROFILE, realm_key};
use crate::cose::{CoseKey, PUBLIC_KEY_SIZE, SIGN1_OVERHEAD};

/// Size in bytes of the largest payload of a realm token: that of a realm measured with SHA-512.
pub const REALM_PAYLOAD_MAX: usize = 641;

/// Size in bytes of the largest realm token, signed.
pub const REALM_TOKEN_MAX: usize = REALM_PAYLOAD_MAX + SIGN1_OVERHEAD;

/// What the RMM says about a realm (RMM specification 1.0-rel0, section A7.2.3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealmClaims {
    /// What the realm asked to be signed: X1 to X8 of RSI_ATTESTATION_TOKEN_INIT as little-endian bytes.
    pub challenge: [u8; 64],
    /// Realm personalization value.
    pub rpv: [u8; 64],
    /// Realm initial measurement; the digest is in the first bytes.
    pub rim: [u8; 64],
    /// Realm extensible measurements; the digests are in the first bytes.
    pub rems: [[u8; 64]; 4],
    /// Algorithm of the measurements.
    pub hash_algo: HashAlgorithm,
    /// The realm attestation key's public part, as an uncompressed point.
    pub public_key: [u8; PUBLIC_KEY_SIZE],
}

impl RealmClaims {
    /// Writes the encoded claims, and returns their size: at most [`REALM_PAYLOAD_MAX`] bytes.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if they do not fit.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let hash = HashName::from(self.hash_algo);
        let key = CoseKey::from_point(&self.public_key);
        let mut writer = Writer::new(into);
        writer.map(8)?;
        writer
            .unsigned(realm_key::CHALLENGE)?
            .bytes(&self.challenge)?;
        writer
            .unsigned(realm_key::PERSONALIZATION)?
            .bytes(&self.rpv)?;
        writer
            .unsigned(realm_key::PUBLIC_KEY)?
            .bytes(key.as_bytes())?;
        writer
            .unsigned(realm_key::HASH_ALGORITHM)?
            .text(hash.name())?;
        writer
            .unsigned(realm_key::PUBLIC_KEY_HASH_ALGORITHM)?
            .text(HashName::Sha256.name())?;
        writer.unsigned(realm_key::PROFILE)?.text(REALM_PROFILE)?;
        writer
            .unsigned(realm_key::INITIAL_MEASUREMENT)?
            .bytes(&self.rim[..hash.size()])?;
        writer
            .unsigned(realm_key::EXTENSIBLE_MEASUREMENTS)?
            .array(self.rems.len())?;
        for rem in &self.rems {
            writer.bytes(&rem[..hash.size()])?;
        }
        Ok(writer.written())
    }
}
