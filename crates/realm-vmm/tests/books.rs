//! What a realm can make its host write down about granules: whose each page is, what is shared, what is free.
//!
//! A program of its own: what it allocates is counted, and nothing else runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, RunOptions, Time};
use peak_alloc::PeakAlloc;
use realm_guest::{Ripas, Rsi};
use realm_vmm::{Console, Event, Outcome};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const RAM: u64 = 0x4000_0000;
const ALIAS: u64 = 1 << 39;
const PAGE: u64 = 0x1000;
/// What the realm shares, and what it has besides.
const SHARED: u64 = 16 << 20;
const PAGES: usize = (SHARED / PAGE) as usize;
const BASE: u64 = RAM + (4 << 20);
const SYSTEM_OFF: u64 = 0x8400_0008;
/// Bytes that are promised for each page of 4 KiB that realms can have.
const PROMISED: usize = 128;

/// The most that was kept for the books, in bytes.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Keeps nothing of it.
struct Silent;

impl Console for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// Shares the pages from `first` on, every `step`-th of them.
fn share(guest: &GuestCpu, first: u64, step: u64) {
    for page in (BASE + first * PAGE..BASE + SHARED).step_by((step * PAGE) as usize) {
        guest.store(ALIAS | page, 8, page).expect("shared memory");
    }
}

/// Shares all pages one by one, in an order that leaves every list with gaps, and takes some of them back.
fn flood(guest: &GuestCpu) {
    let rsi = Rsi::new(guest);
    let set = |base, top, ripas| {
        rsi.set_ipa_state(base, top, ripas, true)
            .expect("the range is the realm's");
    };
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    set(BASE, BASE + SHARED, Ripas::Empty);
    share(guest, 1, 2);
    share(guest, 0, 2);
    // Every other one is given back, so that what is free is as chequered as what is shared.
    for page in (BASE..BASE + SHARED).step_by(2 * PAGE as usize) {
        set(page, page + PAGE, Ripas::Ram);
        set(page, page + PAGE, Ripas::Empty);
    }
    // And once more, in the gaps.
    share(guest, 0, 2);
    MOST.store(HEAP.peak_usage().saturating_sub(before), Ordering::SeqCst);
    let mut call = Registers::default();
    call.0[0] = SYSTEM_OFF;
    guest.call(&mut call);
}

#[test]
fn no_realm_makes_the_books_larger_than_was_promised() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        time: Time::Counted { ticks: 10 },
        ..Config::default()
    });
    machine.install(RAM, Arc::new(flood));
    let options = RunOptions {
        memory: (4 << 20) + SHARED,
        time_limit_ms: 0,
        ..RunOptions::new(b"an image")
    };
    // The second time, the machine has all that it keeps for itself.
    for _ in 0..2 {
        let report = machine.run(&options, &Silent);
        assert_eq!(machine.guest_failures(), [""; 0]);
        assert_eq!((report.outcome, report.error), (Outcome::Ok, None));
    }
    let most = MOST.load(Ordering::SeqCst);
    println!("{most} bytes for {PAGES} pages of {PROMISED} bytes each");
    assert!(most <= PROMISED * PAGES, "{most} bytes for {PAGES} pages");
    assert!(most >= PROMISED / 3 * PAGES, "it was flooded: {most}");
}
