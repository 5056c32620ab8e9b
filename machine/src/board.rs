//! Everything that the processing elements of a machine share: memory, the protection table, time, interrupts.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, OnceLock};

use realm_monitor::attestation::{PLACES, Signing};

use crate::clock::Clock;
use crate::guests::Guests;
use crate::interrupts::Lines;
use crate::meddler::Meddler;
use crate::memory::{GRANULE_SIZE, Memory, Page};
use crate::protection::{Geometry, Gpi, PhysicalAddressSpace, ProtectionFault, ProtectionTable};
use crate::storage::Storage;

/// What one processing element is to the others. On cache lines of its own: the others look only when they have to.
#[repr(align(128))]
pub(crate) struct Pe {
    /// Its interrupts.
    pub(crate) lines: Lines,
    /// Odd during a memory access, and different for the next one: an invalidation waits for an access that is under
    /// way, as on hardware. A processing element makes one access at a time.
    accesses: AtomicU64,
}

impl Pe {
    fn new() -> Self {
        Self {
            lines: Lines::new(),
            accesses: AtomicU64::new(0),
        }
    }

    /// An access begins. It ends when the guard is dropped.
    pub(crate) fn access(&self) -> UnderWay<'_> {
        let before = self.accesses.load(Ordering::Relaxed);
        debug_assert!(before.is_multiple_of(2), "two accesses at a time");
        // In the order of all such operations: whoever settles later sees it, or this access sees what was changed
        // before.
        self.accesses.swap(before + 1, Ordering::SeqCst);
        UnderWay {
            accesses: &self.accesses,
            after: before + 2,
        }
    }

    /// Returns when the access that was under way, if one was, has ended.
    fn settle(&self) {
        let seen = self.accesses.load(Ordering::SeqCst);
        if seen.is_multiple_of(2) {
            return;
        }
        while self.accesses.load(Ordering::Acquire) == seen {
            std::thread::yield_now();
        }
    }
}

/// An access that is under way.
pub(crate) struct UnderWay<'p> {
    accesses: &'p AtomicU64,
    after: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.accesses.store(self.after, Ordering::Release);
    }
}

/// Why there is no access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAccess {
    /// A granule protection fault.
    Protected(Gpi),
    /// Nothing answers at this address.
    NoMemory,
}

/// The shared parts of a machine.
pub(crate) struct Board {
    /// Memory. Go through [`Board::page`] unless you are hardware yourself.
    pub(crate) memory: Memory,
    /// The counter.
    pub(crate) clock: Clock,
    /// The processing elements.
    pub(crate) pes: Vec<Pe>,
    /// Signatures that an interrupt has suspended, by the place that the realm monitor gave them.
    pub(crate) suspended: [Mutex<Option<Signing>>; PLACES],
    /// Who changes the host's memory while the realm monitor reads it.
    pub(crate) meddler: Meddler,
    /// The programs in realms.
    pub(crate) guests: Guests,
    /// What has panicked first.
    pub(crate) failure: OnceLock<String>,
    /// Level 0 and level 1 of the protection table.
    pub(crate) protection: (Storage<AtomicU64>, Storage<AtomicU64>),
}

/// How the protection table is cut: 40 bits of protected addresses, 1 GiB for each entry of level 0.
pub(crate) const GEOMETRY: Geometry = Geometry {
    protected_bits: 40,
    level0_bits: 30,
};
/// Where the level 1 tables are: in the secure RAM of QEMU's `virt`.
pub(crate) const LEVEL1_BASE: u64 = 0x0E10_0000;

impl Board {
    /// A board with that memory and so many processing elements.
    pub(crate) fn new(banks: &[(u64, u64)], pes: usize, clock: Clock) -> Self {
        let spans: u64 = banks
            .iter()
            .map(|&(base, bytes)| {
                ((base + bytes - 1) >> GEOMETRY.level0_bits) - (base >> GEOMETRY.level0_bits) + 1
            })
            .sum();
        // One more for the gigabyte that devices and EL3's own memory are in.
        let spans = spans + 1;
        let level1_words = 1usize << (GEOMETRY.level0_bits - 16);
        let level0 = Storage::take(1 << (GEOMETRY.protected_bits - GEOMETRY.level0_bits));
        let level1 = Storage::take(spans as usize * level1_words);
        Self {
            memory: Memory::new(banks),
            clock,
            pes: (0..pes).map(|_| Pe::new()).collect(),
            suspended: [const { Mutex::new(None) }; PLACES],
            meddler: Meddler::default(),
            guests: Guests::default(),
            failure: OnceLock::new(),
            protection: (level0, level1),
        }
    }

