//! What a machine would notice of a realm monitor that does things in the wrong order.
//!
//! A PE may have cached any valid descriptor that it could have seen, until an invalidation that reaches it follows the
//! descriptor's end. So a valid descriptor may not become another valid one without a break (Arm ARM DDI 0487, D8.16.1 "Using
//! break-before-make"), a granule may not be wiped for other use while somebody may still reach it, and a VMID may not belong to
//! another realm while translations of the last one may be cached. The host may change its memory at any time, so nothing of it is
//! read twice. And whatever happens to a granule happens under its lock, in the state that it leaves.
//!
//! A machine for tests has [`Eyes`] and tells them what the monitor does; what is wrong is a panic that says it. What one PE alone
//! can show is looked at when several are in the monitor, too; what another one could have done is left out then.
#![forbid(unsafe_code)]

mod host;
mod pe;
mod tables;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use realm_monitor::granule::{GranuleState, word};
use realm_monitor::platform::{Granule, TlbScope};
use realm_monitor::realm::layout as realm_layout;
use realm_monitor::rec::layout as rec_layout;

pub use host::{probe, read};
pub use pe::away;

use tables::{Tables, mapped_by};

/// The memory of a machine, as it is and not as anybody may access it.
pub trait Memory {
    /// The word of the granule table for a granule; `None` where there is none.
    fn state(&self, pa: u64) -> Option<&AtomicU16>;

    /// What is in a granule; `None` if it is all zero because nobody has touched it yet.
    fn words(&self, pa: u64) -> Option<&Granule>;
}

/// The eyes of a machine.
#[derive(Debug, Default)]
pub struct Eyes {
    tables: Mutex<Tables>,
    /// PEs that are in the monitor now, and how often one has come in.
    inside: AtomicUsize,
    entries: AtomicU64,
}

impl Eyes {
    /// A command of the host begins on the calling thread, which is a PE.
    pub fn begin(&self) {
        pe::with(|pe| pe.begin());
        self.come_in();
    }

    /// The command has ended.
    ///
    /// # Panics
    ///
    /// If it has left something undone: a descriptor that no walker has been told of, content in a granule that nobody uses, a lock.
    #[track_caller]
    pub fn end(&self, memory: &dyn Memory) {
        let touched = pe::with(|pe| pe.touched.clone());
        for &pa in touched.iter().rev().take(2) {
            self.tables().look(memory, pa);
        }
        self.nothing_is_unpublished();
        for &pa in &touched {
            let why = unrest(memory, pa);
            assert!(!self.is_alone() || why.is_none(), "{pa:#x} {why:?}");
            self.meet(memory, pa, || self.is_alone());
        }
        self.go_out();
        pe::with(|pe| pe.inside = false);
    }

    /// The monitor asks for the words of a granule.
    ///
    /// # Panics
    ///
    /// If nobody who could have asked holds a lock on it, or on what protects it.
    #[track_caller]
    pub fn granule(&self, memory: &dyn Memory, pa: u64) {
        if !pe::with(|pe| pe.inside) {
            return;
        }
        let Some(state) = memory.state(pa) else {
            panic!("{pa:#x} is no granule");
        };
        if is_locked(state) {
            self.meet(memory, pa, || true);
        } else {
            let counts = matches!(
                word::state(state),
                Some(GranuleState::Rd | GranuleState::Rec)
            ) && word::count(state) != 0;
            assert!(
                counts || self.is_protected(memory, pa),
                "{pa:#x} is accessed without a lock: {:?}",
                word::state(state)
            );
        }
        pe::with(|pe| pe.touch(pa));
    }

    /// A granule gets content that may be wiped again before it is used.
    pub fn fill(&self, pa: u64) {
        pe::with(|pe| pe.filled = Some(pa));
    }

    /// A granule is wiped.
    ///
    /// # Panics
    ///
    /// If somebody may still reach it, or if its state says that it is wiped already.
    #[track_caller]
    pub fn wipe(&self, memory: &dyn Memory, pa: u64) {
        let (inside, filled) = pe::with(|pe| (pe.inside, pe.filled.take() == Some(pa)));
        let Some(state) = memory.state(pa).filter(|_| inside) else {
            return;
        };
        assert!(is_locked(state), "{pa:#x} is wiped without its lock");
        self.look(memory);
        let now = word::state(state);
        assert!(
            now != Some(GranuleState::Delegated) || filled,
            "{pa:#x} is wiped after it was given away"
        );
        self.tables().wipe(pa);
        let Some(words) = memory.words(pa) else {
            return;
        };
        match now {
            Some(GranuleState::Rd) => self.tables().end(pa),
            Some(GranuleState::Rec) => {
                let owner = words[rec_layout::OWNER].load(Relaxed);
                let owned = memory.state(owner).is_some_and(|rd| {
                    word::state(rd) == Some(GranuleState::Rd) && word::count(rd) != 0
                });
                assert!(
                    owned,
                    "the REC {pa:#x} is wiped after its realm was released"
                );
            }
            _ => {}
        }
    }

    /// EL3 is asked to take a granule back.
    ///
    /// # Panics
    ///
    /// As [`Eyes::delegate`], or if it is not all zero.
    #[track_caller]
    pub fn undelegate(&self, memory: &dyn Memory, pa: u64) {
        moves(memory, pa, GranuleState::Delegated);
        assert!(is_zero(memory, pa), "{pa:#x} goes back with content");
    }

    /// EL3 is asked to move a granule to the Realm world.
    ///
    /// # Panics
    ///
    /// If its lock is not held, or its state says that it has been moved.
    #[track_caller]
    pub fn delegate(&self, memory: &dyn Memory, pa: u64) {
        moves(memory, pa, GranuleState::Undelegated);
    }

