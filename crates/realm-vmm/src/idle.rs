//! PEs that wait for something to do.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::pe::HostPe;

/// PEs that are known by their numbers; of others it is only known how many there are.
const KNOWN: usize = 128;
const BITS: usize = u64::BITS as usize;

/// PEs that have found nothing to run. Who makes a vCPU ready calls one of them, and no PE that runs a vCPU: those look by themselves when
/// their slice is over.
///
/// A PE that is about to wait enters first, and looks for work once more after that: a vCPU that became ready before is found then, and
/// whoever makes one ready later finds the PE here, because both hold the lock of that vCPU's schedule in between.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    known: [AtomicU64; KNOWN / BITS],
    others: AtomicUsize,
}

impl Idle {
    /// This PE is about to wait.
    pub(crate) fn enter(&self, pe: &impl HostPe) {
        match self.known.get(pe.index() / BITS) {
            Some(word) => word.fetch_or(1 << (pe.index() % BITS), Ordering::SeqCst),
            None => self.others.fetch_add(1, Ordering::SeqCst) as u64,
        };
    }

    /// It does not wait any more.
    pub(crate) fn leave(&self, pe: &impl HostPe) {
        match self.known.get(pe.index() / BITS) {
            Some(word) => word.fetch_and(!(1 << (pe.index() % BITS)), Ordering::SeqCst),
            None => self.others.fetch_sub(1, Ordering::SeqCst) as u64,
        };
    }

    /// Calls a PE that waits, if one does; another one each time, if there are more. PE 0, which may have other things to do, comes last.
    pub(crate) fn call(&self, pe: &mut impl HostPe) {
        for (n, word) in self.known.iter().enumerate().rev() {
            let called = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |waiting| {
                let last = waiting.checked_ilog2()?;
                Some(waiting & !(1 << last))
            });
            if let Some(last) = called.ok().and_then(u64::checked_ilog2) {
                return pe.kick(n * BITS + last as usize);
            }
        }
        if self.others.load(Ordering::SeqCst) != 0 {
            pe.kick_others();
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// Remembers whom it called.
    struct Pe(usize, Vec<Option<usize>>);

    impl HostPe for Pe {
        fn index(&self) -> usize {
            self.0
        }
        fn counter(&self) -> u64 {
            0
        }
        fn frequency(&self) -> u64 {
            1
        }
        fn arm_slice(&mut self, _deadline: u64) {}
        fn disarm_slice(&mut self) {}
        fn acknowledge_interrupts(&mut self) {}
        fn wait(&mut self, _deadline: Option<u64>) {}
        fn kick(&mut self, index: usize) {
            self.1.push(Some(index));
        }
        fn kick_others(&mut self) {
            self.1.push(None);
        }
    }

    #[test]
    fn each_pe_that_waits_is_called_once() {
        let idle = Idle::default();
        let mut caller = Pe(0, Vec::new());
        idle.call(&mut caller);
        assert_eq!(caller.1, []);
        for index in [70, 3, 5, 500] {
            idle.enter(&Pe(index, Vec::new()));
        }
        idle.leave(&Pe(5, Vec::new()));
        for _ in 0..3 {
            idle.call(&mut caller);
        }
        assert_eq!(caller.1, [Some(70), Some(3), None]);
        // It has been called, and leaves.
        idle.leave(&Pe(3, Vec::new()));
        idle.leave(&Pe(500, Vec::new()));
        idle.call(&mut caller);
        assert_eq!(caller.1.len(), 3);
    }
}
