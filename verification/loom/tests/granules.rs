//! The lock and the count of a granule.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use loom_models::{Flaw, GranuleWord, check};
use realm_monitor::granule::GranuleState::{self, Delegated, Rd, Rec, Rtt, Undelegated};
use realm_monitor::granule::word;

/// A granule and its content. The checker complains if two PEs are at the content at once, or if one is there that
/// does not see what the last one did.
struct Granule {
    word: GranuleWord,
    content: UnsafeCell<()>,
    flaw: Flaw,
}

impl Granule {
    /// A granule that nobody has locked, in this state.
    fn new(state: GranuleState, flaw: Flaw) -> Arc<Self> {
        let word = GranuleWord::new(flaw);
        word::set_state(&word, state);
        word::unlock(&word);
        Arc::new(Self {
            word,
            content: UnsafeCell::new(()),
            flaw,
        })
    }

    fn lock_in(&self, state: GranuleState) -> bool {
        let taken = word::lock_in(&self.word, state, thread::yield_now);
        if taken && self.flaw == Flaw::EarlyUnlock {
            word::unlock(&self.word);
        }
        taken
    }

    fn unlock(&self) {
        word::unlock(&self.word);
    }

    fn write(&self) {
        self.content.with_mut(|_| ());
    }

    fn state(&self) -> Option<GranuleState> {
        word::state(&self.word)
    }
}

/// What the checker says of two PEs at the content of a granule, at once or without seeing each other's work.
const BOTH: &str = "Causality violation";
/// What an assertion says of a state or a count at the end that is not what it should be.
const UNEQUAL: &str = "`left == right`";

#[test]
fn one_pe_at_a_time_has_the_lock() {
    fn model(flaw: Flaw) {
        let granule = Granule::new(Delegated, flaw);
        let other = Arc::clone(&granule);
        let work = |granule: &Granule| {
            assert!(granule.lock_in(Delegated));
            granule.write();
            granule.unlock();
        };
        let thread = thread::spawn(move || work(&other));
        work(&granule);
        thread.join().expect("no panic");
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, BOTH),
            (Flaw::NoRelease, BOTH),
            (Flaw::Torn, BOTH),
            (Flaw::EarlyUnlock, BOTH),
        ],
    );
}

#[test]
fn one_of_two_commands_gets_a_delegated_granule() {
    fn model(flaw: Flaw) {
        let granule = Granule::new(Delegated, flaw);
        let other = Arc::clone(&granule);
        let take = |granule: &Granule, state| {
            let taken = granule.lock_in(Delegated);
            if taken {
                granule.write();
                word::set_state(&granule.word, state);
                granule.unlock();
            }
            taken
        };
        let thread = thread::spawn(move || take(&other, Rd));
        let rtt = take(&granule, Rtt);
        let rd = thread.join().expect("no panic");
        assert!(rd != rtt, "exactly one of them");
        assert_eq!(granule.state(), Some(if rd { Rd } else { Rtt }));
    }
    check(
        model,
        &[
            (Flaw::Torn, "exactly one of them"),
            (Flaw::EarlyUnlock, BOTH),
        ],
    );
}

#[test]
fn undelegation_and_delegation_take_turns() {
    fn model(flaw: Flaw) {
        let granule = Granule::new(Undelegated, flaw);
        let other = Arc::clone(&granule);
        let thread = thread::spawn(move || {
            if other.lock_in(Delegated) {
                other.write();
                word::set_state(&other.word, Undelegated);
                other.unlock();
                return true;
            }
            false
        });
        assert!(granule.lock_in(Undelegated));
        granule.write();
        word::set_state(&granule.word, Delegated);
        granule.unlock();
        let undelegated = thread.join().expect("no panic");
        let state = if undelegated { Undelegated } else { Delegated };
        assert_eq!(granule.state(), Some(state));
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, BOTH),
            (Flaw::NoRelease, BOTH),
            (Flaw::Torn, UNEQUAL),
        ],
    );
}

/// RMI_REC_ENTER: takes the REC by its count, runs without the lock, and gives it back without the lock. Whether the
/// REC ran.
fn enter(rec: &Granule) -> bool {
    if !rec.lock_in(Rec) {
        return false;
    }
    let free = word::count(&rec.word) == 0;
    let counted = rec.flaw != Flaw::Uncounted;
    if free && counted {
        word::add(&rec.word, 1);
    }
    rec.unlock();
    if free {
        rec.write();
    }
    if free && counted {
        word::subtract(&rec.word, 1);
    }
    free
}

/// RMI_REC_DESTROY. Whether the REC is gone.
fn destroy(rec: &Granule) -> bool {
    if !rec.lock_in(Rec) {
        return false;
    }
    let free = word::count(&rec.word) == 0;
    if free {
        rec.write();
        word::set_state(&rec.word, Delegated);
    }
    rec.unlock();
    free
}

#[test]
fn a_rec_runs_on_one_pe_only() {
    fn model(flaw: Flaw) {
        let rec = Granule::new(Rec, flaw);
        let other = Arc::clone(&rec);
        let thread = thread::spawn(move || enter(&other));
        let first = enter(&rec);
        let second = thread.join().expect("no panic");
        assert!(first || second);
        assert_eq!(word::count(&rec.word), 0);
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, BOTH),
            (Flaw::NoRelease, BOTH),
            (Flaw::Torn, UNEQUAL),
            (Flaw::EarlyUnlock, BOTH),
            (Flaw::Uncounted, BOTH),
        ],
    );
}

#[test]
fn a_rec_that_runs_is_not_destroyed() {
    fn model(flaw: Flaw) {
        let rec = Granule::new(Rec, flaw);
        let other = Arc::clone(&rec);
        let thread = thread::spawn(move || enter(&other));
        let gone = destroy(&rec);
        let ran = thread.join().expect("no panic");
        assert!(gone || ran, "one of them is first");
        assert_eq!(rec.state(), Some(if gone { Delegated } else { Rec }));
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, BOTH),
            (Flaw::NoRelease, BOTH),
            (Flaw::Torn, UNEQUAL),
            (Flaw::EarlyUnlock, BOTH),
            (Flaw::Uncounted, BOTH),
        ],
    );
}

#[test]
fn counts_are_kept_whoever_holds_the_lock() {
    fn model(flaw: Flaw) {
        let rd = Granule::new(Rd, flaw);
        word::add(&rd.word, 2);
        // Two RECs of the realm go while a command has the realm's descriptor.
        let threads = [0, 1].map(|_| {
            let rd = Arc::clone(&rd);
            thread::spawn(move || {
                rd.content.with(|_| ());
                word::subtract(&rd.word, 1);
            })
        });
        assert!(rd.lock_in(Rd));
        if word::count(&rd.word) == 0 {
            // RMI_REALM_DESTROY: it sees everything that the last users did.
            rd.write();
        }
        rd.unlock();
        threads
            .into_iter()
            .for_each(|thread| thread.join().expect("no panic"));
        assert_eq!(word::count(&rd.word), 0);
        assert_eq!(rd.state(), Some(Rd));
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, BOTH),
            (Flaw::NoRelease, BOTH),
            (Flaw::Torn, UNEQUAL),
        ],
    );
}
