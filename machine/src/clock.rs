//! The system counter, and waiting for it.
//!
//! [`Time::Real`] counts nanoseconds of the host computer. [`Time::Counted`] counts instructions of simulated
//! processing elements instead, and jumps to the next deadline when all of them wait: a realm that sleeps for an
//! hour takes no time, and a slow computer changes no timer's order.

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

/// One that waits.
struct Waiter {
    id: u64,
    deadline: u64,
    /// The epoch in which it last found that it has to go on waiting.
    looked: u64,
}

/// Everybody who waits.
#[derive(Default)]
struct Waiters {
    list: Vec<Waiter>,
    last_id: u64,
    /// Changes whenever something happens that a waiter may be waiting for.
    epoch: u64,
    /// Threads that are processing elements now, between [`Clock::start`] and [`Clock::stop`].
    running: usize,
}

impl Waiters {
    /// Whether nothing can happen any more unless time passes.
    fn all_idle(&self) -> bool {
        self.list.len() >= self.running
            && self.list.iter().all(|waiter| waiter.looked == self.epoch)
    }
}

/// The counter of a machine, shared by its processing elements.
pub(crate) struct Clock {
    time: Time,
    epoch: Instant,
    counted: AtomicU64,
    waiters: Mutex<Waiters>,
    changed: Condvar,
}

/// How long a waiter sleeps at most before it looks again.
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

    /// A thread begins to be a processing element: time does not jump unless it waits.
    pub(crate) fn start(&self) {
        self.lock().running += 1;
    }

    /// It ceases to be one; the others need not wait for it.
    pub(crate) fn stop(&self) {
        let mut waiters = self.lock();
        waiters.running -= 1;
        self.happened(waiters);
    }

    /// Something happened that a waiter may be waiting for.
    pub(crate) fn notify(&self) {
        self.happened(self.lock());
    }

    fn happened(&self, mut waiters: MutexGuard<'_, Waiters>) {
        waiters.epoch += 1;
        drop(waiters);
        self.changed.notify_all();
    }

    /// Waits until `woken` says so or the counter has reached `deadline`.
    ///
    /// Whoever makes `woken` true calls [`notify`](Self::notify) afterwards.
    pub(crate) fn wait(&self, deadline: u64, woken: impl Fn() -> bool) {
        let mut waiters = self.lock();
        let id = waiters.last_id + 1;
        waiters.last_id = id;
        waiters.list.push(Waiter {
            id,
            deadline,
            looked: 0,
        });
        waiters.epoch += 1;
        while !woken() && self.now() < deadline {
            let epoch = waiters.epoch;
            if let Some(own) = waiters.list.iter_mut().find(|waiter| waiter.id == id) {
                own.looked = epoch;
            }
            waiters = self.wait_once(waiters, deadline);
        }
        waiters.list.retain(|waiter| waiter.id != id);
    }

    /// Sleeps for a while, or lets time pass.
    fn wait_once<'a>(
        &'a self,
        mut waiters: MutexGuard<'a, Waiters>,
        deadline: u64,
    ) -> MutexGuard<'a, Waiters> {
        let mut most = LOOK_AGAIN;
        match self.time {
            Time::Real => {
                most = most.min(Duration::from_nanos(deadline.saturating_sub(self.now())))
            }
            Time::Counted { .. } if waiters.all_idle() => {
                let next = waiters.list.iter().map(|waiter| waiter.deadline).min();
                if let Some(next) = next.filter(|next| *next != u64::MAX) {
                    self.counted.fetch_max(next, Ordering::SeqCst);
                    waiters.epoch += 1;
                    self.changed.notify_all();
                    return waiters;
                }
            }
            Time::Counted { .. } => {
                // Others have to look before time may pass.
                self.changed.notify_all();
            }
        }
        self.changed
            .wait_timeout(waiters, most)
            .unwrap_or_else(PoisonError::into_inner)
            .0
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
