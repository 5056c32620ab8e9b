//! The memory that the host may delegate.

use super::GRANULE_SIZE;

/// Largest number of memory banks.
pub const MAX_BANKS: usize = 16;

/// A range of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bank {
    /// First address, granule aligned.
    pub base: u64,
    /// Size in bytes, a multiple of the granule size.
    pub size: u64,
}

/// The delegable memory of the machine: disjoint banks in ascending order. Everything else (devices, the RMM's own
/// memory, holes) is not delegable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Banks {
    banks: [Bank; MAX_BANKS],
    /// Table index of the first granule of each bank.
    first: [usize; MAX_BANKS],
    count: usize,
    granules: usize,
}

impl Banks {
    /// Takes the banks of the machine.
    ///
    /// `None` if there are more than [`MAX_BANKS`], if one is not granule aligned or wraps around, or if they are
    /// not ascending and disjoint.
    #[must_use]
    pub fn new(banks: &[Bank]) -> Option<Self> {
        let mut this = Self {
            banks: [Bank::default(); MAX_BANKS],
            first: [0; MAX_BANKS],
            count: banks.len(),
            granules: 0,
        };
        let mut end = 0;
        for (i, bank) in banks.iter().enumerate() {
            let aligned = (bank.base | bank.size).is_multiple_of(GRANULE_SIZE);
            if i == MAX_BANKS || !aligned || bank.base < end {
                return None;
            }
            end = bank.base.checked_add(bank.size)?;
            this.banks[i] = *bank;
            this.first[i] = this.granules;
            this.granules += usize::try_from(bank.size / GRANULE_SIZE).ok()?;
        }
        Some(this)
    }

    /// The banks.
    #[must_use]
    pub fn as_slice(&self) -> &[Bank] {
        &self.banks[..self.count]
    }

    /// Number of granules in all banks.
    #[must_use]
    pub const fn granules(&self) -> usize {
        self.granules
    }

    /// The table index of the granule at `address`, which need not be aligned; `None` if it is not delegable.
    #[must_use]
    #[inline]
    pub fn index(&self, address: u64) -> Option<usize> {
        for i in 0..self.count.min(MAX_BANKS) {
            let offset = address.wrapping_sub(self.banks[i].base);
            if offset < self.banks[i].size {
                return Some(self.first[i] + (offset / GRANULE_SIZE) as usize);
            }
        }
        None
    }

    /// Whether the granule at `address` is delegable memory.
    #[must_use]
    #[inline]
    pub fn contains(&self, address: u64) -> bool {
        self.index(address).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_run_through_the_banks() {
        let banks = Banks::new(&[
            Bank {
                base: 0x4000_0000,
                size: 0x3000,
            },
            Bank {
                base: 0x8000_0000,
                size: 0x2000,
            },
        ])
        .unwrap();
        assert_eq!(banks.granules(), 5);
        assert_eq!(banks.index(0x4000_0000), Some(0));
        assert_eq!(banks.index(0x4000_2fff), Some(2));
        assert_eq!(banks.index(0x4000_3000), None);
        assert_eq!(banks.index(0x8000_0000), Some(3));
        assert_eq!(banks.index(0x8000_1000), Some(4));
        assert_eq!(banks.index(0x8000_2000), None);
        assert_eq!(banks.index(0x3fff_ffff), None);
        assert_eq!(banks.index(u64::MAX), None);
    }

    #[test]
    fn bad_banks_are_refused() {
        let bank = |base, size| Bank { base, size };
        assert_eq!(Banks::new(&[bank(0x800, 0x1000)]), None);
        assert_eq!(Banks::new(&[bank(0x1000, 0x800)]), None);
        assert_eq!(
            Banks::new(&[bank(0x1000, 0x2000), bank(0x2000, 0x1000)]),
            None
        );
        assert_eq!(
            Banks::new(&[bank(0x4000, 0x1000), bank(0x1000, 0x1000)]),
            None
        );
        assert_eq!(Banks::new(&[bank(0xffff_ffff_ffff_f000, 0x2000)]), None);
        assert_eq!(Banks::new(&[Bank::default(); MAX_BANKS + 1]), None);
        assert!(Banks::new(&[]).is_some());
    }
}
