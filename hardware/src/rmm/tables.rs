//! Stage 1 translation tables of the RMM: 4 KiB granule, 48 bits, from a fixed pool, built once with the MMU off.

/// Number of tables in a pool.
pub const POOL: usize = 96;

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

/// The pool is used up: the banks of the manifest have too many odd borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolExhausted;

/// Tables handed out one after the other. Lives where its address is its physical address.
#[derive(Debug)]
pub struct Pool {
    tables: [Table; POOL],
    used: usize,
}

impl Pool {
    /// An unused pool.
    pub const fn new() -> Self {
        Self {
            tables: [Table([0; 512]); POOL],
            used: 0,
        }
    }

    /// Takes an empty table.
    ///
    /// # Errors
    ///
    /// [`PoolExhausted`].
    pub fn take(&mut self) -> Result<usize, PoolExhausted> {
        if self.used == POOL {
            return Err(PoolExhausted);
        }
        self.used += 1;
        Ok(self.used - 1)
    }

    /// Physical address of table `table`.
    pub fn address(&self, table: usize) -> u64 {
        core::ptr::from_ref(&self.tables[table]) as u64
    }

    fn by_address(&self, address: u64) -> usize {
        (address - self.address(0)) as usize / size_of::<Table>()
    }

    /// Maps `size` bytes from `virtual_address` (counted from the base of the window) to `physical` with `attributes`,
    /// with the largest entries that fit. What was mapped there before is replaced; blocks are split as needed. All
    /// three addresses are multiples of 4 KiB, and the range ends within 48 bits.
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

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

/// Index of the entry for an address in its table of a level.
const fn index(address: u64, level: usize) -> usize {
    (address >> (39 - 9 * level)) as usize & 511
}
