//! A source of random numbers (virtio 1.2, section 5.4).

use alloc::vec;
use core::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::Fault;
use super::chain::Chain;
use super::queue::Queue;
use super::transport::{Device, Transport};
use crate::bus::SharedMemory;

/// Bytes that a request gets at most. A driver that wants more asks again.
pub const LARGEST_ANSWER: usize = 256;

/// Where random numbers come from.
///
/// A realm has no reason to believe that they are random: the host chooses them. They are mixed with what the realm has of its own.
pub trait EntropySource: Send {
    /// Fills as much of `to` as it can, and says how much: less than all if there is no more for now. Called with the device locked:
    /// it does not wait for anything, and calls nothing of the machine.
    fn fill(&mut self, to: &mut [u8]) -> usize;
}

/// Numbers that follow from a seed: the key stream of ChaCha20 (RFC 8439, with all rounds), which nobody can tell from random
/// numbers who does not know the seed.
///
/// A seed is used for one realm and once: two realms with the same seed get the same numbers.
pub struct Seeded(ChaCha20Rng);

impl Seeded {
    /// From a seed that the host got from its own source of randomness.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }
}

impl EntropySource for Seeded {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        self.0.fill_bytes(to);
        to.len()
    }
}

impl fmt::Debug for Seeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seeded")
    }
}

/// The device.
#[derive(Debug)]
pub struct Entropy<S> {
    source: S,
    /// The request that there was nothing for.
    waiting: Option<Chain>,
}

/// A device that hands out what a source has.
#[must_use]
pub fn entropy<S: EntropySource>(source: S) -> Transport<Entropy<S>> {
    Transport::new(Entropy {
        source,
        waiting: None,
    })
}

impl<S: EntropySource> Device for Entropy<S> {
    const ID: u32 = 4;
    const QUEUES: &'static [u16] = &[16];

    fn features(&self) -> u64 {
        0
    }

    fn config(&self, _space: &mut [u8; 64]) {}

    fn reset(&mut self) {
        self.waiting = None;
    }

    fn serve(
        &mut self,
        _index: usize,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault> {
        let mut batch = queue.batch(memory)?;
        loop {
            let next = match self.waiting.take() {
                Some(chain) => Some(chain),
                None => queue.next(&mut batch, memory)?,
            };
            let Some(chain) = next else {
                return Ok(());
            };
            let wanted = chain.writable.len().min(LARGEST_ANSWER as u64) as usize;
            if wanted == 0 {
                return Err(Fault::Request);
            }
            let mut bytes = vec![0; wanted];
            let count = self.source.fill(&mut bytes).min(wanted);
            if count == 0 {
                self.waiting = Some(chain);
                return Ok(());
            }
            chain.writable.write(memory, 0, &bytes[..count])?;
            queue.give_back(memory, chain.head, count as u32)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_key_stream_however_it_is_asked_for() {
        // RFC 8439, A.1, test vector 1: the key stream of the key and nonce zero.
        let mut bytes = [0; 64];
        assert_eq!(Seeded::new([0; 32]).fill(&mut bytes), 64);
        assert_eq!(bytes[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        assert_eq!(bytes[60..], [0xb2, 0xee, 0x65, 0x86]);
        let mut other = [0; 64];
        Seeded::new([1; 32]).fill(&mut other);
        assert_ne!(bytes, other);
    }
}
