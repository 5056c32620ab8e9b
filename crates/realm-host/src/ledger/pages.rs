//! Pages by address, at a cost that no order of taking and giving back can raise: chunks of entries side by side, a chunk for
//! pages that lie side by side.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use crate::units::PageSize;

/// Entries of a chunk.
const ENTRIES: usize = 64;

struct Chunk<V> {
    used: usize,
    entries: [Option<V>; ENTRIES],
}

/// A value for each of some pages.
pub(super) struct Pages<V> {
    size: PageSize,
    chunks: BTreeMap<u64, Box<Chunk<V>>>,
    count: usize,
}

impl<V> Pages<V> {
    pub(super) const fn new(size: PageSize) -> Self {
        Self {
            size,
            chunks: BTreeMap::new(),
            count: 0,
        }
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Which chunk a page is in, and where in it.
    const fn place(&self, address: u64) -> (u64, usize) {
        let page = address / self.size.bytes();
        (page / ENTRIES as u64, (page % ENTRIES as u64) as usize)
    }

    pub(super) fn get(&self, address: u64) -> Option<&V> {
        let (chunk, index) = self.place(address);
        self.chunks.get(&chunk)?.entries[index].as_ref()
    }

    pub(super) fn get_mut(&mut self, address: u64) -> Option<&mut V> {
        let (chunk, index) = self.place(address);
        self.chunks.get_mut(&chunk)?.entries[index].as_mut()
    }

    pub(super) fn insert(&mut self, address: u64, value: V) {
        let (chunk, index) = self.place(address);
        let chunk = self.chunks.entry(chunk).or_insert_with(|| {
            Box::new(Chunk {
                used: 0,
                entries: [const { None }; ENTRIES],
            })
        });
        if chunk.entries[index].replace(value).is_none() {
            chunk.used += 1;
            self.count += 1;
        }
    }

    pub(super) fn remove(&mut self, address: u64) -> Option<V> {
        let (number, index) = self.place(address);
        let chunk = self.chunks.get_mut(&number)?;
        let value = chunk.entries[index].take()?;
        chunk.used -= 1;
        self.count -= 1;
        if chunk.used == 0 {
            self.chunks.remove(&number);
        }
        Some(value)
    }

    /// The pages from an address on, in ascending order.
    pub(super) fn from(&self, address: u64) -> impl Iterator<Item = (u64, &V)> {
        let (first, skipped) = self.place(address);
        self.chunks
            .range(first..)
            .flat_map(move |(&chunk, entries)| {
                let start = if chunk == first { skipped } else { 0 };
                let entries = entries.entries.iter().enumerate().skip(start);
                entries.filter_map(move |(index, value)| {
                    let page = chunk * ENTRIES as u64 + index as u64;
                    Some((page * self.size.bytes(), value.as_ref()?))
                })
            })
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let chunks = self.chunks.values_mut();
        chunks.flat_map(|chunk| chunk.entries.iter_mut().flatten())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn pages_are_found_in_order_and_chunks_go_with_their_last_page() {
        let mut pages = Pages::new(PageSize::Size16K);
        let size = PageSize::Size16K.bytes();
        for page in [200, 3, 64, 63, 0] {
            pages.insert(page * size, page);
        }
        pages.insert(3 * size, 3);
        let all: Vec<_> = pages
            .from(0)
            .map(|(address, &page)| (address / size, page))
            .collect();
        assert_eq!(all, [(0, 0), (3, 3), (63, 63), (64, 64), (200, 200)]);
        assert_eq!(pages.from(63 * size).count(), 3);
        assert_eq!(pages.from(65 * size).next(), Some((200 * size, &200)));
        assert_eq!((pages.len(), pages.chunks.len()), (5, 3));
        assert_eq!(pages.get(64 * size), Some(&64));
        assert_eq!(pages.get(65 * size), None);
        assert_eq!(pages.remove(64 * size), Some(64));
        assert_eq!(pages.remove(64 * size), None);
        assert_eq!((pages.len(), pages.chunks.len()), (4, 2));
        pages.values_mut().for_each(|page| *page += 1);
        assert_eq!(pages.get_mut(0), Some(&mut 1));
    }

    #[test]
    fn a_chunk_takes_no_more_than_its_entries() {
        assert!(size_of::<Chunk<u64>>() <= ENTRIES * size_of::<Option<u64>>() + 8);
    }
}
