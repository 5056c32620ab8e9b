//! Where frames of a realm wait for the thread of its network.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::frames::LONGEST;

/// So many frames wait at most. What comes then is lost, as on any network.
const MOST: usize = 512;
/// The most bytes that wait.
pub const MOST_BYTES: usize = MOST * LONGEST;

/// Frames of one realm, in the order in which they came.
#[derive(Debug)]
pub struct Mailbox {
    frames: Mutex<VecDeque<Vec<u8>>>,
    closed: AtomicBool,
    /// Frames that have come, those that were lost among them.
    seen: AtomicU64,
    /// A byte in it wakes the thread.
    bell: UnixStream,
    sleeper: UnixStream,
}

impl Mailbox {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let (bell, sleeper) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        sleeper.set_nonblocking(true)?;
        Ok(Self {
            frames: Mutex::default(),
            closed: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            bell,
            sleeper,
        })
    }

    /// Adds a frame; never waits. False if there was no room for it, or it is longer than frames are.
    pub(crate) fn push(&self, frame: Vec<u8>) -> bool {
        self.seen.fetch_add(1, Ordering::Relaxed);
        if frame.len() > LONGEST {
            return false;
        }
        let mut frames = self.frames();
        if frames.len() >= MOST {
            return false;
        }
        frames.push_back(frame);
        let first = frames.len() == 1;
        drop(frames);
        if first {
            self.ring();
        }
        true
    }

    /// Takes all frames.
    pub fn take(&self) -> VecDeque<Vec<u8>> {
        // Bytes before frames: whoever adds one after this rings again.
        let mut bytes = [0; 64];
        while (&self.sleeper)
            .read(&mut bytes)
            .is_ok_and(|read| read == bytes.len())
        {}
        std::mem::take(&mut *self.frames())
    }

    /// How many bytes wait.
    pub(crate) fn waiting(&self) -> usize {
        self.frames().iter().map(Vec::len).sum()
    }

    /// Has the network's thread end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether it shall.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether a frame has ever come.
    pub(crate) fn is_used(&self) -> bool {
        self.seen.load(Ordering::Relaxed) > 0
    }

    /// What is readable when there is something to take.
    pub(super) fn sleeper(&self) -> BorrowedFd<'_> {
        self.sleeper.as_fd()
    }

    fn ring(&self) {
        // When it is full, the thread is as good as awake.
        let _ = (&self.bell).write(&[1]);
    }

    fn frames(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_lost_and_nobody_waits() {
        let mailbox = Mailbox::new().unwrap();
        assert!(!mailbox.is_used());
        assert!(!mailbox.push(vec![0; LONGEST + 1]));
        let taken = (0..2 * MOST).filter(|_| mailbox.push(vec![0; 60])).count();
        assert_eq!((taken, mailbox.take().len()), (MOST, MOST));
        assert!(mailbox.is_used() && mailbox.take().is_empty());
        // A bell that nobody hears does not stop who rings it.
        for _ in 0..1_000_000 {
            mailbox.ring();
        }
        assert!(mailbox.push(vec![1]));
        assert_eq!(mailbox.take(), [vec![1]]);
    }
}
