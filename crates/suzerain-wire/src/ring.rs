//! A ring of bytes from one program to another.
//!
//! Four words belong to a ring, each in a cache line of its own. All are positions in the stream of bytes, from 0, and never go
//! back:
//!
//! | word | who writes it | what it says |
//! |---|---|---|
//! | [`SENT`] | sender | what was sent |
//! | [`TAKEN`] | receiver | what of it was taken |
//! | [`WAKE_RECEIVER`] | receiver | the bell is wanted when [`SENT`] goes beyond this |
//! | [`WAKE_SENDER`] | sender | the bell is wanted when [`TAKEN`] goes beyond this |
//!
//! The byte at position `n` is in the ring's byte `n` modulo its capacity. Who wants to wait says from where on it is to be woken,
//! and looks once more; who has moved on looks whether that was passed. Between the store and the look of each is a fence, so that
//! one of the two sees the other, and a bell that rings once for each wait.

use core::sync::atomic::Ordering;

use crate::memory::{Memory, Word};

/// What was sent. Offsets in words from the ring's first.
pub const SENT: usize = 0;
/// What was taken.
pub const TAKEN: usize = 8;
/// When the receiver wants the bell.
pub const WAKE_RECEIVER: usize = 16;
/// When the sender wants the bell.
pub const WAKE_SENDER: usize = 24;

/// The other end says something that cannot be. The ring is of no use after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the other end of the ring is out of its mind: it is at {theirs} where {from} to {to} can be"
)]
pub struct Broken {
    /// Where it says that it is.
    pub theirs: u64,
    /// The least that it can be.
    pub from: u64,
    /// The most that it can be.
    pub to: u64,
}

/// What a call has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Moved {
    /// So many bytes were moved.
    pub bytes: usize,
    /// The other end waits for that: ring.
    pub bell: bool,
}

/// Where a ring is in its memory.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    control: usize,
    data: usize,
    capacity: u64,
}

impl Place {
    /// A ring with its own words from word `control` on, and `words` words of bytes from word `data` on.
    ///
    /// # Panics
    ///
    /// If there is no word for bytes.
    #[must_use]
    pub const fn new(control: usize, data: usize, words: usize) -> Self {
        assert!(words > 0, "a ring without room");
        Self {
            control,
            data,
            capacity: 8 * words as u64,
        }
    }

    /// Bytes that can be on their way at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Goes through the ring's bytes from position `from` on, word by word: calls `each` with the word, the first byte in it, and the
    /// part of `0..length`.
    fn walk<M: Memory>(
        &self,
        memory: &M,
        from: u64,
        length: usize,
        mut each: impl FnMut(&M::Word, usize, core::ops::Range<usize>),
    ) {
        let mut at = from % self.capacity;
        let mut done = 0;
        while done < length {
            let first = at as usize % 8;
            let count = (8 - first).min(length - done);
            each(
                memory.word(self.data + at as usize / 8),
                first,
                done..done + count,
            );
            done += count;
            at += count as u64;
            if at == self.capacity {
                at = 0;
            }
        }
    }
}

/// A position of the other end that was read once, if it is in `from..=to`.
fn checked(theirs: u64, from: u64, to: u64) -> Result<u64, Broken> {
    if theirs.wrapping_sub(from) <= to.wrapping_sub(from) {
        Ok(theirs)
    } else {
        Err(Broken { theirs, from, to })
    }
}