    /// Stores to tables are made visible to the walkers.
    ///
    /// # Panics
    ///
    /// If a valid descriptor has become another one.
    #[track_caller]
    pub fn publish(&self, memory: &dyn Memory) {
        self.look(memory);
        pe::with(|pe| pe.unpublished.clear());
    }

    /// Cached translations are dropped.
    ///
    /// # Panics
    ///
    /// If a valid descriptor has become another one.
    #[track_caller]
    pub fn invalidate(&self, memory: &dyn Memory, scope: &TlbScope) {
        self.look(memory);
        self.tables().forget(memory, scope);
        // An invalidation begins with the barrier that a publication is.
        pe::with(|pe| pe.unpublished.clear());
    }

    /// A realm begins to run: the PE leaves the monitor.
    ///
    /// # Panics
    ///
    /// If the REC does not count as running, or a walker has not been told of a descriptor.
    #[track_caller]
    pub fn leave(&self, memory: &dyn Memory, rec: &Granule) {
        let touched = pe::with(|pe| pe.touched.clone());
        let is_it = |&pa: &u64| {
            memory
                .words(pa)
                .is_some_and(|words| std::ptr::eq(words, rec))
        };
        if let Some(pa) = touched.into_iter().find(is_it) {
            let count = memory.state(pa).map(word::count);
            assert_eq!(count, Some(1), "the REC {pa:#x} runs and does not count");
        }
        self.look(memory);
        self.nothing_is_unpublished();
        self.go_out();
    }

    /// The realm has stopped.
    pub fn come_back(&self) {
        self.come_in();
    }

    fn come_in(&self) {
        self.inside.fetch_add(1, SeqCst);
        let entry = self.entries.fetch_add(1, SeqCst) + 1;
        pe::with(|pe| pe.entry = entry);
    }

    fn go_out(&self) {
        self.inside.fetch_sub(1, SeqCst);
    }

    /// Whether nobody else has been in the monitor since this PE has come in: what it sees is its own work then. Asked after a
    /// look, since somebody may come in during one.
    fn is_alone(&self) -> bool {
        let entry = pe::with(|pe| pe.entry);
        self.entries.load(SeqCst) == entry && self.inside.load(SeqCst) == 1
    }

    #[track_caller]
    fn nothing_is_unpublished(&self) {
        let unpublished = pe::with(|pe| pe.unpublished.clone());
        assert!(
            !self.is_alone() || unpublished.is_empty(),
            "valid descriptors are never published: {unpublished:x?}"
        );
    }

    /// Looks at the tables that this PE may have changed.
    #[track_caller]
    fn look(&self, memory: &dyn Memory) {
        let touched = pe::with(|pe| pe.touched.clone());
        for pa in touched {
            let root = self.tables().lock_of(pa);
            if memory.state(root).is_some_and(is_locked) {
                self.tables().look(memory, pa);
            }
        }
    }

    /// Notes a realm when its descriptor is complete, if nobody `may` have changed it meanwhile.
    #[track_caller]
    fn meet(&self, memory: &dyn Memory, pa: u64, may: impl Fn() -> bool) {
        let is_rd = memory
            .state(pa)
            .is_some_and(|state| word::state(state) == Some(GranuleState::Rd));
        let Some(words) = memory.words(pa).filter(|_| is_rd) else {
            return;
        };
        let words: [u64; realm_layout::AUX_COUNT] =
            std::array::from_fn(|word| words[word].load(Relaxed));
        if words[realm_layout::VTTBR] != 0 && may() {
            self.tables().meet(pa, &words);
        }
    }

    /// Whether a granule that is not locked belongs to something that this PE has locked.
    fn is_protected(&self, memory: &dyn Memory, pa: u64) -> bool {
        let locked = |pa| memory.state(pa).is_some_and(is_locked);
        let tables = self.tables();
        let root = tables.lock_of(pa);
        if root != pa {
            return locked(root);
        }
        let touched = pe::with(|pe| pe.touched.clone());
        let mut held = touched
            .into_iter()
            .filter(|&table| locked(tables.lock_of(table)));
        held.any(|table| {
            let level = tables.level(table);
            let words = memory.words(table);
            level
                .zip(words)
                .is_some_and(|(level, words)| mapped_by(words, level, pa))
        })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bit of [`word`] that says that somebody has the lock.
const LOCK: u16 = 1 << 15;

fn is_locked(state: &AtomicU16) -> bool {
    state.load(Relaxed) & LOCK != 0
}

fn is_zero(memory: &dyn Memory, pa: u64) -> bool {
    let words = memory.words(pa);
    words.is_none_or(|words| words.iter().all(|word| word.load(Relaxed) == 0))
}

/// What is wrong with a granule, if nobody works on it.
fn unrest(memory: &dyn Memory, pa: u64) -> Option<&'static str> {
    let state = memory.state(pa)?;
    let free = word::state(state) == Some(GranuleState::Delegated);
    if is_locked(state) {
        Some("is locked, and the lock is never given back")
    } else if free && !is_zero(memory, pa) {
        Some("is nobody's and has content")
    } else {
        None
    }
}

#[track_caller]
fn moves(memory: &dyn Memory, pa: u64, from: GranuleState) {
    let right = memory
        .state(pa)
        .is_some_and(|state| is_locked(state) && word::state(state) == Some(from));
    assert!(
        right,
        "{pa:#x} is moved without its lock, or after its state changed"
    );
}

impl Drop for Eyes {
    fn drop(&mut self) {
        // The next machine of this thread begins with nothing.
        pe::forget();
    }
}
