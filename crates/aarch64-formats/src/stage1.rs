//! Stage 1 translation tables with a 4 KiB granule and 48 bits of address, built once in a fixed pool before translation
//! is turned on.
//!
//! What the attributes of an entry mean depends on the translation regime, so they are the caller's: this module
//! decides about levels, blocks and addresses. Nothing is ever given back to the pool, and nothing is invalidated: a
//! regime that is already translating must not be changed this way.

/// Bytes mapped by an entry of level 0 to 3.
const ENTRY_BYTES: [u64; 4] = [1 << 39, 1 << 30, 1 << 21, 1 << 12];

const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// One translation table.
#[repr(C, align(4096))]
#[derive(Clone, Copy, Debug)]
pub struct Table(pub [u64; 512]);

/// The pool is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolExhausted;

/// `N` tables, handed out one after the other. Lives where its address is its physical address.
#[derive(Debug)]
pub struct Pool<const N: usize> {
    tables: [Table; N],
    used: usize,
}

impl<const N: usize> Pool<N> {
    /// An unused pool.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tables: [Table([0; 512]); N],
            used: 0,
        }
    }

    /// Takes an empty table and gives its number.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`].
    pub fn take(&mut self) -> Result<usize, PoolExhausted> {
        if self.used == N {
            return Err(PoolExhausted);
        }
        self.used += 1;
        Ok(self.used - 1)
    }

    /// Physical address of a table.
    #[must_use]
    pub fn address(&self, table: usize) -> u64 {
        core::ptr::from_ref(&self.tables[table]) as u64
    }

    /// Number of tables taken.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    fn by_address(&self, address: u64) -> usize {
        (address - self.address(0)) as usize / size_of::<Table>()
    }

    /// Maps `size` bytes from `virtual_address` (counted from the base of the window) to `physical` with `attributes`,
    /// with the largest entries that fit, in the table of level 0 `root`. What was mapped there before is replaced;
    /// blocks are split as needed. Addresses and size are multiples of 4 KiB, and the ranges end within 48 bits.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`]; part of the range is then mapped.
    pub fn map(
        &mut self,
        root: usize,
        virtual_address: u64,
        physical: u64,
        size: u64,
        attributes: u64,
    ) -> Result<(), PoolExhausted> {
        self.set(root, virtual_address, size, |offset| {
            (physical + offset) | attributes
        })
    }

    /// Takes the mapping of a range away.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`]: a block that needs to be split could not be.
    pub fn unmap(
        &mut self,
        root: usize,
        virtual_address: u64,
        size: u64,
    ) -> Result<(), PoolExhausted> {
        self.set(root, virtual_address, size, |_| 0)
    }

    /// Sets the leaf entries of a range to what `leaf` gives for their offset in it; zero for none.
    fn set(
        &mut self,
        root: usize,
        virtual_address: u64,
        size: u64,
        leaf: impl Fn(u64) -> u64,
    ) -> Result<(), PoolExhausted> {
        let mut offset = 0;
        while offset < size {
            let at = virtual_address + offset;
            let value = leaf(offset);
            // A block must be aligned on both sides; level 0 has none.
            let mut level = 1;
            while level < 3
                && (!(at | (value & ADDRESS)).is_multiple_of(ENTRY_BYTES[level])
                    || size - offset < ENTRY_BYTES[level])
            {
                level += 1;
            }
            let table = self.descend(root, at, level)?;
            let kind = match (value, level) {
                (0, _) => 0,
                (_, 3) => VALID | TABLE_OR_PAGE,
                _ => VALID,
            };
            self.tables[table].0[index(at, level)] = value | kind;
            offset += ENTRY_BYTES[level];
        }
        Ok(())
    }

    /// The table of `level` that translates `at`, made and filled on the way as needed.
    fn descend(&mut self, root: usize, at: u64, level: usize) -> Result<usize, PoolExhausted> {
        let mut table = root;
        for above in 0..level {
            let entry = self.tables[table].0[index(at, above)];
            table = if entry & VALID != 0 && entry & TABLE_OR_PAGE != 0 {
                self.by_address(entry & ADDRESS)
            } else {
                let below = self.take()?;
                if entry & VALID != 0 {
                    // Split a block: the same memory with the same attributes one level down.
                    let kind = if above + 1 == 3 { TABLE_OR_PAGE } else { 0 };
                    for (n, child) in self.tables[below].0.iter_mut().enumerate() {
                        *child = (entry + n as u64 * ENTRY_BYTES[above + 1]) | kind;
                    }
                }
                self.tables[table].0[index(at, above)] =
                    self.address(below) | VALID | TABLE_OR_PAGE;
                below
            };
        }
        Ok(table)
    }
}

