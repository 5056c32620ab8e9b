//! Who runs next: more vCPUs than PEs share them by time slices; a vCPU that waits for an interrupt costs nothing.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What a vCPU is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Off, until another one turns it on.
    Off,
    /// In the queue.
    Ready,
    /// On a PE.
    Running {
        /// On which.
        pe: usize,
        /// Another vCPU turned it on meanwhile: if it turns itself off now, it is on again.
        turned_on: bool,
    },
    /// Waiting for an interrupt, or for its timer.
    Waiting {
        /// When its timer fires, as a value of the counter.
        deadline: Option<u64>,
    },
}

impl State {
    /// A word for it, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Ready | Self::Running { .. } => "on",
            Self::Waiting { .. } => "waiting",
        }
    }
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can go on.
    Again,
    /// It waits for an interrupt, and at most until then, as a value of the counter.
    Wait(Option<u64>),
    /// It turned itself off.
    Off,
    /// It turned out not to be runnable.
    NotRunnable,
}

/// The queue and the state of every vCPU.
#[derive(Debug)]
pub struct Schedule {
    states: Vec<State>,
    queue: VecDeque<usize>,
}

impl Schedule {
    /// So many vCPUs, of which the first is on.
    #[must_use]
    pub fn new(vcpus: usize) -> Self {
        let mut states = alloc::vec![State::Off; vcpus];
        let mut queue = VecDeque::with_capacity(vcpus);
        if let Some(first) = states.first_mut() {
            *first = State::Ready;
            queue.push_back(0);
        }
        Self { states, queue }
    }

    /// What a vCPU is doing.
    #[must_use]
    pub fn state(&self, vcpu: usize) -> State {
        self.states.get(vcpu).copied().unwrap_or(State::Off)
    }

    /// Takes the next vCPU to run on a PE, after waking those whose time has come.
    pub fn next(&mut self, now: u64, pe: usize) -> Option<usize> {
        for vcpu in 0..self.states.len() {
            if matches!(self.states[vcpu], State::Waiting { deadline: Some(deadline) } if deadline <= now)
            {
                self.make_ready(vcpu);
            }
        }
        let vcpu = self.queue.pop_front()?;
        let turned_on = false;
        self.states[vcpu] = State::Running { pe, turned_on };
        Some(vcpu)
    }

    /// Whether somebody waits for a PE.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The PE that a vCPU has.
    #[must_use]
    pub fn pe(&self, vcpu: usize) -> Option<usize> {
        match self.state(vcpu) {
            State::Running { pe, .. } => Some(pe),
            _ => None,
        }
    }

    /// The PEs that vCPUs have.
    pub fn pes(&self) -> impl Iterator<Item = usize> {
        (0..self.states.len()).filter_map(|vcpu| self.pe(vcpu))
    }

    /// The nearest time at which a waiting vCPU wants to run.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.states
            .iter()
            .filter_map(|state| match state {
                State::Waiting { deadline } => *deadline,
                _ => None,
            })
            .min()
    }

    /// A vCPU leaves its PE.
    pub fn leave(&mut self, vcpu: usize, verdict: Verdict) {
        let was_turned_on = matches!(
            self.state(vcpu),
            State::Running {
                turned_on: true,
                ..
            }
        );
        match verdict {
            Verdict::Wait(deadline) => self.states[vcpu] = State::Waiting { deadline },
            Verdict::Off if !was_turned_on => self.states[vcpu] = State::Off,
            Verdict::NotRunnable => self.states[vcpu] = State::Off,
            Verdict::Again | Verdict::Off => self.make_ready(vcpu),
        }
    }

    /// A vCPU has been turned on. Says whether it is now in the queue and was not before.
    pub fn turn_on(&mut self, vcpu: usize) -> bool {
        match self.states.get_mut(vcpu) {
            Some(State::Off) => {
                self.make_ready(vcpu);
                true
            }
            Some(State::Running { turned_on, .. }) => {
                *turned_on = true;
                false
            }
            _ => false,
        }
    }

    /// An interrupt is pending for a vCPU. Says whether it is now in the queue and was not before.
    pub fn wake(&mut self, vcpu: usize) -> bool {
        let waits = matches!(self.state(vcpu), State::Waiting { .. });
        if waits {
            self.make_ready(vcpu);
        }
        waits
    }

    /// Whether all vCPUs are off: nobody can turn one on any more.
    #[must_use]
    pub fn all_off(&self) -> bool {
        self.states.iter().all(|&state| state == State::Off)
    }

    fn make_ready(&mut self, vcpu: usize) {
        self.states[vcpu] = State::Ready;
        self.queue.push_back(vcpu);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_on(vcpus: usize) -> Schedule {
        let mut schedule = Schedule::new(vcpus);
        for vcpu in 1..vcpus {
            assert!(schedule.turn_on(vcpu));
        }
        schedule
    }

    #[test]
    fn only_the_first_runs_at_the_start() {
        let mut schedule = Schedule::new(3);
        assert_eq!(schedule.next(0, 0), Some(0));
        assert_eq!(schedule.next(0, 0), None);
        assert_eq!(schedule.state(1), State::Off);
    }

    #[test]
    fn slices_go_round() {
        let mut schedule = all_on(3);
        for turn in 0..9 {
            let vcpu = schedule.next(0, 0).unwrap();
            assert_eq!(vcpu, turn % 3);
            schedule.leave(vcpu, Verdict::Again);
        }
    }

    #[test]
    fn a_waiting_vcpu_runs_when_its_time_has_come_or_it_is_woken() {
        let mut schedule = all_on(2);
        for deadline in [Some(100), None] {
            let vcpu = schedule.next(0, 0).unwrap();
            schedule.leave(vcpu, Verdict::Wait(deadline));
        }
        assert_eq!(schedule.deadline(), Some(100));
        assert_eq!(schedule.next(99, 0), None);
        assert_eq!(schedule.next(100, 0), Some(0));
        assert!(schedule.wake(1));
        assert!(!schedule.wake(1), "it is in the queue once");
        assert_eq!(schedule.next(100, 0), Some(1));
        assert_eq!(schedule.next(100, 0), None);
    }

    #[test]
    fn turning_on_a_vcpu_that_is_about_to_turn_itself_off_is_not_lost() {
        let mut schedule = all_on(2);
        assert_eq!(
            (schedule.next(0, 5), schedule.next(0, 3)),
            (Some(0), Some(1))
        );
        assert_eq!((schedule.pe(0), schedule.pe(1)), (Some(5), Some(3)));
        assert!(schedule.pes().eq([5, 3]));
        assert!(!schedule.turn_on(1));
        schedule.leave(1, Verdict::Off);
        assert_eq!(schedule.next(0, 0), Some(1));
        schedule.leave(1, Verdict::Off);
        assert_eq!(schedule.state(1), State::Off);
        schedule.leave(0, Verdict::Off);
        assert!(schedule.all_off() && schedule.pes().next().is_none());
    }
}
