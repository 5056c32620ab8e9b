//! The attestation services: the realm attestation key and the platform token (RMM-EL3 communication interface 0.4).
//!
//! An emulated machine has no root of trust. What stands in for it is an [`Identity`]: keys derived from a seed in the
//! firmware image. Nothing is kept between calls but the token that is being fetched.

use crate::platform::Platform;
use cca_abi::el3::{attest_get_plat_token, attest_get_realm_key};
use cca_abi::firmware::PlatformIdentity;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use core::sync::atomic::{AtomicU64, Ordering};
use realm_token::sign::{PRIVATE_KEY_SIZE, instance_id};
use realm_token::{
    Lifecycle, PLATFORM_PAYLOAD_MAX, PLATFORM_TOKEN_MAX, PlatformClaims, Sign1, SoftwareComponent,
    development,
};
use spin::Mutex;

/// Curve number of P-384.
const CURVE_P384: u64 = 0;
/// Size in bytes of the largest challenge.
const CHALLENGE_MAX: usize = 64;

/// Where tokens of this platform are verified, as they say: nobody offers that as a service.
pub const VERIFICATION_SERVICE: &str = "offline";

/// What the platform's tokens are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The seed of the keys, and its label.
    pub platform: PlatformIdentity,
    /// SHA-256 of the RMM's image.
    pub rmm: [u8; 32],
    /// Version of the RMM.
    pub rmm_version: &'static str,
}

/// The token that is being fetched.
#[derive(Debug)]
struct Token {
    bytes: [u8; PLATFORM_TOKEN_MAX],
    /// How many of them there are; 0 before the first challenge.
    size: usize,
    /// How many of those have been fetched.
    fetched: usize,
}

/// The services.
#[derive(Debug)]
pub(crate) struct Attestation {
    pub(crate) identity: Option<Identity>,
    token: Mutex<Token>,
}

impl Attestation {
    pub(crate) const fn new() -> Self {
        Self {
            identity: None,
            token: Mutex::new(Token {
                bytes: [0; PLATFORM_TOKEN_MAX],
                size: 0,
                fetched: 0,
            }),
        }
    }

    /// RMM_ATTEST_GET_REALM_KEY.
    pub(crate) fn realm_key(
        &self,
        platform: &impl Platform,
        shared_buffer: u64,
        input: &attest_get_realm_key::Input,
    ) -> Result<attest_get_realm_key::Output, attest_get_realm_key::Condition> {
        use attest_get_realm_key::Condition as C;
        let offset = place(input.buffer, input.size, shared_buffer, C::Buffer, C::Size)?;
        if input.curve != CURVE_P384 {
            return Err(C::Curve);
        }
        let identity = self.identity.as_ref().ok_or(C::Platform)?;
        if input.size < PRIVATE_KEY_SIZE as u64 {
            return Err(C::Platform);
        }
        let key = development::realm_key(&identity.platform.seed, &identity.rmm);
        write(platform.shared_buffer(), offset, &key.scalar());
        Ok(attest_get_realm_key::Output {
            length: PRIVATE_KEY_SIZE as u64,
        })
    }

    /// RMM_ATTEST_GET_PLAT_TOKEN.
    pub(crate) fn platform_token(
        &self,
        platform: &impl Platform,
        shared_buffer: u64,
        input: &attest_get_plat_token::Input,
    ) -> Result<attest_get_plat_token::Output, attest_get_plat_token::Condition> {
        use attest_get_plat_token::Condition as C;
        let offset = place(input.buffer, input.size, shared_buffer, C::Buffer, C::Size)?;
        let challenge_size = input.challenge_size;
        if !matches!(challenge_size, 0 | 32 | 48 | 64) || challenge_size > input.size {
            return Err(C::Challenge);
        }
        let mut token = self.token.try_lock().ok_or(C::Busy)?;
        let identity = self.identity.as_ref().ok_or(C::Platform)?;
        let page = platform.shared_buffer();
        if challenge_size != 0 {
            let mut challenge = [0; CHALLENGE_MAX];
            let challenge = &mut challenge[..challenge_size as usize];
            read(page, offset, challenge);
            token.make(identity, challenge).ok_or(C::Platform)?;
        }
        if token.fetched == token.size {
            // Nobody has given a challenge yet, or the token has been fetched to its end.
            return Err(C::Platform);
        }
        let rest = token.size - token.fetched;
        let length = rest.min(input.size as usize);
        let start = token.fetched;
        write(page, offset, &token.bytes[start..start + length]);
        token.fetched += length;
        Ok(attest_get_plat_token::Output {
            length: length as u64,
            remaining: (rest - length) as u64,
        })
    }
}

impl Token {
    /// Makes the token for a challenge; there is none if that fails.
    fn make(&mut self, identity: &Identity, challenge: &[u8]) -> Option<()> {
        (self.size, self.fetched) = (0, 0);
        let key = development::platform_key(&identity.platform.seed);
        let claims = PlatformClaims {
            challenge,
            implementation_id: development::IMPLEMENTATION_ID,
            instance_id: instance_id(&key.public_key()),
            configuration: identity.platform.label(),
            lifecycle: Lifecycle::SECURED,
            components: &[SoftwareComponent {
                kind: "RMM",
                measurement: identity.rmm,
                version: identity.rmm_version,
                // The image is not signed: what is measured is what was found.
                signer_id: [0; 32],
            }],
            verification_service: VERIFICATION_SERVICE,
        };
        let mut payload = [0; PLATFORM_PAYLOAD_MAX];
        let length = claims.encode(&mut payload).ok()?;
        let payload = &payload[..length];
        let signature = key.sign(payload);
        let token = Sign1 {
            payload,
            signature: &signature,
        };
        self.size = token.encode(&mut self.bytes).ok()?;
        Some(())
    }
}

/// The offset in the shared page of `size` bytes at `buffer`, if they lie in it; else, `outside` where they start elsewhere, and
/// `too_long` where they do not end in it.
fn place<C>(
    buffer: u64,
    size: u64,
    shared_buffer: u64,
    outside: C,
    too_long: C,
) -> Result<usize, C> {
    let offset = buffer.wrapping_sub(shared_buffer);
    if offset >= GRANULE_SIZE {
        return Err(outside);
    }
    if size == 0 || size > GRANULE_SIZE - offset {
        Err(too_long)
    } else {
        Ok(offset as usize)
    }
}

/// Copies bytes out of the page; they lie in it.
fn read(page: &[AtomicU64; GRANULE_WORDS], offset: usize, into: &mut [u8]) {
    for (at, byte) in (offset..).zip(into) {
        *byte = page[at / 8].load(Ordering::Relaxed).to_le_bytes()[at % 8];
    }
}

/// Copies bytes into the page, where they have room.
fn write(page: &[AtomicU64; GRANULE_WORDS], offset: usize, from: &[u8]) {
    for (at, byte) in (offset..).zip(from) {
        let mut word = page[at / 8].load(Ordering::Relaxed).to_le_bytes();
        word[at % 8] = *byte;
        page[at / 8].store(u64::from_le_bytes(word), Ordering::Relaxed);
    }
}
