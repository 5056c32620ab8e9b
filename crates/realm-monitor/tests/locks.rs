//! The order in which granules are locked.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};

use realm_monitor::granule::{Bank, Banks, Delegated, GranuleTable, Rd, Refused, Undelegated};
use realm_monitor::platform::{AccessFault, CpuFeatures, Granule, Platform, TlbScope};

const LOW: u64 = 0x1000;
const HIGH: u64 = 0x2000;

/// A machine that only has granule states. The lower granule is locked by somebody who lets go of it as soon as we
/// wait; and whoever waits for it must not hold the higher one.
struct States {
    words: [AtomicU16; 2],
    waited: AtomicUsize,
    lock: u16,
}

impl States {
    fn new(
        low: impl FnOnce(&GranuleTable, &Self),
        high: impl FnOnce(&GranuleTable, &Self),
    ) -> (GranuleTable, Self) {
        let table = GranuleTable::new(
            Banks::new(&[Bank {
                base: LOW,
                size: 0x2000,
            }])
            .unwrap(),
        );
        let words = [const { AtomicU16::new(0) }; 2];
        let mut this = Self {
            words,
            waited: AtomicUsize::new(0),
            lock: 0,
        };
        // What the lock looks like is the table's secret: find it out.
        let before = this.words[0].load(Relaxed);
        let guard = table.lock::<Undelegated>(&this, LOW).unwrap();
        let lock = this.words[0].load(Relaxed) ^ before;
        drop(guard);
        this.lock = lock;
        low(&table, &this);
        high(&table, &this);
        this.words[0].fetch_or(lock, Relaxed);
        (table, this)
    }
}

fn delegate(address: u64) -> impl FnOnce(&GranuleTable, &States) {
    move |table, states| {
        drop(
            table
                .lock::<Undelegated>(states, address)
                .unwrap()
                .into_delegated(states),
        )
    }
}

fn make_rd(address: u64) -> impl FnOnce(&GranuleTable, &States) {
    move |table, states| {
        let granule = table.lock::<Undelegated>(states, address).unwrap();
        drop(granule.into_delegated(states).into_use::<Rd>());
    }
}

impl Platform for States {
    fn granule_states(&self) -> &[AtomicU16] {
        &self.words
    }

    fn pause(&self) {
        self.waited.fetch_add(1, Relaxed);
        assert_eq!(
            self.words[1].load(Relaxed) & self.lock,
            0,
            "waits with a higher granule locked"
        );
        self.words[0].fetch_and(!self.lock, Relaxed);
    }

    fn zero_granule(&self, _: u64) {}

    fn granule(&self, _: u64) -> &Granule {
        unreachable!()
    }

    fn read_non_secure(&self, _: u64, _: usize, _: &mut [u64]) -> Result<(), AccessFault> {
        unreachable!()
    }

    fn write_non_secure(&self, _: u64, _: usize, _: &[u64]) -> Result<(), AccessFault> {
        unreachable!()
    }

    fn copy_from_non_secure(&self, _: u64, _: u64) -> Result<(), AccessFault> {
        unreachable!()
    }

    fn gtsi_delegate(&self, _: u64) -> Result<(), i64> {
        unreachable!()
    }

    fn gtsi_undelegate(&self, _: u64) -> Result<(), i64> {
        unreachable!()
    }

    fn invalidate(&self, _: TlbScope) {
        unreachable!()
    }

    fn publish_tables(&self) {
        unreachable!()
    }

    fn cpu(&self) -> &CpuFeatures {
        unreachable!()
    }
}

#[test]
fn the_lower_address_comes_first_whatever_the_order_of_the_operands() {
    let (table, states) = States::new(delegate(LOW), make_rd(HIGH));
    let (a, b) = table.lock_pair::<Delegated, Rd>(&states, LOW, HIGH);
    assert_eq!((a.unwrap().address(), b.unwrap().address()), (LOW, HIGH));
    assert_eq!(states.waited.load(Relaxed), 1);

    let (table, states) = States::new(make_rd(LOW), delegate(HIGH));
    let (a, b) = table.lock_pair::<Delegated, Rd>(&states, HIGH, LOW);
    assert_eq!((a.unwrap().address(), b.unwrap().address()), (HIGH, LOW));
    assert_eq!(states.waited.load(Relaxed), 1);
}

#[test]
fn a_granule_in_the_wrong_state_is_not_kept() {
    let (table, states) = States::new(delegate(LOW), make_rd(HIGH));
    let (a, b) = table.lock_pair::<Rd, Delegated>(&states, LOW, HIGH);
    assert_eq!(
        (a.unwrap_err(), b.unwrap_err()),
        (Refused::WrongState, Refused::WrongState)
    );
    for word in &states.words {
        assert_eq!(word.load(Relaxed) & states.lock, 0);
    }
    // One granule cannot be both; the operand that it fits is not the one that is wrong.
    let (a, b) = table.lock_pair::<Delegated, Rd>(&states, LOW, LOW);
    assert_eq!((a.is_ok(), b.unwrap_err()), (true, Refused::WrongState));
    let (a, b) = table.lock_pair::<Delegated, Rd>(&states, HIGH, HIGH);
    assert_eq!((a.unwrap_err(), b.is_ok()), (Refused::WrongState, true));
}

#[test]
fn a_guard_unlocks_when_it_goes_out_of_scope() {
    let (table, states) = States::new(delegate(LOW), delegate(HIGH));
    for _ in 0..2 {
        let locked = table.lock::<Delegated>(&states, HIGH).unwrap();
        assert_eq!(states.words[1].load(Relaxed) & states.lock, states.lock);
        drop(locked);
        assert_eq!(states.words[1].load(Relaxed) & states.lock, 0);
    }
}
