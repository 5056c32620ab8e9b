//! Free memory as a set of extents.

use alloc::collections::BTreeMap;
use core::ops::Range;

/// Address ranges that do not touch each other, by their start.
#[derive(Debug, Default)]
pub(crate) struct Extents {
    by_start: BTreeMap<u64, u64>,
    size: u64,
}

impl Extents {
    /// Adds a range of which nothing is in the set. It grows together with its neighbours.
    pub(crate) fn add(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        self.size += end - start;
        if let Some((&before, &before_end)) = self.by_start.range(..=start).next_back() {
            debug_assert!(before_end <= start, "{start:#x} is free already");
            if before_end == start {
                start = before;
            }
        }
        if let Some(&after_end) = self.by_start.get(&end) {
            self.by_start.remove(&end);
            end = after_end;
        }
        self.by_start.insert(start, end);
    }

    /// Takes a range out, as far as it is in the set.
    pub(crate) fn remove(&mut self, range: Range<u64>) {
        while let Some((&start, &end)) = self
            .by_start
            .range(..range.end)
            .next_back()
            .filter(|&(_, &end)| range.start < end)
        {
            self.by_start.remove(&start);
            self.size -= end - start;
            self.keep(start, range.start.min(end));
            self.keep(range.end.max(start), end);
        }
    }

    /// Takes `size` bytes out, the lowest that start at a multiple of `align` (a power of two).
    pub(crate) fn take(&mut self, size: u64, align: u64) -> Option<u64> {
        let fit = |(&start, &end): (&u64, &u64)| {
            let at = start.checked_next_multiple_of(align)?;
            (at.checked_add(size)? <= end).then_some((start, end, at))
        };
        let (start, end, at) = self.by_start.iter().find_map(fit)?;
        self.by_start.remove(&start);
        self.size -= end - start;
        self.keep(start, at);
        self.keep(at + size, end);
        Some(at)
    }

    /// Whether all of a range is in the set.
    pub(crate) fn contains(&self, range: Range<u64>) -> bool {
        let extent = self.by_start.range(..=range.start).next_back();
        extent.is_some_and(|(_, &end)| range.start <= range.end && range.end <= end)
    }

    /// The extents in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.by_start.iter().map(|(&start, &end)| start..end)
    }

    /// Bytes in the set.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    fn keep(&mut self, start: u64, end: u64) {
        if start < end {
            self.size += end - start;
            self.by_start.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Extents;
    use alloc::vec::Vec;

    fn all(extents: &Extents) -> Vec<(u64, u64)> {
        let sum: u64 = extents.iter().map(|range| range.end - range.start).sum();
        assert_eq!(extents.size(), sum);
        extents
            .iter()
            .map(|range| (range.start, range.end))
            .collect()
    }

    #[test]
    fn what_is_given_back_grows_together() {
        let mut extents = Extents::default();
        extents.add(0x1000..0x2000);
        extents.add(0x3000..0x4000);
        extents.add(0x5000..0x5000);
        assert_eq!(all(&extents), [(0x1000, 0x2000), (0x3000, 0x4000)]);
        extents.add(0x2000..0x3000);
        assert_eq!(all(&extents), [(0x1000, 0x4000)]);
        assert_eq!(extents.size(), 0x3000);
    }

    #[test]
    fn the_lowest_aligned_place_is_taken() {
        let mut extents = Extents::default();
        extents.add(0x1000..0x8000);
        extents.add(0x10000..0x20000);
        assert_eq!(extents.take(0x2000, 0x2000), Some(0x2000));
        assert_eq!(
            all(&extents),
            [(0x1000, 0x2000), (0x4000, 0x8000), (0x10000, 0x20000)]
        );
        assert_eq!(extents.take(0x1000, 0x1000), Some(0x1000));
        assert_eq!(extents.take(0x8000, 0x8000), Some(0x10000));
        assert_eq!(extents.take(0x10000, 0x1000), None);
        assert_eq!(extents.take(0x1000, 1 << 63), None);
    }

    #[test]
    fn a_range_is_contained_only_as_a_whole() {
        let mut extents = Extents::default();
        extents.add(0x1000..0x4000);
        extents.add(0x6000..0x9000);
        assert!(extents.contains(0x1000..0x4000) && extents.contains(0x7000..0x8000));
        for outside in [
            0x0..0x2000,
            0x3000..0x5000,
            0x3000..0x7000,
            0x4000..0x5000,
            0x9000..0xA000,
        ] {
            assert!(!extents.contains(outside));
        }
    }

    #[test]
    fn holes_are_cut_wherever_they_lie() {
        let mut extents = Extents::default();
        extents.add(0x1000..0x4000);
        extents.add(0x6000..0x9000);
        extents.remove(0x2000..0x3000);
        assert_eq!(
            all(&extents),
            [(0x1000, 0x2000), (0x3000, 0x4000), (0x6000, 0x9000)]
        );
        extents.remove(0x3000..0x7000);
        assert_eq!(all(&extents), [(0x1000, 0x2000), (0x7000, 0x9000)]);
        extents.remove(0x9000..0xA000);
        extents.remove(0x0..0x1000);
        assert_eq!(all(&extents), [(0x1000, 0x2000), (0x7000, 0x9000)]);
        extents.remove(0x0..0xF000);
        assert_eq!(all(&extents), []);
    }
}
