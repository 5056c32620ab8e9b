//! All the memory that a realm can ever need, promised before it runs.

use super::config::{Geometry, LEAF};
use super::core::Core;
use crate::error::Error;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GranuleCount, IpaRange, PageCount};

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Has the ledger promise all that a realm with this RAM, and nothing shared but in the alias of it, can need at once: page by page
    /// private or shared, with tables down to the last level for both.
    pub(super) fn reserve(&self, ram: IpaRange, vcpus: u64) -> Result<(), Error> {
        let geometry = self.geometry();
        let entries = |level| {
            let size = Geometry::entry_size(level);
            ram.top().get().div_ceil(size) - ram.base().get() / size
        };
        let tables: u64 = (geometry.start_level()..LEAF).map(entries).sum();
        let ram = ram.granules().get();
        let rec = 1 + self.aux_count() as u64;
        // Each vCPU may hold a page and a table for the length of a call that then turns out not to need them.
        let monitor = 1 + geometry.root_tables().get() + ram + 2 * tables + vcpus * (rec + 2);
        // A run page for each, and one for parameters.
        let host = vcpus + 1;
        let size = self.host().supply().page_size();
        // A page of one granule changes sides with what is in it; others are needed on both.
        let shared = if size.granules().get() == 1 { 0 } else { ram };
        let pages = |granules| -> PageCount { GranuleCount::new(granules).pages(size) };
        self.granules()
            .promise(self.id(), [pages(host + shared), pages(monitor)])
    }
}
