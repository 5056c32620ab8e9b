//! Translation tables of an identity map: 4 KiB granule, 48-bit addresses, four levels.

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

/// A map of up to `N` tables besides its root. Mappings are only ever added, so nothing needs to be invalidated.
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
