//! Building the granule protection table, and moving granules between worlds.

mod common;

use aarch64_formats::gpt::{AddressSpace, Gpi, L1_BYTES, L1_ENTRIES};
use common::{DRAM, Event, L1_ADDRESS, RMM, ROOT, Recorder, SPACE, empty_gpt, gpt, words};
use root_monitor::gpt::{BuildError, Damaged, Gpt, TransitionError};
use root_monitor::layout;
use root_monitor::memory::{Range, Ranges};
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn everything_is_open_at_first() {
    let gpt = empty_gpt(0);
    for address in [0, 0x4000_0000, 0xFFFF_FFFF] {
        assert_eq!(gpt.lookup(address), Some(Gpi::Any));
    }
    assert_eq!(gpt.lookup(1 << 32), None, "beyond the protected space");
}

#[test]
fn descriptors_are_what_the_hardware_walks() {
    let l0: Vec<_> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let l1: Vec<_> = (0..L1_ENTRIES).map(|_| AtomicU64::new(0)).collect();
    let gpt = Gpt::new(SPACE, &l0, &l1, L1_ADDRESS).unwrap();
    gpt.protect(Range::between(0x4000_0000, 0x8000_0000), Gpi::NonSecure)
        .unwrap();
    gpt.protect(Range::between(0x4001_3000, 0x4003_1000), Gpi::Realm)
        .unwrap();
    let words: Vec<_> = l0.iter().map(|word| word.load(Ordering::Relaxed)).collect();
    assert_eq!(words, [0xF1, L1_ADDRESS | 0b11, 0xF1, 0xF1]);
    let words: Vec<_> = l1[..5]
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect();
    assert_eq!(
        words,
        [
            0x9999_9999_9999_9999,
            0xBBBB_BBBB_BBBB_B999,
            0xBBBB_BBBB_BBBB_BBBB,
            0x9999_9999_9999_999B,
            0x9999_9999_9999_9999
        ]
    );
}

#[test]
fn each_range_has_its_protection() {
    let gpt = gpt();
    for (address, gpi) in [
        (ROOT.base - 1, Gpi::Any),
        (ROOT.base, Gpi::Root),
        (ROOT.end(), Gpi::Any),
        (DRAM.base, Gpi::NonSecure),
        (RMM.base - 1, Gpi::NonSecure),
        (RMM.base, Gpi::Realm),
        (RMM.end() - 1, Gpi::Realm),
        (RMM.end(), Gpi::NonSecure),
        (DRAM.end(), Gpi::Any),
    ] {
        assert_eq!(gpt.lookup(address), Some(gpi), "{address:#x}");
    }
    assert!(gpt.permits(AddressSpace::Realm, RMM.base));
    assert!(!gpt.permits(AddressSpace::NonSecure, RMM.base));
    assert!(!gpt.permits(AddressSpace::NonSecure, 1 << 32));
}

#[test]
fn what_cannot_be_built_is_refused() {
    let l0: Vec<_> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let l1: Vec<_> = (0..L1_ENTRIES).map(|_| AtomicU64::new(0)).collect();
    assert_eq!(
        Gpt::new(SPACE, &l0[1..], &l1, L1_ADDRESS).unwrap_err(),
        BuildError::L0Length
    );
    assert_eq!(
        Gpt::new(SPACE, &l0, &l1[1..], L1_ADDRESS).unwrap_err(),
        BuildError::L1Layout
    );
    assert_eq!(
        Gpt::new(SPACE, &l0, &l1, L1_ADDRESS + L1_BYTES / 2).unwrap_err(),
        BuildError::L1Layout
    );

    let gpt = empty_gpt(1);
    assert_eq!(
        gpt.protect(Range::new(0x800, 0x1000), Gpi::Root),
        Err(BuildError::Range)
    );
    assert_eq!(
        gpt.protect(Range::new(0x1000, 0x800), Gpi::Root),
        Err(BuildError::Range)
    );
    assert_eq!(
        gpt.protect(Range::new(0xFFFF_F000, 0x2000), Gpi::Root),
        Err(BuildError::Range)
    );
    gpt.protect(Range::new(0, 0x1000), Gpi::Root).unwrap();
    assert_eq!(
        gpt.protect(Range::new(0x4000_0000, 0x1000), Gpi::Root),
        Err(BuildError::NoTable)
    );
}

