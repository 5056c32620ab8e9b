//! The system counter, and waiting for it.
//!
//! [`Time::Real`] counts nanoseconds of the host computer. [`Time::Counted`] counts instructions of simulated processing
//! elements instead, and jumps to the next deadline when all of them wait: a realm that sleeps for an hour
//! takes no time, and a slow computer changes no timer's order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ticks of the counter in a second (`CNTFRQ_EL0`), as QEMU's `max` processor has it.
pub const FREQUENCY: u64 = 1_000_000_000;

/// What makes the counter advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The time of the computer that the machine runs on.
    #[default]
    Real,
    /// Instructions: every one of them takes so many ticks, on whichever processing element.
    Counted {
        /// Ticks for an instruction, not 0.
        ticks: u64,
    },
}

/// Processing elements that wait, with the counter values that they wait for.
#[derive(Default)]
struct Waiters {
    deadlines: Vec<u64>,
    /// Processing elements that exist for the clock: between [`Clock::start`] and [`Clock::stop`].
    running: usize,
}

/// The counter of a machine, shared by its processing elements.
pub(crate) struct Clock {
    time: Time,
    epoch: Instant,
    counted: AtomicU64,
    waiters: Mutex<Waiters>,
    changed: Condvar,
}

/// In counted time: how long (really) nothing has to happen until time jumps although some processing element is not waiting.
const STALL: Duration = Duration::from_millis(2);
/// In real time: how long a waiter sleeps at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Clock {
    /// A counter at zero.
    pub(crate) fn new(time: Time) -> Self {
        Self {
            time,
            epoch: Instant::now(),
            counted: AtomicU64::new(0),
            waiters: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The counter, in ticks.
    pub(crate) fn now(&self) -> u64 {
        match self.time {
            Time::Real => self.epoch.elapsed().as_nanos() as u64,
            Time::Counted { .. } => self.counted.load(Ordering::SeqCst),
        }
    }

    /// An instruction was executed.
    pub(crate) fn tick(&self) {
        if let Time::Counted { ticks } = self.time {
            self.counted.fetch_add(ticks, Ordering::SeqCst);
        }
    }

    /// A processing element begins to run.
    pub(crate) fn start(&self) {
        self.lock().running += 1;
    }

    /// A processing element ends; the others need not wait for it.
    pub(crate) fn stop(&self) {
        self.lock().running -= 1;
        self.changed.notify_all();
    }

    /// Something happened that a waiter may be waiting for.
    pub(crate) fn notify(&self) {
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Waits until `woken` says so or the counter has reached `deadline`.
    ///
    /// Whoever makes `woken` true calls [`notify`](Self::notify) afterwards.
    pub(crate) fn wait(&self, deadline: u64, woken: impl Fn() -> bool) {
        let mut waiters = self.lock();
        waiters.deadlines.push(deadline);
        while !woken() && self.now() < deadline {
            waiters = match self.time {
                Time::Real => {
                    let left = Duration::from_nanos(deadline.saturating_sub(self.now()));
                    self.sleep(waiters, left.min(LOOK_AGAIN)).0
                }
                Time::Counted { .. } => self.wait_counted(waiters),
            };
        }
        let own = waiters
            .deadlines
            .iter()
            .position(|other| *other == deadline);
        waiters
            .deadlines
            .swap_remove(own.expect("a waiter is in the list"));
    }

    /// One turn of waiting in counted time: jumps if there is nobody left to wait for.
    fn wait_counted<'a>(&'a self, waiters: MutexGuard<'a, Waiters>) -> MutexGuard<'a, Waiters> {
        let before = self.now();
        let (waiters, stalled) = if waiters.deadlines.len() >= waiters.running {
            // A waiter that is already woken has not left the list yet: give it a moment, it may run next.
            self.sleep(waiters, Duration::from_micros(200))
        } else {
            self.sleep(waiters, STALL)
        };
        let next = waiters.deadlines.iter().copied().min().unwrap_or(u64::MAX);
        if stalled && self.now() == before && next != u64::MAX {
            self.counted.fetch_max(next, Ordering::SeqCst);
            self.changed.notify_all();
        }
        waiters
    }

    fn sleep<'a>(
        &self,
        waiters: MutexGuard<'a, Waiters>,
        time: Duration,
    ) -> (MutexGuard<'a, Waiters>, bool) {
        let (waiters, timeout) = self
            .changed
            .wait_timeout(waiters, time)
            .unwrap_or_else(PoisonError::into_inner);
        (waiters, timeout.timed_out())
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // The list stays consistent whatever panics: nothing in here unwinds while it is changed.
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn counted_time_advances_by_instructions_only() {
        let clock = Clock::new(Time::Counted { ticks: 10 });
        assert_eq!(clock.now(), 0);
        clock.tick();
        clock.tick();
        assert_eq!(clock.now(), 20);
    }

    #[test]
    fn counted_time_jumps_to_the_nearest_deadline() {
        let clock = Clock::new(Time::Counted { ticks: 10 });
        clock.start();
        clock.start();
        std::thread::scope(|scope| {
            scope.spawn(|| clock.wait(u64::MAX, || clock.now() >= 3_600 * FREQUENCY));
            clock.wait(3_600 * FREQUENCY, || false);
        });
        assert_eq!(clock.now(), 3_600 * FREQUENCY);
    }

    #[test]
    fn a_wait_ends_when_woken() {
        for time in [Time::Real, Time::Counted { ticks: 1 }] {
            let clock = Clock::new(time);
            clock.start();
            let flag = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    flag.store(true, Ordering::SeqCst);
                    clock.notify();
                });
                clock.wait(u64::MAX, || flag.load(Ordering::SeqCst));
            });
        }
    }
}
