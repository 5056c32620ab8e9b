//! The claims of a platform token, decoded.

use alloc::string::String;
use alloc::vec::Vec;

use coset::cbor::value::Value;

use super::map::{Claim, Map};
use super::{Error, LEGACY_PROFILE, Part};
use crate::claims::{HashName, PLATFORM_PROFILE, component_key, platform_key};
use crate::platform::Lifecycle;

const PROFILE: Claim = (platform_key::PROFILE, "profile");
const CHALLENGE: Claim = (platform_key::CHALLENGE, "challenge");
const IMPLEMENTATION_ID: Claim = (platform_key::IMPLEMENTATION_ID, "implementation id");
const INSTANCE_ID: Claim = (platform_key::INSTANCE_ID, "instance id");
const CONFIGURATION: Claim = (platform_key::CONFIGURATION, "configuration");
const LIFECYCLE: Claim = (platform_key::LIFECYCLE, "life cycle state");
const COMPONENTS: Claim = (platform_key::SOFTWARE_COMPONENTS, "software components");
const SERVICE: Claim = (platform_key::VERIFICATION_SERVICE, "verification service");
const HASH: Claim = (platform_key::HASH_ALGORITHM, "hash algorithm");
const TYPE: Claim = (component_key::TYPE, "type of a component");
const MEASUREMENT: Claim = (component_key::MEASUREMENT, "measurement of a component");
const VERSION: Claim = (component_key::VERSION, "version of a component");
const SIGNER: Claim = (component_key::SIGNER_ID, "signer of a component");
const COMPONENT_HASH: Claim = (
    component_key::HASH_ALGORITHM,
    "hash algorithm of a component",
);

/// What the platform says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Platform {
    /// Profile.
    pub profile: String,
    /// Digest of the realm attestation key.
    pub challenge: Vec<u8>,
    /// Which kind of platform.
    pub implementation_id: [u8; 32],
    /// Which platform.
    pub instance_id: [u8; 33],
    /// Settings.
    pub configuration: Vec<u8>,
    /// Life cycle state.
    pub lifecycle: Lifecycle,
    /// The firmware.
    pub components: Vec<Component>,
    /// Where tokens are verified.
    pub verification_service: Option<String>,
    /// Algorithm of the components' measurements.
    pub hash: HashName,
}

/// A piece of firmware.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Component {
    /// What it is.
    pub kind: Option<String>,
    /// Its digest.
    pub measurement: Vec<u8>,
    /// Its version.
    pub version: Option<String>,
    /// Digest of the key that signed it.
    pub signer_id: Vec<u8>,
    /// Algorithm of its digest, if it is not that of the token.
    pub hash: Option<HashName>,
}

impl Platform {
    pub(super) fn decode(payload: &[u8]) -> Result<Self, Error> {
        let part = Part::Platform;
        let mut claims = Map::decode(part, payload)?;
        claims.refuse_times()?;
        let profile = claims.text(PROFILE)?;
        if profile != PLATFORM_PROFILE && profile != LEGACY_PROFILE {
            return Err(Error::Profile {
                part,
                found: profile,
                expected: PLATFORM_PROFILE,
            });
        }
        let instance_id: [u8; 33] = claims.sized(INSTANCE_ID, "a byte string of 33 bytes")?;
        if instance_id[0] != 1 {
            return Err(claims.wrong(INSTANCE_ID, "of type 0x01"));
        }
        let lifecycle = claims.value(LIFECYCLE)?;
        let lifecycle = lifecycle
            .as_integer()
            .and_then(|value| u16::try_from(value).ok())
            .map(Lifecycle)
            .filter(|lifecycle| lifecycle.name().is_some())
            .ok_or(claims.wrong(LIFECYCLE, "one of the states that are defined"))?;
        let components: Vec<_> = claims
            .array(COMPONENTS)?
            .into_iter()
            .map(Component::decode)
            .collect::<Result<_, _>>()?;
        if components.is_empty() {
            return Err(claims.wrong(COMPONENTS, "an array with something in it"));
        }
        Ok(Self {
            profile,
            challenge: claims.digest(CHALLENGE)?,
            implementation_id: claims.sized(IMPLEMENTATION_ID, "a byte string of 32 bytes")?,
            instance_id,
            configuration: claims.bytes(CONFIGURATION)?,
            lifecycle,
            components,
            verification_service: claims.optional_text(SERVICE)?,
            hash: claims.hash(HASH)?,
        })
    }
}

impl Component {
    fn decode(value: Value) -> Result<Self, Error> {
        let mut claims = Map::new(Part::Platform, "a software component", value)?;
        Ok(Self {
            kind: claims.optional_text(TYPE)?,
            measurement: claims.digest(MEASUREMENT)?,
            version: claims.optional_text(VERSION)?,
            signer_id: claims.digest(SIGNER)?,
            hash: claims.optional_hash(COMPONENT_HASH)?,
        })
    }
}
