//! The claims of a realm token, decoded.

use alloc::string::String;
use alloc::vec::Vec;

use super::map::{Claim, Map, as_digest};
use super::{Error, Part, PublicKey};
use crate::claims::{HashName, REALM_PROFILE, realm_key};

const CHALLENGE: Claim = (realm_key::CHALLENGE, "challenge");
const PROFILE: Claim = (realm_key::PROFILE, "profile");
const PERSONALIZATION: Claim = (realm_key::PERSONALIZATION, "personalization value");
const HASH: Claim = (realm_key::HASH_ALGORITHM, "hash algorithm");
const PUBLIC_KEY: Claim = (realm_key::PUBLIC_KEY, "public key");
const RIM: Claim = (realm_key::INITIAL_MEASUREMENT, "initial measurement");
const REMS: Claim = (
    realm_key::EXTENSIBLE_MEASUREMENTS,
    "extensible measurements",
);
const KEY_HASH: Claim = (
    realm_key::PUBLIC_KEY_HASH_ALGORITHM,
    "hash algorithm of the public key",
);

/// What the RMM says about a realm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Realm {
    /// Profile; older tokens have none.
    pub profile: Option<String>,
    /// What the realm asked to be signed.
    pub challenge: [u8; 64],
    /// Realm personalization value.
    pub rpv: [u8; 64],
    /// Algorithm of the measurements.
    pub hash: HashName,
    /// Realm initial measurement.
    pub rim: Vec<u8>,
    /// Realm extensible measurements.
    pub rems: [Vec<u8>; 4],
    /// The realm attestation key.
    pub public_key: PublicKey,
    /// The key as it is in the token: these bytes are what the platform token has the digest of.
    pub encoded_key: Vec<u8>,
    /// Algorithm of that digest.
    pub public_key_hash: HashName,
}

impl Realm {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Error> {
        let part = Part::Realm;
        let mut claims = Map::decode(part, payload)?;
        claims.refuse_times()?;
        let profile = claims.optional_text(PROFILE)?;
        let encoded_key = claims.bytes(PUBLIC_KEY)?;
        let public_key = match profile.as_deref() {
            Some(REALM_PROFILE) => PublicKey::from_cose(&encoded_key)?,
            Some(found) => {
                return Err(Error::Profile {
                    part,
                    found: found.into(),
                    expected: REALM_PROFILE,
                });
            }
            None if encoded_key.first() == Some(&4) => PublicKey::from_point(&encoded_key)
                .ok_or(claims.wrong(PUBLIC_KEY, "an uncompressed point on P-384 or a COSE_Key"))?,
            None => PublicKey::from_cose(&encoded_key)?,
        };
        let rems = claims.array(REMS)?.into_iter().map(as_digest);
        let rems = rems
            .collect::<Option<Vec<_>>>()
            .and_then(|rems| rems.try_into().ok())
            .ok_or(claims.wrong(REMS, "an array of four digests of 32, 48 or 64 bytes"))?;
        Ok(Self {
            profile,
            challenge: claims.sized(CHALLENGE, "a byte string of 64 bytes")?,
            rpv: claims.sized(PERSONALIZATION, "a byte string of 64 bytes")?,
            hash: claims.hash(HASH)?,
            rim: claims.digest(RIM)?,
            rems,
            public_key,
            encoded_key,
            public_key_hash: claims.hash(KEY_HASH)?,
        })
    }
}
