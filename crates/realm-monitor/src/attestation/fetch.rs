//! Key and platform token from EL3 (RMM-EL3 communication interface, attestation services).

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::el3::{attest_get_plat_token, attest_get_realm_key, code};
use cca_abi::smccc::Registers;
use cca_abi::{Fields, GRANULE_SIZE};
use realm_token::PLATFORM_TOKEN_MAX;
use realm_token::sign::{Key, PRIVATE_KEY_SIZE, binding};

use super::Attestation;
use crate::platform::Granule;

/// Curve number of P-384.
const CURVE_P384: u64 = 0;
/// EL3 may be busy this often before it is given up.
const PATIENCE: usize = 100_000;

/// EL3 as attestation needs it. Nobody else uses its services with arguments in memory meanwhile.
pub trait RootServices {
    /// PA of the page shared with EL3.
    fn shared_buffer_address(&self) -> u64;

    /// The words of that page.
    fn shared_buffer(&self) -> &Granule;

    /// Makes a call: X0 to X7 go to EL3 and come back.
    fn call(&self, registers: &mut Registers);
}

/// Why there is no attestation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// EL3 gives no key: its return code.
    Key(i64),
    /// What EL3 gives is no P-384 key.
    Malformed,
    /// EL3 gives no platform token: its return code.
    Token(i64),
    /// The hunks of the platform token do not add up, or it leaves no room for the token of a realm.
    Size,
}

impl Attestation {
    /// Asks EL3 for the realm attestation key, and for a platform token bound to it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`].
    pub fn fetch(services: &impl RootServices) -> Result<Self, Unavailable> {
        let key = fetch_key(services)?;
        let public_key = key.public_key();
        let mut this = Self {
            key,
            public_key,
            platform_token: [0; PLATFORM_TOKEN_MAX],
            platform_token_size: 0,
        };
        let challenge = binding(&public_key);
        let page = services.shared_buffer();
        for (word, bytes) in page.iter().zip(challenge.as_chunks().0) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        let mut challenge_size = challenge.len() as u64;
        loop {
            let hunk: attest_get_plat_token::Output = call(
                services,
                &attest_get_plat_token::Input {
                    buffer: services.shared_buffer_address(),
                    size: GRANULE_SIZE,
                    challenge_size,
                }
                .encode(),
            )
            .map_err(Unavailable::Token)?;
            challenge_size = 0;
            let free = &mut this.platform_token[this.platform_token_size..];
            if hunk.length == 0 || hunk.length > free.len().min(GRANULE_SIZE as usize) as u64 {
                return Err(Unavailable::Size);
            }
            copy_out(page, &mut free[..hunk.length as usize]);
            this.platform_token_size += hunk.length as usize;
            if hunk.remaining == 0 {
                return Ok(this);
            }
        }
    }
}

fn fetch_key(services: &impl RootServices) -> Result<Key, Unavailable> {
    let input = attest_get_realm_key::Input {
        buffer: services.shared_buffer_address(),
        size: GRANULE_SIZE,
        curve: CURVE_P384,
    };
    let output: attest_get_realm_key::Output =
        call(services, &input.encode()).map_err(Unavailable::Key)?;
    let mut scalar = [0; PRIVATE_KEY_SIZE];
    copy_out(services.shared_buffer(), &mut scalar);
    for word in services.shared_buffer() {
        word.store(0, Relaxed);
    }
    if output.length != PRIVATE_KEY_SIZE as u64 {
        return Err(Unavailable::Malformed);
    }
    Key::from_scalar(&scalar).ok_or(Unavailable::Malformed)
}

/// Makes a call, again if EL3 is busy.
fn call<O: Fields>(services: &impl RootServices, input: &Registers) -> Result<O, i64> {
    for _ in 0..PATIENCE {
        let mut registers = *input;
        services.call(&mut registers);
        match registers.0[0].cast_signed() {
            code::OK => return Ok(O::take(&registers.0[1..])),
            code::AGAIN => core::hint::spin_loop(),
            other => return Err(other),
        }
    }
    Err(code::AGAIN)
}

fn copy_out(page: &Granule, into: &mut [u8]) {
    for (word, bytes) in page.iter().zip(into.chunks_mut(8)) {
        let word = word.load(Relaxed).to_le_bytes();
        bytes.copy_from_slice(&word[..bytes.len()]);
    }
}
