//! The names and numbers of claims (RMM specification 1.0-rel0, section A7.2.3 and CDDL definitions).

use cca_abi::rmi::HashAlgorithm;

/// Profile of the realm token.
pub const REALM_PROFILE: &str = "tag:arm.com,2023:realm#1.0.0";

/// Profile of the platform token.
pub const PLATFORM_PROFILE: &str = "tag:arm.com,2023:cca_platform#1.0.0";

/// Keys of the claims in a realm token.
pub mod realm_key {
    /// What the relying party asked to be signed: 64 bytes.
    pub const CHALLENGE: u32 = 10;
    /// Profile, text.
    pub const PROFILE: u32 = 265;
    /// Realm personalization value: 64 bytes.
    pub const PERSONALIZATION: u32 = 44235;
    /// Name of the hash algorithm of the measurements, text.
    pub const HASH_ALGORITHM: u32 = 44236;
    /// The realm attestation key: an encoded COSE_Key in a byte string.
    pub const PUBLIC_KEY: u32 = 44237;
    /// The realm initial measurement.
    pub const INITIAL_MEASUREMENT: u32 = 44238;
    /// The four realm extensible measurements.
    pub const EXTENSIBLE_MEASUREMENTS: u32 = 44239;
    /// Name of the hash algorithm that ties the key to the platform token, text.
    pub const PUBLIC_KEY_HASH_ALGORITHM: u32 = 44240;
}

/// Keys of the claims in a platform token.
pub mod platform_key {
    /// Digest of the realm attestation key.
    pub const CHALLENGE: u32 = 10;
    /// Which platform: an EAT UEID, 33 bytes, the first 0x01.
    pub const INSTANCE_ID: u32 = 256;
    /// Profile, text.
    pub const PROFILE: u32 = 265;
    /// Life cycle state, number.
    pub const LIFECYCLE: u32 = 2395;
    /// Which kind of platform: 32 bytes.
    pub const IMPLEMENTATION_ID: u32 = 2396;
    /// The firmware: an array of maps, see [`super::component_key`].
    pub const SOFTWARE_COMPONENTS: u32 = 2399;
    /// Where to have tokens verified, text.
    pub const VERIFICATION_SERVICE: u32 = 2400;
    /// Settings of the platform: bytes.
    pub const CONFIGURATION: u32 = 2401;
    /// Name of the hash algorithm of the components, text.
    pub const HASH_ALGORITHM: u32 = 2402;
}

/// Keys in the description of a software component.
pub mod component_key {
    /// What it is, text.
    pub const TYPE: u32 = 1;
    /// Its digest.
    pub const MEASUREMENT: u32 = 2;
    /// Its version, text.
    pub const VERSION: u32 = 4;
    /// Digest of the key that signed it.
    pub const SIGNER_ID: u32 = 5;
    /// Name of the hash algorithm of its digest, text.
    pub const HASH_ALGORITHM: u32 = 6;
}

/// A hash algorithm by its name in tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashName {
    /// `sha-256`.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

impl HashName {
    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    /// The algorithm with this name; `None` if it is none that tokens use.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|hash| hash.name() == name)
    }

    /// Size of its digests in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl From<HashAlgorithm> for HashName {
    fn from(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256,
            HashAlgorithm::Sha512 => Self::Sha512,
        }
    }
}