    fn table(&self) -> ProtectionTable<'_> {
        ProtectionTable {
            geometry: GEOMETRY,
            level0: self.protection.0.words(),
            level1: self.protection.1.words(),
            level1_base: LEVEL1_BASE,
        }
    }

    /// What the protection table says about a granule.
    ///
    /// # Panics
    ///
    /// If the walk of the table fails, which stops a machine.
    pub(crate) fn gpi(&self, pa: u64) -> Gpi {
        self.table()
            .lookup(pa)
            .unwrap_or_else(|fault| panic!("the protection table is wrong at {pa:#x}: {fault:?}"))
    }

    /// Whether one descriptor says that all granules from `first` to `top` are Non-secure. `false` decides nothing.
    pub(crate) fn is_all_non_secure(&self, first: u64, top: u64) -> bool {
        self.table().is_all_non_secure(first, top)
    }

    /// The page at `pa` for an access in `space`.
    ///
    /// # Errors
    ///
    /// [`NoAccess`], what hardware would answer with an abort.
    ///
    /// # Panics
    ///
    /// If the walk of the protection table fails, which stops a machine.
    pub(crate) fn page(&self, pa: u64, space: PhysicalAddressSpace) -> Result<&Page, NoAccess> {
        self.check(pa, space)?;
        self.memory.page(pa).ok_or(NoAccess::NoMemory)
    }

    /// The page at `pa` for an access in `space`, if anybody has touched it: otherwise it reads as zero.
    ///
    /// # Errors
    ///
    /// As [`Board::page`].
    ///
    /// # Panics
    ///
    /// As [`Board::page`].
    pub(crate) fn touched(
        &self,
        pa: u64,
        space: PhysicalAddressSpace,
    ) -> Result<Option<&Page>, NoAccess> {
        self.check(pa, space)?;
        Ok(self.memory.touched(pa))
    }

    fn check(&self, pa: u64, space: PhysicalAddressSpace) -> Result<(), NoAccess> {
        match self.table().check(pa, space) {
            Ok(()) => Ok(()),
            Err(ProtectionFault::Denied { gpi }) => Err(NoAccess::Protected(gpi)),
            Err(fault) => panic!("the protection table is wrong at {pa:#x}: {fault:?}"),
        }
    }

    /// Reads a translation table descriptor of a realm; `None` if granule protection forbids it.
    ///
    /// # Panics
    ///
    /// If there is no memory: the monitor built a table that points nowhere.
    pub(crate) fn read_table(&self, pa: u64) -> Option<u64> {
        match self.page(pa, PhysicalAddressSpace::Realm) {
            Ok(page) => Some(page[(pa % GRANULE_SIZE) as usize / 8].load(Ordering::Acquire)),
            Err(NoAccess::Protected(_)) => None,
            Err(NoAccess::NoMemory) => {
                panic!("a translation table is at {pa:#x}, where there is no memory")
            }
        }
    }

    /// Returns when every access that was under way has ended.
    pub(crate) fn settle(&self) {
        fence(Ordering::SeqCst);
        self.pes.iter().for_each(Pe::settle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn settling_waits_for_an_access_that_is_under_way() {
        let board = Board::new(&[(0x4000_0000, 0x1000)], 3, Clock::new(Time::Real));
        let (settling, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let access = board.pes[2].access();
            scope.spawn(|| {
                settling.store(true, Ordering::SeqCst);
                board.settle();
                assert!(ended.load(Ordering::SeqCst), "the access had not ended yet");
            });
            while !settling.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // Time enough for a settling that does not wait.
            for _ in 0..1000 {
                std::thread::yield_now();
            }
            ended.store(true, Ordering::SeqCst);
            drop(access);
        });
    }
}
