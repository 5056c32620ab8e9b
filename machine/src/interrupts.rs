//! The physical interrupts of each processing element: kicks (software generated) and the slice timer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock::Clock;

/// The interrupts for the host on one processing element.
pub(crate) struct Lines {
    kicked: AtomicBool,
    slice: AtomicU64,
}

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

impl Lines {
    /// Nothing pending.
    pub(crate) fn new() -> Self {
        Self {
            kicked: AtomicBool::new(false),
            slice: AtomicU64::new(NEVER),
        }
    }

    /// Makes the software generated interrupt pending.
    pub(crate) fn kick(&self, clock: &Clock) {
        self.kicked.store(true, Ordering::SeqCst);
        clock.notify();
    }

    /// Sets the timer to a counter value, or to [`NEVER`].
    pub(crate) fn set_slice(&self, deadline: u64) {
        self.slice.store(deadline, Ordering::SeqCst);
    }

    /// What the timer is set to.
    pub(crate) fn slice(&self) -> u64 {
        self.slice.load(Ordering::SeqCst)
    }

    /// Whether an interrupt for the host is pending.
    pub(crate) fn pending(&self, clock: &Clock) -> bool {
        self.kicked.load(Ordering::SeqCst) || clock.now() >= self.slice()
    }

    /// Takes what is pending: the kick, and the timer if it has fired.
    pub(crate) fn acknowledge(&self, clock: &Clock) {
        self.kicked.store(false, Ordering::SeqCst);
        if clock.now() >= self.slice() {
            self.set_slice(NEVER);
        }
    }
}
