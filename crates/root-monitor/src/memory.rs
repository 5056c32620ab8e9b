//! Ranges of physical memory.

use cca_abi::GRANULE_SIZE;

/// A range of physical addresses. Never wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Length in bytes.
    pub size: u64,
}

impl Range {
    /// From the first address and the length in bytes.
    #[must_use]
    pub const fn new(base: u64, size: u64) -> Self {
        Self { base, size }
    }

    /// From the first address and the one after the last.
    #[must_use]
    pub const fn between(base: u64, end: u64) -> Self {
        Self {
            base,
            size: end.saturating_sub(base),
        }
    }

    /// The address after the last, at most the top of the address space.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.base.saturating_add(self.size)
    }

    /// Whether `address` is inside.
    #[must_use]
    pub const fn contains(self, address: u64) -> bool {
        address >= self.base && address < self.end()
    }

    /// The part inside `other`; `None` if there is none.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        let part = Self::between(self.base.max(other.base), self.end().min(other.end()));
        (part.size != 0).then_some(part)
    }

    /// The largest range of whole granules inside.
    #[must_use]
    pub const fn whole_granules(self) -> Self {
        let base = match self.base.checked_next_multiple_of(GRANULE_SIZE) {
            Some(base) => base,
            None => return Self::new(0, 0),
        };
        Self::between(base, self.end() / GRANULE_SIZE * GRANULE_SIZE)
    }
}

/// Up to `N` ranges, sorted by address, without overlap and without neighbours that touch.
#[derive(Clone, Copy, Debug)]
pub struct Ranges<const N: usize> {
    ranges: [Range; N],
    count: usize,
}

impl<const N: usize> Default for Ranges<N> {
    fn default() -> Self {
        Self {
            ranges: [Range::new(0, 0); N],
            count: 0,
        }
    }
}

/// There are more ranges than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl<const N: usize> Ranges<N> {
    /// The ranges, sorted.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.ranges[..self.count]
    }

    /// Adds a range, merging it with what it touches. An empty range changes nothing.
    ///
    /// # Errors
    ///
    /// If there is no room; nothing has changed then.
    pub fn add(&mut self, range: Range) -> Result<(), TooMany> {
        if range.size == 0 {
            return Ok(());
        }
        let mut merged = range;
        let mut kept = Self::default();
        for &old in self.as_slice() {
            if old.end() < merged.base || old.base > merged.end() {
                kept.push(old)?;
            } else {
                merged = Range::between(old.base.min(merged.base), old.end().max(merged.end()));
            }
        }
        kept.push(merged)?;
        kept.ranges[..kept.count].sort_unstable_by_key(|range| range.base);
        *self = kept;
        Ok(())
    }

    /// Takes away every address of `hole`.
    ///
    /// # Errors
    ///
    /// If splitting a range needs more room than there is; nothing has changed then.
    pub fn remove(&mut self, hole: Range) -> Result<(), TooMany> {
        let mut kept = Self::default();
        for &old in self.as_slice() {
            for part in [
                Range::between(old.base, hole.base.min(old.end())),
                Range::between(hole.end().max(old.base), old.end()),
            ] {
                if part.size != 0 && part.intersection(hole).is_none() {
                    kept.push(part)?;
                }
            }
        }
        *self = kept;
        Ok(())
    }

    /// Drops the smallest ranges until at most `limit` are left, and says how many bytes that cost.
    pub fn keep_largest(&mut self, limit: usize) -> u64 {
        let mut lost = 0;
        while self.count > limit {
            let Some(smallest) = (0..self.count).min_by_key(|&index| self.ranges[index].size)
            else {
                break;
            };
            lost += self.ranges[smallest].size;
            self.ranges.copy_within(smallest + 1..self.count, smallest);
            self.count -= 1;
        }
        lost
    }

    fn push(&mut self, range: Range) -> Result<(), TooMany> {
        let slot = self.ranges.get_mut(self.count).ok_or(TooMany)?;
        *slot = range;
        self.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(list: &[(u64, u64)]) -> Ranges<4> {
        let mut ranges = Ranges::default();
        for &(base, end) in list {
            ranges.add(Range::between(base, end)).unwrap();
        }
        ranges
    }

    fn list(ranges: &Ranges<4>) -> std::vec::Vec<(u64, u64)> {
        ranges
            .as_slice()
            .iter()
            .map(|range| (range.base, range.end()))
            .collect()
    }

    extern crate std;

    #[test]
    fn adding_sorts_and_merges() {
        assert_eq!(
            list(&ranges(&[(50, 60), (10, 20), (30, 40)])),
            [(10, 20), (30, 40), (50, 60)]
        );
        assert_eq!(list(&ranges(&[(10, 20), (20, 30)])), [(10, 30)]);
        assert_eq!(list(&ranges(&[(10, 20), (30, 40), (15, 35)])), [(10, 40)]);
        assert_eq!(list(&ranges(&[(10, 10)])), []);
    }

    #[test]
    fn a_hole_splits_what_it_touches() {
        for (hole, left) in [
            ((20, 30), std::vec![(10, 20), (30, 40)]),
            ((0, 15), std::vec![(15, 40)]),
            ((35, 99), std::vec![(10, 35)]),
            ((10, 40), std::vec![]),
            ((0, 10), std::vec![(10, 40)]),
            ((40, 50), std::vec![(10, 40)]),
        ] {
            let mut from = ranges(&[(10, 40)]);
            from.remove(Range::between(hole.0, hole.1)).unwrap();
            assert_eq!(list(&from), left, "{hole:?}");
        }
    }

    #[test]
    fn too_many_changes_nothing() {
        let mut full = ranges(&[(0, 10), (20, 30), (40, 50), (60, 70)]);
        assert_eq!(full.add(Range::between(80, 90)), Err(TooMany));
        assert_eq!(full.remove(Range::between(5, 6)), Err(TooMany));
        assert_eq!(list(&full), [(0, 10), (20, 30), (40, 50), (60, 70)]);
    }

    #[test]
    fn the_smallest_go_first() {
        let mut some = ranges(&[(0, 10), (20, 22), (40, 45)]);
        assert_eq!(some.keep_largest(2), 2);
        assert_eq!(list(&some), [(0, 10), (40, 45)]);
        assert_eq!(some.keep_largest(5), 0);
    }

    #[test]
    fn granules_inside_a_range() {
        assert_eq!(
            Range::between(0x1001, 0x3FFF).whole_granules(),
            Range::between(0x2000, 0x3000)
        );
        assert_eq!(Range::between(0x1001, 0x1FFF).whole_granules().size, 0);
        assert_eq!(Range::new(u64::MAX - 5, 5).whole_granules().size, 0);
    }
}