#[test]
fn memory_is_covered_as_far_as_there_are_tables() {
    let gpt = empty_gpt(2);
    let whole = Range::between(0x2000_0000, 0x1_0000_0000);
    assert_eq!(
        gpt.coverable(whole),
        Range::between(0x2000_0000, 0x8000_0000)
    );
    gpt.protect(Range::new(0x1_0000, 0x1000), Gpi::Root)
        .unwrap();
    assert_eq!(
        gpt.coverable(whole),
        Range::between(0x2000_0000, 0x8000_0000),
        "the first table is shared"
    );
    assert_eq!(
        gpt.coverable(Range::new(0x4000_0000, 0x1000)),
        Range::new(0x4000_0000, 0x1000)
    );
    gpt.protect(Range::new(0x4000_0000, 0x1000), Gpi::Root)
        .unwrap();
    assert_eq!(gpt.coverable(Range::new(0x8000_0000, 0x1000)).size, 0);
}

#[test]
fn the_memory_of_a_machine_is_divided() {
    let gpt = empty_gpt(2);
    let mut memory = Ranges::default();
    memory
        .add(Range::between(0x4000_0000, 0xC000_0000))
        .unwrap();
    let kept = [
        Range::new(RMM.end(), 0x10_0000),
        Range::new(0x7000_0000, 0x1000),
    ];
    let delegable = layout::protect(&gpt, &memory, RMM, &[ROOT], &kept).unwrap();
    assert_eq!(
        delegable.banks.as_slice(),
        [
            Range::between(0x4000_0000, RMM.base),
            Range::between(RMM.end() + 0x10_0000, 0x7000_0000),
            Range::between(0x7000_1000, 0x8000_0000)
        ]
    );
    for range in kept {
        assert_eq!(gpt.lookup(range.base), Some(Gpi::NonSecure));
    }
    assert_eq!(
        delegable.uncovered, 0x4000_0000,
        "one table is the first GiB's"
    );
    assert_eq!(gpt.lookup(ROOT.base), Some(Gpi::Root));
    assert_eq!(gpt.lookup(RMM.base), Some(Gpi::Realm));
    assert_eq!(gpt.lookup(0x7FFF_FFFF), Some(Gpi::NonSecure));
    assert_eq!(gpt.lookup(0x8000_0000), Some(Gpi::Any));
}

#[test]
fn transitions_keep_the_order_of_the_architecture() {
    let (gpt, platform) = (gpt(), Recorder::default());
    let granule = 0x5000_3000;
    gpt.delegate(&platform, granule).unwrap();
    assert_eq!(gpt.lookup(granule), Some(Gpi::Realm));
    assert_eq!(
        platform.take(),
        [
            Event::Note,
            Event::Clean(AddressSpace::Realm, granule),
            Event::Invalidate(granule),
            Event::Clean(AddressSpace::NonSecure, granule)
        ]
    );
    gpt.undelegate(&platform, granule).unwrap();
    assert_eq!(gpt.lookup(granule), Some(Gpi::NonSecure));
    assert_eq!(
        platform.take(),
        [
            Event::Invalidate(granule),
            Event::Clean(AddressSpace::Realm, granule),
            Event::Clean(AddressSpace::NonSecure, granule),
            Event::Invalidate(granule)
        ]
    );
    for neighbour in [granule - 0x1000, granule + 0x1000] {
        assert_eq!(gpt.lookup(neighbour), Some(Gpi::NonSecure));
    }
}

/// A platform that looks at the table whenever it is asked for maintenance.
struct Observer<'a>(&'a Gpt<'a>, std::sync::Mutex<Vec<Gpi>>);

impl root_monitor::Platform for Observer<'_> {
    fn clean_to_aliasing_point(&self, _: AddressSpace, address: u64) {
        self.1.lock().unwrap().push(self.0.lookup(address).unwrap());
    }
    fn invalidate_protection(&self, address: u64) {
        self.1.lock().unwrap().push(self.0.lookup(address).unwrap());
    }
    fn note_delegation(&self) {}
    fn wake(&self, _: usize) {}
    fn ring(&self) {}

    fn shared_buffer(&self) -> &[AtomicU64; 512] {
        panic!("a transition has no arguments in memory")
    }
}

#[test]
fn nobody_reaches_a_granule_while_its_caches_are_emptied() {
    let gpt = gpt();
    let observer = Observer(&gpt, std::sync::Mutex::default());
    gpt.delegate(&observer, 0x5000_0000).unwrap();
    assert_eq!(
        *observer.1.lock().unwrap(),
        [Gpi::NonSecure, Gpi::Realm, Gpi::Realm]
    );
    observer.1.lock().unwrap().clear();
    gpt.undelegate(&observer, 0x5000_0000).unwrap();
    assert_eq!(
        *observer.1.lock().unwrap(),
        [Gpi::None, Gpi::None, Gpi::None, Gpi::NonSecure]
    );
}

