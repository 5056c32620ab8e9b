//! The claims of a platform token.

use crate::cbor::{BufferTooSmall, Writer};
use crate::claims::{HashName, PLATFORM_PROFILE, component_key, platform_key};
use crate::cose::SIGN1_OVERHEAD;
use crate::wrapper::PLATFORM_TOKEN_MAX;

/// Size in bytes that the payload of a platform token must not exceed, so that the whole CCA token fits.
pub const PLATFORM_PAYLOAD_MAX: usize = PLATFORM_TOKEN_MAX - SIGN1_OVERHEAD;

/// The platform's life cycle state: the state proper in the high byte, the low byte is the platform's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Lifecycle(pub u16);

impl Lifecycle {
    /// Secured: the only state in which a token is worth trust.
    pub const SECURED: Self = Self(0x3000);
    /// Debug of something that is not the platform's root of trust, for instance of the realm world.
    pub const NON_PLATFORM_DEBUG: Self = Self(0x4000);

    /// Whether the platform is in production use and not being debugged.
    #[must_use]
    pub const fn is_secured(self) -> bool {
        self.0 >> 8 == 0x30
    }

    /// Name of the state; `None` if the specification defines none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self.0 >> 8 {
            0x00 => Some("unknown"),
            0x10 => Some("assembly and test"),
            0x20 => Some("platform root of trust provisioning"),
            0x30 => Some("secured"),
            0x40 => Some("non-platform debug"),
            0x50 => Some("recoverable platform root of trust debug"),
            0x60 => Some("decommissioned"),
            _ => None,
        }
    }
}

/// A piece of firmware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SoftwareComponent<'a> {
    /// What it is, for instance `RMM`.
    pub kind: &'a str,
    /// SHA-256 of its image.
    pub measurement: [u8; 32],
    /// Its version.
    pub version: &'a str,
    /// SHA-256 of the public key that its image is signed with; zeros if it is not signed.
    pub signer_id: [u8; 32],
}

/// What the platform says about itself (RMM specification 1.0-rel0, section A7.2.3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlatformClaims<'a> {
    /// Digest of the realm attestation key's [`CoseKey`](crate::CoseKey): 32, 48 or 64 bytes.
    pub challenge: &'a [u8],
    /// Which kind of platform this is.
    pub implementation_id: [u8; 32],
    /// Which platform this is: 0x01, then SHA-256 of its attestation key, an uncompressed point.
    pub instance_id: [u8; 33],
    /// Settings of the platform.
    pub configuration: &'a [u8],
    /// Life cycle state.
    pub lifecycle: Lifecycle,
    /// The firmware, in the order in which it was started. At least one.
    pub components: &'a [SoftwareComponent<'a>],
    /// Where tokens are verified: an address.
    pub verification_service: &'a str,
}

impl PlatformClaims<'_> {
    /// Writes the encoded claims, and returns their size. [`PLATFORM_PAYLOAD_MAX`] bytes are the most that is
    /// useful.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if they do not fit.
    pub fn encode(&self, into: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(into);
        writer.map(9)?;
        writer
            .unsigned(platform_key::PROFILE)?
            .text(PLATFORM_PROFILE)?;
        writer
            .unsigned(platform_key::CHALLENGE)?
            .bytes(self.challenge)?;
        writer
            .unsigned(platform_key::IMPLEMENTATION_ID)?
            .bytes(&self.implementation_id)?;
        writer
            .unsigned(platform_key::INSTANCE_ID)?
            .bytes(&self.instance_id)?;
        writer
            .unsigned(platform_key::CONFIGURATION)?
            .bytes(self.configuration)?;
        writer
            .unsigned(platform_key::LIFECYCLE)?
            .unsigned(u32::from(self.lifecycle.0))?;
        writer
            .unsigned(platform_key::HASH_ALGORITHM)?
            .text(HashName::Sha256.name())?;
        writer
            .unsigned(platform_key::VERIFICATION_SERVICE)?
            .text(self.verification_service)?;
        writer
            .unsigned(platform_key::SOFTWARE_COMPONENTS)?
            .array(self.components.len())?;
        for component in self.components {
            writer.map(5)?;
            writer.unsigned(component_key::TYPE)?.text(component.kind)?;
            writer
                .unsigned(component_key::MEASUREMENT)?
                .bytes(&component.measurement)?;
            writer
                .unsigned(component_key::VERSION)?
                .text(component.version)?;
            writer
                .unsigned(component_key::SIGNER_ID)?
                .bytes(&component.signer_id)?;
            writer
                .unsigned(component_key::HASH_ALGORITHM)?
                .text(HashName::Sha256.name())?;
        }
        Ok(writer.written())
    }
}
