//! Stage 1 translation tables of an identity map that is in use while it grows: 4 KiB granule, 48-bit addresses.
//!
//! Unlike [`stage1`](crate::stage1) this never changes or splits an entry: mappings are only added, so nothing needs to
//! be invalidated. What makes stores visible to table walkers is the caller's business.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

const ENTRIES: usize = 512;
const PAGE: u64 = 4096;

/// Valid descriptor.
const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Address of the next table or of the memory.
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// Attribute index 0 of [`MAIR`], inner shareable, accessed: normal memory.
pub const NORMAL: u64 = 1 << 10 | 0b11 << 8;
/// Attribute index 1 of [`MAIR`], accessed: devices.
pub const DEVICE: u64 = 1 << 10 | 1 << 2;
/// Only loads.
pub const READ_ONLY: u64 = 1 << 7;
/// The memory attributes: index 0 is normal write-back memory, index 1 is Device-nGnRE.
pub const MAIR: u64 = 0x04_FF;
/// The part of `TCR_ELx` that all regimes have in common: 48-bit addresses, 4 KiB granule, walks of write-back inner
/// shareable memory.
pub const TCR: u64 = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12;

/// One table.
#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }

    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

/// A map of up to `N` tables besides its root. Lives where its address is its physical address.
pub struct IdentityMap<const N: usize> {
    root: Table,
    tables: [Table; N],
}

impl<const N: usize> IdentityMap<N> {
    /// A map of nothing.
    pub const fn new() -> Self {
        Self {
            root: Table::new(),
            tables: [const { Table::new() }; N],
        }
    }

    /// The address for `TTBR0_ELx`.
    pub fn root(&self) -> u64 {
        self.root.address()
    }

    /// Maps the pages that `range` touches, with the largest blocks that fit. What is mapped already stays as it is.
    ///
    /// `used` is how many tables are in use, zero for a new map. Nobody else may be adding to the map.
    ///
    /// # Panics
    ///
    /// If the range has more ends inside of larger blocks than there are tables, or lies beyond 48 bits.
    pub fn add(&self, used: &mut usize, range: Range<u64>, attributes: u64) {
        assert!(
            range.end <= 1 << 48,
            "an address of {:#x} is out of reach",
            range.end
        );
        let range = range.start & !(PAGE - 1)..range.end.next_multiple_of(PAGE);
        self.fill(&self.root, 0, 0, &range, attributes, used);
    }

    /// Address of the last table on the way to the translation of `address`.
    pub fn last_table(&self, address: u64) -> u64 {
        let mut table = &self.root;
        for level in 0..3 {
            let index = (address >> (39 - 9 * level)) as usize % ENTRIES;
            let entry = table.0[index].load(Ordering::Relaxed);
            let is_table = entry & (VALID | TABLE_OR_PAGE) == VALID | TABLE_OR_PAGE;
            let next = self
                .tables
                .iter()
                .find(|next| is_table && next.address() == entry & ADDRESS);
            match next {
                Some(next) => table = next,
                None => break,
            }
        }
        table.address()
    }

    /// Enters the part of `range` that lies under `table`, whose first entry maps `base`.
    fn fill(
        &self,
        table: &Table,
        level: u32,
        base: u64,
        range: &Range<u64>,
        attributes: u64,
        used: &mut usize,
    ) {
        let size = 1u64 << (39 - 9 * level);
        let first = range.start.saturating_sub(base) / size;
        let entries = table
            .0
            .iter()
            .zip((base..).step_by(size as usize))
            .skip(first as usize);
        for (entry, start) in entries.take_while(|&(_, start)| start < range.end) {
            let part = range.start.max(start)..range.end.min(start + size);
            let present = entry.load(Ordering::Relaxed);
            if present != 0 && (level == 3 || present & TABLE_OR_PAGE == 0) {
                continue;
            }
            if present == 0 && level > 0 && part == (start..start + size) {
                let kind = if level == 3 { TABLE_OR_PAGE } else { 0 };
                entry.store(start | attributes | kind | VALID, Ordering::Relaxed);
                continue;
            }
            let known = self.tables[..*used]
                .iter()
                .find(|next| present != 0 && next.address() == present & ADDRESS);
            let next = known.unwrap_or_else(|| {
                let next = self.tables.get(*used).expect("no translation table left");
                *used += 1;
                entry.store(next.address() | TABLE_OR_PAGE | VALID, Ordering::Relaxed);
                next
            });
            self.fill(next, level + 1, start, &part, attributes, used);
        }
    }
}