#[test]
fn transitions_from_elsewhere_change_nothing() {
    let (gpt, platform) = (gpt(), Recorder::default());
    let free = 0x5000_0000;
    for (address, error) in [
        (free + 8, TransitionError::BadAddress),
        (1 << 32, TransitionError::BadAddress),
        (!0xFFF, TransitionError::BadAddress),
        (0x8000_0000, TransitionError::BadAddress),
        (ROOT.base, TransitionError::BadAddressSpace),
        (0x0900_0000, TransitionError::BadAddressSpace),
    ] {
        let before = gpt.lookup(address);
        assert_eq!(gpt.delegate(&platform, address), Err(error), "{address:#x}");
        assert_eq!(
            gpt.undelegate(&platform, address),
            Err(error),
            "{address:#x}"
        );
        assert_eq!(gpt.lookup(address), before);
    }
    assert_eq!(
        gpt.delegate(&platform, RMM.base),
        Err(TransitionError::BadAddressSpace)
    );
    assert_eq!(
        gpt.undelegate(&platform, free),
        Err(TransitionError::BadAddressSpace)
    );
    assert_eq!(platform.take(), [], "no maintenance without a change");
}

#[test]
fn neighbours_change_at_the_same_time() {
    let gpt = gpt();
    let base = 0x5000_0000;
    std::thread::scope(|scope| {
        for n in 0..8u64 {
            let gpt = &gpt;
            scope.spawn(move || {
                let platform = Recorder::default();
                let granule = base + n * 0x1000;
                for _ in 0..2000 {
                    gpt.delegate(&platform, granule).unwrap();
                    assert_eq!(gpt.lookup(granule), Some(Gpi::Realm));
                    gpt.undelegate(&platform, granule).unwrap();
                    assert_eq!(gpt.lookup(granule), Some(Gpi::NonSecure));
                }
                gpt.delegate(&platform, granule).unwrap();
            });
        }
    });
    for n in 0..16 {
        let expected = if n < 8 { Gpi::Realm } else { Gpi::NonSecure };
        assert_eq!(gpt.lookup(base + n * 0x1000), Some(expected));
    }
}

#[test]
fn one_of_many_gets_a_granule() {
    let gpt = gpt();
    for round in 0..200u64 {
        let granule = 0x5100_0000 + round * 0x1000;
        let winners: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| usize::from(gpt.delegate(&Recorder::default(), granule).is_ok()))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(winners, 1);
    }
}

/// The granules that a later life finds in this storage.
fn found(l0: &[AtomicU64], l1: &[AtomicU64]) -> Result<Vec<u64>, Damaged> {
    let left = Gpt::left_behind(SPACE, l0, l1, L1_ADDRESS).unwrap();
    let mut found = Vec::new();
    left.for_each_realm_granule(|granule| found.push(granule))?;
    Ok(found)
}

#[test]
fn a_later_life_finds_every_granule_of_the_realm_world() {
    let (l0, l1) = (words(SPACE.l0_entries()), words(4 * L1_ENTRIES));
    let gpt = Gpt::new(SPACE, l0, l1, L1_ADDRESS).unwrap();
    assert_eq!(found(l0, l1), Ok(vec![]));
    gpt.protect(DRAM, Gpi::NonSecure).unwrap();
    gpt.protect(ROOT, Gpi::Root).unwrap();
    let rmm = Range::new(RMM.base, 3 * 4096);
    gpt.protect(rmm, Gpi::Realm).unwrap();
    let last = DRAM.end() - 4096;
    for granule in [last, 0x5000_F000, 0x5001_0000] {
        gpt.delegate(&Recorder::default(), granule).unwrap();
    }
    gpt.undelegate(&Recorder::default(), 0x5001_0000).unwrap();
    // One that was on its way.
    gpt.protect(Range::new(0x5002_0000, 4096), Gpi::None)
        .unwrap();
    let own = [RMM.base, RMM.base + 0x1000, RMM.base + 0x2000];
    let theirs = [0x5000_F000, 0x5002_0000, last];
    assert_eq!(found(l0, l1), Ok([own, theirs].concat()));
}

#[test]
fn a_table_that_this_monitor_never_made_is_no_answer() {
    let (l0, l1) = (words(SPACE.l0_entries()), words(4 * L1_ENTRIES));
    let gpt = Gpt::new(SPACE, l0, l1, L1_ADDRESS).unwrap();
    gpt.protect(DRAM, Gpi::NonSecure).unwrap();
    let table = (DRAM.base >> 30) as usize;
    let good = l0[table].load(Ordering::Relaxed);
    // Nothing, a block, a table elsewhere.
    for bad in [0, 0x91, (L1_ADDRESS + 64 * L1_BYTES) | 3, good | 1 << 60] {
        l0[table].store(bad, Ordering::Relaxed);
        assert_eq!(found(l0, l1), Err(Damaged), "{bad:#x}");
    }
    l0[table].store(good, Ordering::Relaxed);
    assert_eq!(found(l0, l1), Ok(vec![]));
    l1[5].store(7, Ordering::Relaxed);
    assert_eq!(found(l0, l1), Err(Damaged));
}
