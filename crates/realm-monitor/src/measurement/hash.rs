//! SHA-256 and SHA-512 over the platform's block functions (FIPS 180-4).

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::HashAlgorithm;

use super::Measurement;
use crate::platform::{Granule, Platform};

const SHA_256_START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

const SHA_512_START: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

enum State {
    Sha256([u32; 8]),
    Sha512([u64; 8]),
}

/// Parts of a message, aligned so that words of it are stored as words.
#[repr(C, align(16))]
struct Units<const N: usize>([[u8; 128]; N]);

/// A digest being computed.
pub struct Hasher<'p, P: Platform> {
    platform: &'p P,
    state: State,
    bytes: u64,
}

impl<'p, P: Platform> Hasher<'p, P> {
    /// Nothing hashed yet.
    #[must_use]
    pub fn new(platform: &'p P, algorithm: HashAlgorithm) -> Self {
        let state = match algorithm {
            HashAlgorithm::Sha256 => State::Sha256(SHA_256_START),
            HashAlgorithm::Sha512 => State::Sha512(SHA_512_START),
        };
        Self {
            platform,
            state,
            bytes: 0,
        }
    }

    /// Hashes more of the message, in units that are whole blocks of either algorithm.
    pub fn update(&mut self, units: &[[u8; 128]]) {
        match &mut self.state {
            State::Sha256(state) => self
                .platform
                .sha256_blocks(state, units.as_flattened().as_chunks().0),
            State::Sha512(state) => self.platform.sha512_blocks(state, units),
        }
        self.bytes += units.len() as u64 * 128;
    }

    /// Hashes the end of the message and gives the digest, padded with zeros.
    #[must_use]
    pub fn finish(mut self, end: &[u8]) -> Measurement {
        let (units, rest) = end.as_chunks();
        self.update(units);
        let bits = (self.bytes + rest.len() as u64) * 8;
        let mut padding = Units([[0; 128]; 2]);
        let bytes = padding.0.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        bytes[rest.len()] = 0x80;

        match &mut self.state {
            State::Sha256(state) => {
                // The length takes 8 bytes at the end of the last block.
                let blocks = (rest.len() + 1 + 8).div_ceil(64);
                bytes[blocks * 64 - 8..blocks * 64].copy_from_slice(&bits.to_be_bytes());
                self.platform
                    .sha256_blocks(state, &bytes.as_chunks().0[..blocks]);
                sha_256_measurement(state)
            }
            State::Sha512(state) => {
                // The length takes 16 bytes, of which only the low 8 can be other than zero here.
                let blocks = (rest.len() + 1 + 16).div_ceil(128);
                bytes[blocks * 128 - 8..blocks * 128].copy_from_slice(&bits.to_be_bytes());
                self.platform.sha512_blocks(state, &padding.0[..blocks]);
                sha_512_measurement(state)
            }
        }
    }
}

/// The digest of a message, padded with zeros to the size of a measurement.
#[must_use]
pub fn digest(platform: &impl Platform, algorithm: HashAlgorithm, message: &[u8]) -> Measurement {
    Hasher::new(platform, algorithm).finish(message)
}

/// A message of 256 bytes with its padding, ready to be hashed again and again with small changes.
pub(super) struct Padded256 {
    algorithm: HashAlgorithm,
    units: Units<3>,
}

impl Padded256 {
    const SIZE: usize = 256;

    pub(super) fn new(algorithm: HashAlgorithm, message: &[u8; Self::SIZE]) -> Self {
        let mut units = Units([[0; 128]; 3]);
        let bytes = units.0.as_flattened_mut();
        bytes[..Self::SIZE].copy_from_slice(message);
        bytes[Self::SIZE] = 0x80;
        let end = match algorithm {
            HashAlgorithm::Sha256 => Self::SIZE + 64,
            HashAlgorithm::Sha512 => Self::SIZE + 128,
        };
        bytes[end - 8..end].copy_from_slice(&(8 * Self::SIZE as u64).to_be_bytes());
        Self { algorithm, units }
    }

    /// Replaces bytes of the message.
    pub(super) fn put<const N: usize>(&mut self, offset: usize, value: &[u8; N]) {
        self.units.0.as_flattened_mut()[..Self::SIZE][offset..offset + N].copy_from_slice(value);
    }

    /// Replaces a measurement in the message by the digest of the message.
    pub(super) fn chain(&mut self, platform: &impl Platform, offset: usize) {
        match self.algorithm {
            HashAlgorithm::Sha256 => {
                let mut state = SHA_256_START;
                let (blocks, _) = self.units.0.as_flattened().as_chunks();
                platform.sha256_blocks(&mut state, &blocks[..Self::SIZE / 64 + 1]);
                // The rest of the measurement is zero.
                let place = &mut self.units.0.as_flattened_mut()[offset..offset + 32];
                for (bytes, word) in place.as_chunks_mut().0.iter_mut().zip(state) {
                    *bytes = word.to_be_bytes();
                }
            }
            HashAlgorithm::Sha512 => {
                let mut state = SHA_512_START;
                platform.sha512_blocks(&mut state, &self.units.0);
                let place = &mut self.units.0.as_flattened_mut()[offset..offset + 64];
                for (bytes, word) in place.as_chunks_mut().0.iter_mut().zip(state) {
                    *bytes = word.to_be_bytes();
                }
            }
        }
    }

    /// Bytes of the message.
    pub(super) fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut value = [0; N];
        value.copy_from_slice(&self.units.0.as_flattened()[offset..offset + N]);
        value
    }

    pub(super) fn digest(&self, platform: &impl Platform) -> Measurement {
        match self.algorithm {
            HashAlgorithm::Sha256 => {
                let mut state = SHA_256_START;
                let (blocks, _) = self.units.0.as_flattened().as_chunks();
                platform.sha256_blocks(&mut state, &blocks[..Self::SIZE / 64 + 1]);
                sha_256_measurement(&state)
            }
            HashAlgorithm::Sha512 => {
                let mut state = SHA_512_START;
                platform.sha512_blocks(&mut state, &self.units.0);
                sha_512_measurement(&state)
            }
        }
    }
}

fn sha_256_measurement(state: &[u32; 8]) -> Measurement {
    let mut measurement = [0; 64];
    for (bytes, word) in measurement.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    measurement
}

fn sha_512_measurement(state: &[u64; 8]) -> Measurement {
    let mut measurement = [0; 64];
    for (bytes, word) in measurement.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    measurement
}

/// The digest of the 4096 bytes of a granule.
#[must_use]
pub fn digest_granule(
    platform: &impl Platform,
    algorithm: HashAlgorithm,
    granule: &Granule,
) -> Measurement {
    const UNITS: usize = 4;
    let mut hasher = Hasher::new(platform, algorithm);
    let mut units = Units([[0; 128]; UNITS]);
    for words in granule.as_chunks::<{ UNITS * 16 }>().0 {
        for (bytes, word) in units
            .0
            .as_flattened_mut()
            .as_chunks_mut()
            .0
            .iter_mut()
            .zip(words)
        {
            *bytes = word.load(Relaxed).to_le_bytes();
        }
        hasher.update(&units.0);
    }
    hasher.finish(&[])
}
