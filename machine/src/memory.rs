//! Physical memory: DRAM in two banks like QEMU's `virt`, backed page by page when first touched.
//!
//! A page is `[AtomicU64; 512]`, the same type that the Realm Management Monitor works on, so a load
//! or store of any world is a plain atomic operation and races are defined. Nothing here checks granule
//! protection: [`crate::board::Board`] does, in front of every access.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a granule.
pub(crate) const GRANULE_SIZE: u64 = 4096;
/// Words of a granule.
pub(crate) const WORDS: usize = 512;

/// One granule of memory.
pub(crate) type Page = [AtomicU64; WORDS];

const PAGES_PER_CHUNK: usize = 512;
const CHUNK_BYTES: u64 = GRANULE_SIZE * PAGES_PER_CHUNK as u64;

type Chunk = Box<[OnceLock<Box<Page>>]>;

/// A run of physical addresses that is memory.
struct Bank {
    base: u64,
    chunks: Box<[OnceLock<Chunk>]>,
    bytes: u64,
}

impl Bank {
    fn new(base: u64, bytes: u64) -> Self {
        let chunks = bytes.div_ceil(CHUNK_BYTES);
        Self {
            base,
            chunks: (0..chunks).map(|_| OnceLock::new()).collect(),
            bytes,
        }
    }

    fn slot(&self, pa: u64) -> Option<(usize, usize)> {
        let offset = pa.checked_sub(self.base).filter(|o| *o < self.bytes)?;
        let page = (offset / GRANULE_SIZE) as usize;
        Some((page / PAGES_PER_CHUNK, page % PAGES_PER_CHUNK))
    }
}

/// All memory of a machine.
pub(crate) struct Memory {
    banks: Vec<Bank>,
}

impl Memory {
    /// Memory with the given `(base, bytes)` banks, all zero. Both numbers are multiples of 4 KiB.
    pub(crate) fn new(banks: &[(u64, u64)]) -> Self {
        Self {
            banks: banks
                .iter()
                .map(|&(base, bytes)| Bank::new(base, bytes))
                .collect(),
        }
    }

    /// The page that contains `pa`, or `None` where there is no memory. Backs it if nobody has touched it yet.
    pub(crate) fn page(&self, pa: u64) -> Option<&Page> {
        let (bank, chunk, page) = self.find(pa)?;
        let chunk = bank.chunks[chunk]
            .get_or_init(|| (0..PAGES_PER_CHUNK).map(|_| OnceLock::new()).collect());
        Some(chunk[page].get_or_init(|| Box::new([const { AtomicU64::new(0) }; WORDS])))
    }

    /// The page that contains `pa` if it has been touched, otherwise `None`: it reads as zero.
    pub(crate) fn touched(&self, pa: u64) -> Option<&Page> {
        let (bank, chunk, page) = self.find(pa)?;
        bank.chunks[chunk].get()?[page].get().map(|page| &**page)
    }

    fn find(&self, pa: u64) -> Option<(&Bank, usize, usize)> {
        self.banks.iter().find_map(|bank| {
            let (chunk, page) = bank.slot(pa)?;
            Some((bank, chunk, page))
        })
    }
}

/// The words of a page at one moment.
pub(crate) fn contents(page: &Page) -> Box<[u64; WORDS]> {
    let mut words = Box::new([0; WORDS]);
    for (word, cell) in words.iter_mut().zip(page) {
        *word = cell.load(Ordering::Relaxed);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_until_written_and_ends_where_it_ends() {
        let memory = Memory::new(&[(0x4000_0000, 0x30_0000)]);
        assert!(memory.touched(0x4000_0000).is_none());
        let page = memory.page(0x402f_f008).expect("inside the bank");
        assert_eq!(page[1].load(Ordering::Relaxed), 0);
        page[1].store(7, Ordering::Relaxed);
        assert_eq!(
            contents(memory.touched(0x402f_f000).expect("touched now"))[1],
            7
        );
        assert!(memory.page(0x4030_0000).is_none());
        assert!(memory.page(0x3fff_f000).is_none());
    }

    #[test]
    fn eight_gibibytes_back_only_what_is_touched() {
        let memory = Memory::new(&[(0x4000_0000, 8 << 30)]);
        memory.page(0x4000_0000 + (8 << 30) - 1).expect("last byte");
        let touched = memory.banks[0]
            .chunks
            .iter()
            .filter(|chunk| chunk.get().is_some())
            .count();
        assert_eq!(touched, 1);
    }
}