impl<const N: usize> Default for Pool<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Index of the entry for an address in its table of a level.
const fn index(address: u64, level: usize) -> usize {
    (address >> (39 - 9 * level)) as usize & 511
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    const FIRST: u64 = 1 << 10;
    const SECOND: u64 = 1 << 10 | 1 << 53;
    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn pool<const N: usize>() -> (Box<Pool<N>>, usize) {
        let mut pool = Box::new(Pool::new());
        let root = pool.take().unwrap();
        (pool, root)
    }

    /// What a table walk finds: output address, attributes and level.
    fn walk<const N: usize>(pool: &Pool<N>, root: usize, at: u64) -> Option<(u64, u64, usize)> {
        let mut table = root;
        for (level, bytes) in ENTRY_BYTES.into_iter().enumerate() {
            let entry = pool.tables[table].0[index(at, level)];
            let is_leaf = level == 3 || entry & TABLE_OR_PAGE == 0;
            if entry & VALID == 0 {
                return None;
            }
            assert!(level != 0 || !is_leaf, "no blocks at level 0");
            assert!(
                level != 3 || entry & TABLE_OR_PAGE != 0,
                "reserved at level 3"
            );
            if is_leaf {
                let offset = at % bytes;
                let base = entry & ADDRESS;
                assert_eq!(base % bytes, 0, "alignment of a leaf");
                return Some((base + offset, entry & !ADDRESS & !3, level));
            }
            table = pool.by_address(entry & ADDRESS);
        }
        None
    }

    #[test]
    fn a_range_is_mapped_with_the_largest_entries_and_nothing_beyond() {
        let (mut pool, root) = pool::<8>();
        let (base, size) = (GIB - 2 * MIB - 4096, 2 * GIB + 6 * MIB);
        pool.map(root, base, base, size, FIRST).unwrap();
        for (at, level) in [(base, 3), (GIB - 2 * MIB, 2), (GIB, 1), (3 * GIB, 2)] {
            assert_eq!(
                walk(&pool, root, at + 8),
                Some((at + 8, FIRST, level)),
                "{at:#x}"
            );
        }
        assert_eq!(
            walk(&pool, root, base + size - 1),
            Some((base + size - 1, FIRST, 3))
        );
        assert_eq!(walk(&pool, root, base - 1), None);
        assert_eq!(walk(&pool, root, base + size), None);
    }

    #[test]
    fn an_unaligned_target_forces_smaller_entries() {
        let (mut pool, root) = pool::<8>();
        pool.map(root, 0, 2 * MIB, 4 * MIB, FIRST).unwrap();
        assert_eq!(walk(&pool, root, 4096), Some((2 * MIB + 4096, FIRST, 2)));
        pool.map(root, GIB, 4096, 2 * MIB, FIRST).unwrap();
        assert_eq!(walk(&pool, root, GIB + 4095), Some((8191, FIRST, 3)));
    }

    #[test]
    fn a_page_in_a_block_is_replaced_alone() {
        let (mut pool, root) = pool::<8>();
        pool.map(root, 0, 0, 512 * GIB, FIRST).unwrap();
        let page = 5 * GIB + 7 * MIB + 3 * 4096;
        pool.map(root, page, page, 4096, SECOND).unwrap();
        assert_eq!(walk(&pool, root, page), Some((page, SECOND, 3)));
        for (other, level) in [
            (page - 4096, 3),
            (page + 4096, 3),
            (page + 2 * MIB, 2),
            (page + GIB, 1),
        ] {
            assert_eq!(
                walk(&pool, root, other),
                Some((other, FIRST, level)),
                "{other:#x}"
            );
        }
        pool.unmap(root, page + 4096, 4096).unwrap();
        assert_eq!(walk(&pool, root, page + 4096), None);
        assert_eq!(walk(&pool, root, page), Some((page, SECOND, 3)));
    }

    #[test]
    fn a_pool_that_is_too_small_says_so() {
        let (mut pool, root) = pool::<3>();
        pool.map(root, 0, 0, 2 * MIB, FIRST).unwrap();
        assert_eq!(pool.used(), 3);
        assert_eq!(pool.map(root, 2 * MIB, 0, 4096, FIRST), Err(PoolExhausted));
    }
}
