//! Granules that share a descriptor of the protection table.

use aarch64_formats::gpt::{AddressSpace, Gpi, Granules};
use loom::sync::Arc;
use loom::sync::atomic::Ordering;
use loom::thread;
use loom_models::{Flaw, ProtectionWord, check};
use root_monitor::Platform;
use root_monitor::transition::{Descriptor as _, TransitionError, delegate, undelegate};

/// A machine without caches.
struct Plain;

impl Platform for Plain {
    fn clean_to_aliasing_point(&self, _: AddressSpace, _: u64) {}

    fn invalidate_protection(&self, _: u64) {}
    fn note_delegation(&self) {}

    fn wake(&self, _: usize) {}

    fn ring(&self) {}

    fn shared_buffer(&self) -> &[std::sync::atomic::AtomicU64; 512] {
        static PAGE: [std::sync::atomic::AtomicU64; 512] =
            [const { std::sync::atomic::AtomicU64::new(0) }; 512];
        &PAGE
    }
}

const FIRST: u64 = 0x4300_0000;
const SECOND: u64 = FIRST + 0x1000;

fn descriptor(flaw: Flaw) -> Arc<ProtectionWord> {
    Arc::new(ProtectionWord::new(Granules::all(Gpi::NonSecure).0, flaw))
}

fn gpi(entry: &ProtectionWord, address: u64) -> Option<Gpi> {
    Granules(entry.load(Ordering::Relaxed)).get(Granules::slot(address))
}

#[test]
fn neighbours_change_worlds_at_once() {
    fn model(flaw: Flaw) {
        let entry = descriptor(flaw);
        let other = Arc::clone(&entry);
        let thread = thread::spawn(move || delegate(&*other, &Plain, SECOND));
        assert_eq!(delegate(&*entry, &Plain, FIRST), Ok(()));
        assert_eq!(undelegate(&*entry, &Plain, FIRST), Ok(()));
        assert_eq!(thread.join().expect("no panic"), Ok(()));
        assert_eq!(gpi(&entry, FIRST), Some(Gpi::NonSecure));
        assert_eq!(gpi(&entry, SECOND), Some(Gpi::Realm));
    }
    check(model, &[(Flaw::Torn, "`left == right`")]);
}

#[test]
fn a_granule_is_delegated_once() {
    fn model(flaw: Flaw) {
        let entry = descriptor(flaw);
        let other = Arc::clone(&entry);
        let thread = thread::spawn(move || delegate(&*other, &Plain, FIRST));
        let first = delegate(&*entry, &Plain, FIRST);
        let second = thread.join().expect("no panic");
        assert!(first.is_ok() != second.is_ok());
        assert_eq!(first.and(second), Err(TransitionError::BadAddressSpace));
        assert_eq!(gpi(&entry, FIRST), Some(Gpi::Realm));
    }
    check(model, &[(Flaw::Torn, "first.is_ok() != second.is_ok()")]);
}

#[test]
fn a_granule_is_undelegated_once_and_not_delegated_half_way() {
    fn model(flaw: Flaw) {
        let entry = descriptor(flaw);
        delegate(&*entry, &Plain, FIRST).expect("Non-secure");
        let there = Arc::clone(&entry);
        let back = thread::spawn(move || undelegate(&*there, &Plain, FIRST).is_ok());
        let again = undelegate(&*entry, &Plain, FIRST).is_ok();
        let delegated = delegate(&*entry, &Plain, FIRST).is_ok();
        let back = back.join().expect("no panic");
        // Whoever undelegates has the granule until it is Non-secure.
        let transitions = (u8::from(back) + u8::from(again), u8::from(delegated));
        let end = match transitions {
            (1, 0) | (2, 1) => Gpi::NonSecure,
            (1, 1) => Gpi::Realm,
            other => panic!("{other:?}"),
        };
        assert_eq!(gpi(&entry, FIRST), Some(end));
    }
    check(model, &[(Flaw::Torn, "`left == right`")]);
}