/// Whether who went from `from` to `to` has passed `mark`.
const fn passed(mark: u64, from: u64, to: u64) -> bool {
    mark.wrapping_sub(from) < to.wrapping_sub(from)
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender<M> {
    memory: M,
    place: Place,
    sent: u64,
    /// What the other end has said last.
    taken: u64,
}

impl<M: Memory> Sender<M> {
    /// The end of a ring that is all zero.
    pub const fn new(memory: M, place: Place) -> Self {
        Self {
            memory,
            place,
            sent: 0,
            taken: 0,
        }
    }

    fn word(&self, which: usize) -> &M::Word {
        self.memory.word(self.place.control + which)
    }

    /// How many bytes there is room for.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn room(&mut self) -> Result<usize, Broken> {
        let theirs = self.word(TAKEN).load(Ordering::Acquire);
        self.taken = checked(theirs, self.taken, self.sent)?;
        Ok((self.place.capacity - self.sent.wrapping_sub(self.taken)) as usize)
    }

    /// Sends as many of the bytes as there is room for.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<Moved, Broken> {
        let count = self.room()?.min(bytes.len());
        let place = self.place;
        place.walk(&self.memory, self.sent, count, |word, first, part| {
            let bytes = &bytes[part];
            let mut whole = [0; 8];
            if bytes.len() < 8 {
                // The word's other bytes are on their way, or will be.
                whole = word.load(Ordering::Relaxed).to_le_bytes();
            }
            whole[first..first + bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
        });
        let from = self.sent;
        self.sent = from.wrapping_add(count as u64);
        self.word(SENT).store(self.sent, Ordering::Release);
        M::Word::fence();
        let mark = self.word(WAKE_RECEIVER).load(Ordering::Relaxed);
        Ok(Moved {
            bytes: count,
            bell: passed(mark, from, self.sent),
        })
    }

    /// Whether half of the ring is free, as far as the other end can be believed.
    pub fn has_room(&self) -> bool {
        let theirs = self.word(TAKEN).load(Ordering::Acquire);
        checked(theirs, self.taken, self.sent).is_ok_and(|taken| {
            let room = self.place.capacity - self.sent.wrapping_sub(taken);
            room >= self.place.capacity / 2
        })
    }

    /// Asks for the bell when half of the ring is free. Says whether that is still to come: if not, there will be no bell.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn wait(&mut self) -> Result<bool, Broken> {
        let half = self.place.capacity / 2;
        // The last position at which less than half is free.
        let mark = self.sent.wrapping_sub(self.place.capacity - half + 1);
        self.word(WAKE_SENDER).store(mark, Ordering::Relaxed);
        M::Word::fence();
        Ok((self.room()? as u64) < half)
    }
}

/// The end that receives.
#[derive(Debug)]
pub struct Receiver<M> {
    memory: M,
    place: Place,
    taken: u64,
    /// What the other end has said last.
    sent: u64,
}

impl<M: Memory> Receiver<M> {
    /// The end of a ring that is all zero.
    pub const fn new(memory: M, place: Place) -> Self {
        Self {
            memory,
            place,
            taken: 0,
            sent: 0,
        }
    }

    fn word(&self, which: usize) -> &M::Word {
        self.memory.word(self.place.control + which)
    }

    /// How many bytes have arrived.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn arrived(&mut self) -> Result<usize, Broken> {
        let theirs = self.word(SENT).load(Ordering::Acquire);
        let most = self.taken.wrapping_add(self.place.capacity);
        self.sent = checked(theirs, self.sent, most)?;
        Ok(self.sent.wrapping_sub(self.taken) as usize)
    }

    /// Whether something has arrived, or the other end is mad.
    pub fn has_arrivals(&self) -> bool {
        self.word(SENT).load(Ordering::Acquire) != self.taken
    }

    /// Moves bytes that have arrived to the start of `to`.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn receive(&mut self, to: &mut [u8]) -> Result<Moved, Broken> {
        let count = self.arrived()?.min(to.len());
        let place = self.place;
        place.walk(&self.memory, self.taken, count, |word, first, part| {
            let whole = word.load(Ordering::Relaxed).to_le_bytes();
            let length = part.len();
            to[part].copy_from_slice(&whole[first..first + length]);
        });
        let from = self.taken;
        self.taken = from.wrapping_add(count as u64);
        // What was read before is not read any more when the sender sees this.
        self.word(TAKEN).store(self.taken, Ordering::Release);
        M::Word::fence();
        let mark = self.word(WAKE_SENDER).load(Ordering::Relaxed);
        Ok(Moved {
            bytes: count,
            bell: passed(mark, from, self.taken),
        })
    }

    /// Asks for the bell when something arrives. Says whether that is still to come: if not, there will be no bell.
    ///
    /// # Errors
    ///
    /// [`Broken`].
    pub fn wait(&mut self) -> Result<bool, Broken> {
        self.word(WAKE_RECEIVER)
            .store(self.taken, Ordering::Relaxed);
        M::Word::fence();
        Ok(self.arrived()? == 0)
    }
}
