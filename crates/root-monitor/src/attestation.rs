//! The attestation services: the realm attestation key and the platform token (RMM-EL3 communication interface 0.4).
//!
//! An emulated machine has no root of trust. What stands in for it is an [`Identity`]: keys derived from a seed in the
//! firmware image. Nothing is kept between calls but the token that is being fetched.
//!
//! Its signature takes millions of instructions. It is made by [`Platform::start_signing`], which an interrupt suspends: then the call
//! is answered by E_RMM_AGAIN, which lets the RMM go back to its host, and the next call goes on, on whatever PE it is made.

use crate::platform::Platform;
use cca_abi::el3::{attest_get_plat_token, attest_get_realm_key};
use cca_abi::firmware::PlatformIdentity;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use core::sync::atomic::{AtomicU64, Ordering};
use realm_token::sign::{PRIVATE_KEY_SIZE, instance_id};
use realm_token::{
    Lifecycle, PLATFORM_PAYLOAD_MAX, PLATFORM_TOKEN_MAX, PlatformClaims, SIGNATURE_SIZE, Sign1,
    SoftwareComponent, development,
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

/// A challenge, with zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Challenge {
    bytes: [u8; CHALLENGE_MAX],
    size: usize,
}

impl Challenge {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.size]
    }
}

/// A signature that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Signing {
    identity: Identity,
    challenge: Challenge,
}

/// What takes long in a platform token.
#[derive(Clone, Copy, Debug)]
pub struct Signed {
    instance_id: [u8; 33],
    /// `None` if the claims are too long for a token.
    signature: Option<[u8; SIGNATURE_SIZE]>,
}

impl Signing {
    /// Makes it.
    #[must_use]
    pub fn sign(&self) -> Signed {
        let key = development::platform_key(&self.identity.platform.seed);
        let instance_id = instance_id(&key.public_key());
        let mut payload = [0; PLATFORM_PAYLOAD_MAX];
        let payload = claims(&self.identity, &self.challenge, instance_id, &mut payload);
        Signed {
            instance_id,
            signature: payload.map(|payload| key.sign(payload)),
        }
    }
}

/// How far a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Its signature is still to be made.
    Asked,
    /// Its signature has been begun, and is suspended.
    Begun,
    /// It is there.
    Made,
}

/// The token that is being fetched.
#[derive(Debug)]
struct Token {
    /// What it is over, and how far it is. `None` before the first challenge, and if there is no token over that one.
    state: Option<(Challenge, Progress)>,
    bytes: [u8; PLATFORM_TOKEN_MAX],
    /// How many of them there are.
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
                state: None,
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
        let scalar = development::realm_scalar(&identity.platform.seed, &identity.rmm);
        write(platform.shared_buffer(), offset, &scalar);
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
            let mut challenge = Challenge {
                bytes: [0; CHALLENGE_MAX],
                size: challenge_size as usize,
            };
            read(page, offset, &mut challenge.bytes[..challenge.size]);
            token.ask(challenge);
        }
        token.go_on(platform, identity)?;
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
    /// Begins over: with this challenge if it is another one, else from the first byte of the token.
    fn ask(&mut self, challenge: Challenge) {
        if self.state.is_none_or(|(asked, _)| asked != challenge) {
            self.state = Some((challenge, Progress::Asked));
            self.size = 0;
        }
        self.fetched = 0;
    }

    /// Makes the token that was asked for.
    fn go_on(
        &mut self,
        platform: &impl Platform,
        identity: &Identity,
    ) -> Result<(), attest_get_plat_token::Condition> {
        use attest_get_plat_token::Condition as C;
        let (challenge, progress) = self.state.ok_or(C::Platform)?;
        let signed = match progress {
            Progress::Asked => platform.start_signing(Signing {
                identity: *identity,
                challenge,
            }),
            Progress::Begun => platform.resume_signing(),
            Progress::Made => return Ok(()),
        };
        let Some(signed) = signed else {
            self.state = Some((challenge, Progress::Begun));
            return Err(C::Busy);
        };
        self.state = None;
        self.size = self
            .assemble(identity, &challenge, &signed)
            .ok_or(C::Platform)?;
        self.state = Some((challenge, Progress::Made));
        Ok(())
    }

    /// Puts the token together: its size.
    fn assemble(
        &mut self,
        identity: &Identity,
        challenge: &Challenge,
        signed: &Signed,
    ) -> Option<usize> {
        let mut payload = [0; PLATFORM_PAYLOAD_MAX];
        let token = Sign1 {
            payload: claims(identity, challenge, signed.instance_id, &mut payload)?,
            signature: &signed.signature?,
        };
        token.encode(&mut self.bytes).ok()
    }
}

/// The encoded claims of a platform token, if they fit.
fn claims<'b>(
    identity: &Identity,
    challenge: &Challenge,
    instance_id: [u8; 33],
    buffer: &'b mut [u8; PLATFORM_PAYLOAD_MAX],
) -> Option<&'b [u8]> {
    let claims = PlatformClaims {
        challenge: challenge.bytes(),
        implementation_id: development::IMPLEMENTATION_ID,
        instance_id,
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
    let length = claims.encode(buffer).ok()?;
    Some(&buffer[..length])
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