impl<const N: usize> Default for IdentityMap<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::boxed::Box;

    const PAGE_BITS: u64 = VALID | TABLE_OR_PAGE;

    /// The leaf descriptor that translates an address, with its level.
    fn leaf<const N: usize>(map: &IdentityMap<N>, address: u64) -> Option<(u64, u32)> {
        let mut table = &map.root;
        for level in 0..4 {
            let index = (address >> (39 - 9 * level)) as usize % ENTRIES;
            let entry = table.0[index].load(Ordering::Relaxed);
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & TABLE_OR_PAGE == 0 {
                return Some((entry, level));
            }
            table = map
                .tables
                .iter()
                .find(|table| table.address() == entry & ADDRESS)?;
        }
        None
    }

    fn map() -> Box<IdentityMap<8>> {
        Box::new(IdentityMap::new())
    }

    #[test]
    fn the_largest_blocks_that_fit_are_used() {
        let (map, mut used) = (map(), 0);
        map.add(&mut used, 0x3FE0_1000..0x8020_0000, NORMAL);
        assert_eq!(leaf(&map, 0x3FE0_0FFF), None);
        assert_eq!(
            leaf(&map, 0x3FE0_1234),
            Some((0x3FE0_1000 | NORMAL | PAGE_BITS, 3))
        );
        assert_eq!(
            leaf(&map, 0x3FFF_FFFF),
            Some((0x3FFF_F000 | NORMAL | PAGE_BITS, 3))
        );
        assert_eq!(
            leaf(&map, 0x7FFF_FFFF),
            Some((0x4000_0000 | NORMAL | VALID, 1))
        );
        assert_eq!(
            leaf(&map, 0x8000_0000),
            Some((0x8000_0000 | NORMAL | VALID, 2))
        );
        assert_eq!(leaf(&map, 0x8020_0000), None);
        assert_eq!(used, 4);
    }

    #[test]
    fn what_is_mapped_stays_as_it_is() {
        let (map, mut used) = (map(), 0);
        map.add(&mut used, 0x6000_0000..0x6000_2000, READ_ONLY | NORMAL);
        map.add(&mut used, 0x8000_0000..0xC000_0000, DEVICE);
        map.add(&mut used, 0x4000_0000..0x1_0000_0000, NORMAL);
        assert_eq!(
            leaf(&map, 0x6000_1FFF),
            Some((0x6000_1000 | READ_ONLY | NORMAL | PAGE_BITS, 3))
        );
        assert_eq!(
            leaf(&map, 0x6000_2000),
            Some((0x6000_2000 | NORMAL | PAGE_BITS, 3))
        );
        assert_eq!(
            leaf(&map, 0x5FFF_FFFF),
            Some((0x5FE0_0000 | NORMAL | VALID, 2))
        );
        assert_eq!(
            leaf(&map, 0x9000_0000),
            Some((0x8000_0000 | DEVICE | VALID, 1))
        );
        assert_eq!(
            leaf(&map, 0xFFFF_FFFF),
            Some((0xC000_0000 | NORMAL | VALID, 1))
        );
    }

    #[test]
    fn ends_are_rounded_to_pages_and_nothing_is_nothing() {
        let (map, mut used) = (map(), 0);
        map.add(&mut used, 0x1FFF..0x2001, NORMAL);
        assert!(leaf(&map, 0x1000).is_some() && leaf(&map, 0x2FFF).is_some());
        assert!(leaf(&map, 0xFFF).is_none() && leaf(&map, 0x3000).is_none());
        let before = used;
        map.add(&mut used, 0x8000_0000..0x8000_0000, NORMAL);
        assert_eq!((used, leaf(&map, 0x8000_0000)), (before, None));
    }

    #[test]
    fn both_ends_of_the_address_space_are_in_reach() {
        let (map, mut used) = (map(), 0);
        map.add(&mut used, 0..0x4000_0000, DEVICE);
        map.add(&mut used, (1 << 48) - 0x4000_0000..1 << 48, NORMAL);
        assert_eq!(leaf(&map, 0), Some((DEVICE | VALID, 1)));
        assert!(leaf(&map, (1 << 48) - 1).is_some());
    }

    #[test]
    #[should_panic(expected = "out of reach")]
    fn addresses_of_more_bits_are_refused() {
        map().add(&mut 0, 1 << 48..(1 << 48) + 1, NORMAL);
    }

    #[test]
    #[should_panic(expected = "no translation table left")]
    fn a_map_without_tables_left_says_so() {
        let (map, mut used) = (map(), 0);
        for i in 0..9 {
            map.add(&mut used, i << 39..(i << 39) + 0x1000, NORMAL);
        }
    }
}
