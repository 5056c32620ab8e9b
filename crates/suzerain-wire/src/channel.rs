//! Where things are in the memory of a channel.
//!
//! | words | what |
//! |---|---|
//! | 0 | [`MAGIC`], which the tool writes before the machine starts |
//! | 64-95 | words of the ring to the host ([`ring`](crate::ring)) |
//! | 128-159 | words of the ring to the tool |
//! | 512- | the bytes on their way to the host: half of what is left |
//! | | the bytes on their way to the tool: the other half |

use core::sync::atomic::Ordering;

use crate::memory::{Memory, Word};
use crate::ring::{Place, Receiver, Sender};

/// "SUZCHAN1" in memory order: a tool is at the other end, and this is how it speaks.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SUZCHAN1");

const TO_HOST: usize = 64;
const TO_TOOL: usize = 128;
/// The first word that is no index.
const BYTES: usize = 512;

/// Nobody is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody serves the control channel of this machine")]
pub struct Unserved;

fn places<M: Memory>(memory: &M) -> (Place, Place) {
    let half = memory.words().saturating_sub(BYTES) / 2;
    (
        Place::new(TO_HOST, BYTES, half),
        Place::new(TO_TOOL, BYTES + half, half),
    )
}

/// The ends of the tool, in memory that is all zero. Before the machine starts.
///
/// # Panics
///
/// If the memory has no room for a channel: 514 words.
pub fn tool<M: Memory>(memory: M) -> (Sender<M>, Receiver<M>) {
    let (to_host, to_tool) = places(&memory);
    memory.word(0).store(MAGIC, Ordering::Release);
    (
        Sender::new(memory.clone(), to_host),
        Receiver::new(memory, to_tool),
    )
}

/// The ends of the host. Once in the life of a machine.
///
/// # Errors
///
/// [`Unserved`] if no tool is there.
///
/// # Panics
///
/// If the memory has no room for a channel: 514 words.
pub fn host<M: Memory>(memory: M) -> Result<(Sender<M>, Receiver<M>), Unserved> {
    if memory.word(0).load(Ordering::Acquire) != MAGIC {
        return Err(Unserved);
    }
    let (to_host, to_tool) = places(&memory);
    Ok((
        Sender::new(memory.clone(), to_tool),
        Receiver::new(memory, to_host),
    ))
}
