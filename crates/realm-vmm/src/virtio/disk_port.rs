//! The host's side of a disk.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;

/// What a disk is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read so many bytes.
    Read {
        /// A multiple of the size of a sector, at most [`super::LONGEST_TRANSFER`].
        length: usize,
    },
    /// Write these bytes: a multiple of the size of a sector, at most [`super::LONGEST_TRANSFER`].
    Write {
        /// The bytes.
        data: Vec<u8>,
    },
    /// Make permanent what was written and answered before.
    Flush,
}

/// A request to whoever has the content of a disk. It lies within the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// By which it is answered. Never used twice by a disk.
    pub tag: u64,
    /// The first sector.
    pub sector: u64,
    /// What to do.
    pub operation: Operation,
}

/// What a request failed with: the realm sees an I/O error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError;

/// What a request led to: of a read, exactly as many bytes as it asked for; otherwise nothing.
pub type DiskAnswer = Result<Vec<u8>, DiskError>;

#[derive(Debug, Default)]
struct State {
    requests: VecDeque<DiskRequest>,
    /// The tags of those that were taken and not answered.
    taken: BTreeSet<u64>,
    answers: Vec<(u64, DiskAnswer)>,
    /// The tags of those that were taken before the realm reset the device, and that are not answered yet: whoever took them still has
    /// them, whatever the realm wants by now.
    forgotten: BTreeSet<u64>,
}

/// The host's side of a disk: requests go out, in any order answers come in.
///
/// There are never more than [`super::TRANSFERS_IN_FLIGHT`] requests to take, taken and not answered, or answered and not yet seen by the
/// device, all together, however often the realm resets the device.
#[derive(Clone, Debug, Default)]
pub struct DiskPort(Arc<Mutex<State>>);

impl DiskPort {
    /// Takes the next request.
    pub fn take_request(&self) -> Option<DiskRequest> {
        let mut state = self.0.lock();
        let request = state.requests.pop_front()?;
        state.taken.insert(request.tag);
        Some(request)
    }

    /// Whether there is a request to take.
    #[must_use]
    pub fn has_requests(&self) -> bool {
        !self.0.lock().requests.is_empty()
    }

    /// Answers a request. The device tells the realm when it is polled. Returns whether the answer was expected: it is not if the
    /// realm has reset the device since the request was taken, and is dropped then.
    pub fn complete(&self, tag: u64, answer: DiskAnswer) -> bool {
        let mut state = self.0.lock();
        state.forgotten.remove(&tag);
        let is_expected = state.taken.remove(&tag);
        if is_expected {
            state.answers.push((tag, answer));
        }
        is_expected
    }

    /// How many requests of the device's former lives are still outside.
    pub(super) fn forgotten(&self) -> usize {
        self.0.lock().forgotten.len()
    }

    pub(super) fn send(&self, request: DiskRequest) {
        self.0.lock().requests.push_back(request);
    }

    pub(super) fn take_answers(&self) -> Vec<(u64, DiskAnswer)> {
        core::mem::take(&mut self.0.lock().answers)
    }

    /// Forgets all requests but for those that somebody has taken: they count until they are answered.
    pub(super) fn forget(&self) {
        let mut state = self.0.lock();
        state.requests.clear();
        state.answers.clear();
        let taken = core::mem::take(&mut state.taken);
        state.forgotten.extend(taken);
    }
}
