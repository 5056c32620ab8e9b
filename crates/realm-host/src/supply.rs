//! Where host pages come from.

use core::sync::atomic::AtomicU64;

use crate::units::{GranuleAddress, PageAddress, PageCount, PageSize};

/// The words of one granule that the host owns.
///
/// Atomics, because a granule that is shared with a realm or with the monitor changes at any time.
pub type GranuleWords = [AtomicU64; 512];

/// The embedder's page allocator, and its view of the pages that it owns.
///
/// `realm-host` asks for pages when it needs memory for a realm, delegates granules of them, and frees a page only
/// when all of its granules are the host's again. Destroying never allocates.
pub trait PageSupply {
    /// The host's page size. It never changes.
    fn page_size(&self) -> PageSize;

    /// Allocates contiguous pages; the first is aligned to `align` bytes (a power of two, at least the page size).
    /// The content is unspecified. `None`: no memory left.
    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress>;

    /// Takes pages back. They may be a part of what one `allocate` returned.
    fn free(&self, first: PageAddress, pages: PageCount);

    /// Pages that [`PageSupply::allocate`] can still give, one by one.
    fn free_pages(&self) -> PageCount;

    /// The words of a granule in a page that is allocated and that is not delegated, through the Non-secure
    /// physical address space. `realm-host` calls it for no other granule.
    fn words(&self, granule: GranuleAddress) -> &GranuleWords;
}

impl<M: PageSupply + ?Sized> PageSupply for &M {
    fn page_size(&self) -> PageSize {
        (**self).page_size()
    }

    fn allocate(&self, pages: PageCount, align: u64) -> Option<PageAddress> {
        (**self).allocate(pages, align)
    }

    fn free(&self, first: PageAddress, pages: PageCount) {
        (**self).free(first, pages);
    }

    fn free_pages(&self) -> PageCount {
        (**self).free_pages()
    }

    fn words(&self, granule: GranuleAddress) -> &GranuleWords {
        (**self).words(granule)
    }
}
