//! The set of VMIDs.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use loom_models::{Flaw, VmidWord, check};
use realm_monitor::realm::vmid::{give_back, take};

/// A word of the set, and the translations of the realm that has the VMID of its bit 3.
struct Set {
    word: VmidWord,
    translations: UnsafeCell<()>,
}

fn set(flaw: Flaw) -> Arc<Set> {
    Arc::new(Set {
        word: VmidWord::new(flaw),
        translations: UnsafeCell::new(()),
    })
}

#[test]
fn no_two_realms_have_the_same_vmid() {
    fn model(flaw: Flaw) {
        let set = set(flaw);
        let live = |set: &Set| {
            let taken = take(&set.word, 1 << 3);
            if taken {
                // As long as it is taken, and with the invalidations of the last realm behind it.
                set.translations.with_mut(|_| ());
                give_back(&set.word, 1 << 3);
            }
            taken
        };
        let other = Arc::clone(&set);
        let thread = thread::spawn(move || live(&other));
        let first = live(&set);
        let second = thread.join().expect("no panic");
        assert!(first || second);
        assert!(take(&set.word, 1 << 3), "given back by all");
    }
    check(
        model,
        &[
            (Flaw::NoAcquire, "Causality violation"),
            (Flaw::NoRelease, "Causality violation"),
            (Flaw::Torn, "Causality violation"),
        ],
    );
}

#[test]
fn neighbours_do_not_touch_each_other() {
    fn model(flaw: Flaw) {
        let set = set(flaw);
        let other = Arc::clone(&set);
        assert!(take(&set.word, 1 << 3));
        let thread = thread::spawn(move || {
            assert!(take(&other.word, 1 << 4));
            give_back(&other.word, 1 << 4);
            assert!(take(&other.word, 1 << 5));
        });
        give_back(&set.word, 1 << 3);
        thread.join().expect("no panic");
        assert!(take(&set.word, 1 << 3) && take(&set.word, 1 << 4));
        assert!(!take(&set.word, 1 << 5), "it was taken");
    }
    check(model, &[(Flaw::Torn, "take(&set.word, 1 << 3)")]);
}
