//! The host's page allocator over the machine's DRAM.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use realm_host::{GranuleAddress, GranuleWords, PageAddress, PageCount, PageSize, PageSupply};

use crate::board::Board;
use crate::memory::GRANULE_SIZE;
use crate::protection::{Gpi, PhysicalAddressSpace};

/// First-fit over ranges of free addresses.
struct Free {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
    free: u64,
}

/// Pages of the machine's Non-secure memory.
pub struct Supply {
    board: Arc<Board>,
    page_size: PageSize,
    free: Mutex<Free>,
    total: u64,
}

impl Supply {
    /// Deals out the addresses from `base` to `end`.
    pub(crate) fn new(board: Arc<Board>, page_size: PageSize, base: u64, end: u64) -> Self {
        let base = base.next_multiple_of(page_size.bytes());
        let end = end & !(page_size.bytes() - 1);
        let ranges = BTreeMap::from([(base, end)]);
        Self {
            board,
            page_size,
            free: Mutex::new(Free {
                ranges,
                free: end - base,
            }),
            total: end - base,
        }
    }

    /// Bytes that are allocated now.
    pub fn in_use(&self) -> u64 {
        self.total - self.lock().free
    }

    /// Bytes that are free now.
    pub fn free_bytes(&self) -> u64 {
        self.lock().free
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        // Panics in here happen before the list is changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageSupply for Supply {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress> {
        let bytes = pages.bytes(self.page_size);
        let mut free = self.lock();
        let (start, end, base) = free.ranges.iter().find_map(|(&start, &end)| {
            let base = start.next_multiple_of(align);
            (base + bytes <= end).then_some((start, end, base))
        })?;
        free.ranges.remove(&start);
        if start < base {
            free.ranges.insert(start, base);
        }
        if base + bytes < end {
            free.ranges.insert(base + bytes, end);
        }
        free.free -= bytes;
        PageAddress::new(base, self.page_size)
    }

    fn free(&self, first: PageAddress, pages: PageCount) {
        let (base, end) = (first.get(), first.get() + pages.bytes(self.page_size));
        for granule in (base..end).step_by(GRANULE_SIZE as usize) {
            let gpi = self.board.gpi(granule);
            assert_eq!(
                gpi,
                Gpi::NON_SECURE,
                "the host frees {granule:#x}, which is not its own"
            );
        }
        let mut free = self.lock();
        let overlaps = free
            .ranges
            .range(..end)
            .next_back()
            .is_some_and(|(_, other)| *other > base);
        assert!(!overlaps, "the host frees {base:#x} twice");
        let after = free.ranges.remove(&end).unwrap_or(end);
        let before = free
            .ranges
            .range(..base)
            .next_back()
            .filter(|(_, other)| **other == base)
            .map(|(start, _)| *start);
        free.ranges.insert(before.unwrap_or(base), after);
        free.free += end - base;
    }

    fn free_pages(&self) -> PageCount {
        PageCount::new(self.free_bytes() / self.page_size.bytes())
    }

    fn words(&self, granule: GranuleAddress) -> &GranuleWords {
        self.board
            .page(granule.get(), PhysicalAddressSpace::NonSecure)
            .unwrap_or_else(|cause| {
                panic!(
                    "the host accesses {:#x} in the Non-secure physical address space: {cause:?}",
                    granule.get()
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Time};

    fn supply(page_size: PageSize) -> Supply {
        let board = Board::new(&[(0x4000_0000, 0x100_0000)], 1, Clock::new(Time::Real));
        for entry in board.protection.0.words() {
            entry.store(0x91, std::sync::atomic::Ordering::Relaxed);
        }
        Supply::new(Arc::new(board), page_size, 0x4010_1000, 0x4020_0000)
    }

    #[test]
    fn alignment_and_order_of_freeing_do_not_matter() {
        let supply = supply(PageSize::Size4K);
        let one = supply.allocate(PageCount::ONE, 0x1000).expect("memory");
        let two = supply.allocate(PageCount::new(2), 0x2000).expect("memory");
        assert_eq!((one.get(), two.get()), (0x4010_1000, 0x4010_2000));
        let aligned = supply.allocate(PageCount::ONE, 0x1_0000).expect("memory");
        assert_eq!(aligned.get(), 0x4011_0000);
        assert_eq!(supply.in_use(), 0x4000);
        supply.free(two, PageCount::new(2));
        supply.free(aligned, PageCount::ONE);
        supply.free(one, PageCount::ONE);
        assert_eq!(supply.in_use(), 0);
        assert_eq!(
            supply.lock().ranges,
            BTreeMap::from([(0x4010_1000, 0x4020_0000)])
        );
    }

    #[test]
    fn memory_runs_out() {
        let supply = supply(PageSize::Size64K);
        assert_eq!(supply.total, 15 * 0x1_0000);
        assert!(supply.allocate(PageCount::new(16), 0x1_0000).is_none());
        assert!(supply.allocate(PageCount::new(15), 0x1_0000).is_some());
        assert!(supply.allocate(PageCount::ONE, 0x1_0000).is_none());
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn freeing_twice_is_a_bug_of_the_host() {
        let supply = supply(PageSize::Size4K);
        let page = supply.allocate(PageCount::ONE, 0x1000).expect("memory");
        supply.free(page, PageCount::ONE);
        supply.free(page, PageCount::ONE);
    }
}
