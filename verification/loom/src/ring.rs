//! The words of a ring of the control channel.

use std::sync::{Arc, Mutex, PoisonError};

use loom::sync::atomic::{self, AtomicU64, Ordering};
use suzerain_wire::ring::{Place, SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER};
use suzerain_wire::{Memory, Word};

use crate::Flaw;

/// Where the bytes are.
const DATA: usize = WAKE_SENDER + 1;
/// The words that there are.
const PLACES: [usize; 5] = [SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER, DATA];
/// A ring of one word of bytes.
pub const PLACE: Place = Place::new(0, DATA, 1);
/// Bytes that can be on their way at once.
pub const CAPACITY: usize = PLACE.capacity() as usize;

/// A word of bytes, and what will be in it.
type Late = (Arc<AtomicU64>, u64);

/// A word. Without `FENCED`, there is no fence between a store of one and the look at another: [`Flaw::NoFence`].
#[derive(Debug)]
pub struct RingWord<const FENCED: bool> {
    atomic: Arc<AtomicU64>,
    flaw: Flaw,
    is_data: bool,
    /// With [`Flaw::Early`], bytes whose position is told before they are there.
    late: Arc<Mutex<Vec<Late>>>,
}

impl<const FENCED: bool> Word for RingWord<FENCED> {
    fn load(&self, order: Ordering) -> u64 {
        self.atomic.load(self.flaw.weaken(order))
    }

    fn store(&self, value: u64, order: Ordering) {
        // Never held while another thread gets its turn.
        let late = || self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_data && self.flaw == Flaw::Early {
            return late().push((Arc::clone(&self.atomic), value));
        }
        self.atomic.store(value, self.flaw.weaken(order));
        let bytes: Vec<_> = late().drain(..).collect();
        for (atomic, value) in bytes {
            atomic.store(value, Ordering::Relaxed);
        }
    }

    fn fence() {
        if FENCED {
            atomic::fence(Ordering::SeqCst);
        }
    }
}

/// The memory of a ring, all zero.
#[derive(Clone, Debug)]
pub struct RingMemory<const FENCED: bool>(Arc<[RingWord<FENCED>; PLACES.len()]>);

impl<const FENCED: bool> RingMemory<FENCED> {
    /// Whose words have this flaw.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        let late = Arc::default();
        Self(Arc::new(PLACES.map(|place| RingWord {
            atomic: Arc::new(AtomicU64::new(0)),
            flaw,
            is_data: place == DATA,
            late: Arc::clone(&late),
        })))
    }
}

impl<const FENCED: bool> Memory for RingMemory<FENCED> {
    type Word = RingWord<FENCED>;

    fn words(&self) -> usize {
        DATA + 1
    }

    fn word(&self, index: usize) -> &RingWord<FENCED> {
        let at = PLACES.iter().position(|&place| place == index);
        &self.0[at.unwrap_or_else(|| panic!("no end of a ring uses word {index}"))]
    }
}
