//! The hypervisor's pages.

use cca_abi::GRANULE_SIZE;
use hardware::host::Dram;
use realm_host::{GranuleAddress, GranuleWords, PageAddress, PageCount, PageSize, PageSupply};
use spin::mutex::SpinMutex;

use crate::extents::Extents;

/// Free memory of the machine in pages of one size, lowest addresses first.
#[derive(Debug)]
pub(crate) struct Supply {
    dram: Dram,
    page_size: PageSize,
    free: SpinMutex<Extents>,
}

impl Supply {
    /// Pages of `page_size` out of `free`, all of it memory that `dram` shows as words.
    pub(crate) fn new(dram: Dram, page_size: PageSize, free: Extents) -> Self {
        let mut whole = Extents::default();
        let size = page_size.bytes();
        for range in free.iter() {
            if let Some(start) = range.start.checked_next_multiple_of(size) {
                whole.add(start..range.end & !(size - 1));
            }
        }
        Self {
            dram,
            page_size,
            free: SpinMutex::new(whole),
        }
    }
}

impl Supply {
    /// Bytes that are free now.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.lock().size()
    }
}

impl PageSupply for Supply {
    fn page_size(&self) -> PageSize {
        self.page_size
    }

    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress> {
        let align = align.max(self.page_size.bytes());
        let size = pages.bytes(self.page_size);
        let first = self.free.lock().take(size, align)?;
        PageAddress::new(first, self.page_size)
    }

    fn free(&self, first: PageAddress, pages: PageCount) {
        let size = pages.bytes(self.page_size);
        self.free.lock().add(first.get()..first.get() + size);
    }

    fn free_pages(&self) -> PageCount {
        PageCount::new(self.free_bytes() / self.page_size.bytes())
    }

    fn words(&self, granule: GranuleAddress) -> &GranuleWords {
        const { assert!(size_of::<GranuleWords>() as u64 == GRANULE_SIZE) };
        self.dram.granule(granule.get())
    }
}
