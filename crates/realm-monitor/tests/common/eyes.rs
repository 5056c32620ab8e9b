//! What a machine would notice of a monitor that does things in the wrong order.
//!
//! A PE may have cached any valid descriptor that it could have seen, until an invalidation that follows the descriptor's end.
//! So a valid descriptor may not become another valid one without a break (Arm ARM DDI 0487, D8.16.1 "Using break-before-make"),
//! and a granule may not be wiped for other use while somebody may still reach it. The host may change its memory at any
//! time, so nothing of it is read twice. And whatever happens to a granule happens under its lock, in the state that it leaves.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize};

use realm_monitor::granule::GranuleState;
use realm_monitor::platform::Granule;

const VALID: u64 = 1;
/// The mark of the monitor, which the hardware ignores.
const SOFTWARE: u64 = 1 << 56;
/// A mapping of the host's memory.
const NS: u64 = 1 << 55;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;
const LOCK: u16 = 1 << 15;
const STATE_SHIFT: u32 = 11;

thread_local! {
    /// What the command of this PE has read of the host's memory: granule, first byte, number of bytes.
    static READS: RefCell<Vec<(u64, usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// The host's memory is read.
#[track_caller]
pub fn read(pa: u64, offset: usize, bytes: usize) {
    READS.with_borrow_mut(|reads| {
        for &(other, first, count) in reads.iter() {
            let again = other == pa && first < offset + bytes && offset < first + count;
            assert!(
                !again,
                "the host's memory at {pa:#x}+{offset:#x} is read twice: it may have changed"
            );
        }
        reads.push((pa, offset, bytes));
    });
}

/// A look that only finds out whether an access faults: what it saw is not used.
pub fn probe(pa: u64) {
    READS.with_borrow_mut(|reads| reads.retain(|&(other, ..)| other != pa));
}

/// Translations that a PE may have cached: by table and index.
#[derive(Default)]
pub struct Eyes {
    cached: Mutex<HashMap<(u64, usize), u64>>,
    /// Those that no walker has been told of yet.
    unpublished: Mutex<HashSet<(u64, usize)>>,
    /// Commands under way, and whether there have ever been two.
    running: AtomicUsize,
    crowded: AtomicBool,
}

impl Eyes {
    /// Looks at all tables: `granules` are those in use, with their addresses.
    #[track_caller]
    pub fn look<'g>(&self, granules: impl Iterator<Item = (u64, &'g AtomicU16, &'g Granule)>) {
        let mut cached = self.cached.lock().unwrap();
        let tables = granules.filter(|(_, state, _)| is_in(state, GranuleState::Rtt));
        let tables: HashMap<_, _> = tables.map(|(table, _, words)| (table, words)).collect();
        cached.retain(|(table, _), _| tables.contains_key(table));
        for (table, words) in tables {
            for (index, word) in words.iter().enumerate() {
                let now = word.load(Relaxed) & !SOFTWARE;
                if now & VALID == 0 {
                    continue;
                }
                let before = cached.insert((table, index), now);
                if before.is_none() {
                    self.unpublished.lock().unwrap().insert((table, index));
                }
                assert!(
                    before.is_none_or(|before| before == now),
                    "the valid descriptor {before:x?} at {table:#x}[{index}] becomes {now:#x} without a break"
                );
            }
        }
    }

    /// A command begins.
    pub fn begin(&self) {
        if self.running.fetch_add(1, SeqCst) != 0 {
            self.crowded.store(true, SeqCst);
        }
        READS.with_borrow_mut(Vec::clear);
    }

    /// Stores to tables are made visible to the walkers.
    pub fn publish(&self) {
        self.unpublished.lock().unwrap().clear();
    }

    /// A command ends. What other PEs are about to publish is not looked at.
    #[track_caller]
    pub fn end(&self) {
        let unpublished = self.unpublished.lock().unwrap().clone();
        let others = self.crowded.load(SeqCst);
        self.running.fetch_sub(1, SeqCst);
        assert!(
            others || unpublished.is_empty(),
            "valid descriptors are never published: {unpublished:x?}"
        );
    }

    /// An invalidation: what is not valid any more is forgotten. Tests compare what is invalidated with what must be.
    pub fn forget<'g>(&self, words: impl Fn(u64) -> &'g Granule) {
        self.publish();
        let mut cached = self.cached.lock().unwrap();
        cached.retain(|&(table, index), _| words(table)[index].load(Relaxed) & VALID != 0);
    }

    /// A granule is wiped for another use.
    #[track_caller]
    pub fn wipe(&self, pa: u64, state: &AtomicU16) {
        assert!(is_locked(state), "{pa:#x} is wiped without its lock");
        let cached = self.cached.lock().unwrap();
        let reached = cached.iter().find(|(at, descriptor)| {
            at.0 != pa && *descriptor & NS == 0 && *descriptor & ADDRESS == pa
        });
        assert!(
            reached.is_none(),
            "{pa:#x} is wiped while a PE may still reach it: {reached:x?}"
        );
    }
}

fn is_locked(state: &AtomicU16) -> bool {
    state.load(Relaxed) & LOCK != 0
}

fn is_in(state: &AtomicU16, expected: GranuleState) -> bool {
    (state.load(Relaxed) & !LOCK) >> STATE_SHIFT == expected as u16
}

/// EL3 is asked to move a granule.
#[track_caller]
pub fn moves(pa: u64, state: &AtomicU16, from: GranuleState) {
    assert!(
        is_locked(state) && is_in(state, from),
        "{pa:#x} is moved without its lock, or after its state changed"
    );
}
