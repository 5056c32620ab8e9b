//! The machine's memory outside of the image.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};

use super::{heap, translation};

/// Memory that the hypervisor reaches as words, all of it shared: with the RMM, with realms, and between PEs.
///
/// There is one value of this type. What it hands out for other use ([`heap`](Self::heap), [`bytes`](Self::bytes))
/// it does not show as words any more.
#[derive(Debug)]
pub struct Dram {
    present: Ranges,
    taken: Ranges,
}

static CLAIMED: AtomicBool = AtomicBool::new(false);

impl Dram {
    /// The one value, without any memory; `None` from the second call on.
    pub fn claim() -> Option<Self> {
        let first = !CLAIMED.swap(true, Ordering::Relaxed);
        first.then(|| Self {
            present: Ranges::new(),
            taken: Ranges::new(),
        })
    }

    /// The image, its data and its stacks, which are no part of this memory.
    pub fn image() -> Range<u64> {
        translation::image()
    }

    /// Adds memory that the machine has and that the normal world may use, and maps it. Ends inside of a granule are
    /// left out, as is everything from 2^48 on.
    ///
    /// # Panics
    ///
    /// If it is more than the tenth separate range.
    pub fn add(&mut self, range: Range<u64>) {
        let range = range.start.next_multiple_of(GRANULE_SIZE)
            ..range.end.min(1 << 48) & !(GRANULE_SIZE - 1);
        if !range.is_empty() {
            translation::map_memory(range.clone());
            self.present.push(range);
        }
    }

    /// Gives a range to the heap.
    ///
    /// # Panics
    ///
    /// If the range is not all memory that nobody has.
    pub fn heap(&mut self, range: Range<u64>) {
        self.take(range.clone());
        // SAFETY: the range is mapped memory outside of the image (`take` checks both), and from now on nobody else's.
        unsafe { heap::add(range) };
    }

    /// Gives a range as bytes that do not change any more.
    ///
    /// # Panics
    ///
    /// If the range is not all memory that nobody has.
    pub fn bytes(&mut self, range: Range<u64>) -> &'static [u8] {
        self.take(range.clone());
        let length = (range.end - range.start) as usize;
        // SAFETY: the range is mapped memory outside of the image (`take` checks both), and from now on nobody writes
        // to it.
        unsafe { core::slice::from_raw_parts(range.start as *const u8, length) }
    }

    /// Gives whole granules as words that somebody outside of the program changes as well.
    ///
    /// # Panics
    ///
    /// If the range is not all memory that nobody has, or does not consist of granules.
    pub(super) fn words(&mut self, range: Range<u64>) -> &'static [AtomicU64] {
        let whole = (range.start | range.end).is_multiple_of(GRANULE_SIZE);
        assert!(whole, "memory {range:#x?} does not consist of granules");
        self.take(range.clone());
        let count = (range.end - range.start) as usize / size_of::<u64>();
        // SAFETY: the range is mapped memory outside of the image (`take` checks both), aligned (checked above), and from now on
        // nobody else's in this program; who else there is reaches it by whole words, too.
        unsafe { core::slice::from_raw_parts(range.start as *const AtomicU64, count) }
    }

    fn take(&mut self, range: Range<u64>) {
        assert!(self.is_free(&range), "memory {range:#x?} is not to be had");
        self.taken.push(range);
    }

    fn is_free(&self, range: &Range<u64>) -> bool {
        let image = translation::image();
        let in_image = range.start < image.end && image.start < range.end;
        self.present.contain(range) && !self.taken.overlap(range) && !in_image
    }

    /// The words of the granule at `address`.
    ///
    /// An access to a granule that is not the normal world's is an exception, which ends the program.
    ///
    /// # Panics
    ///
    /// If it is not the address of a granule of memory that nobody has.
    pub fn granule(&self, address: u64) -> &[AtomicU64; GRANULE_WORDS] {
        let free = address.is_multiple_of(GRANULE_SIZE)
            && self.is_free(&(address..address + GRANULE_SIZE));
        assert!(free, "{address:#x} is no granule of the host's");
        // SAFETY: the granule is mapped memory outside of the image and of what was taken (checked above), aligned, and
        // reached by this program through atomic words only.
        unsafe { &*(address as *const [AtomicU64; GRANULE_WORDS]) }
    }
}

/// A few ranges of addresses.
#[derive(Debug)]
struct Ranges {
    ranges: [Range<u64>; 10],
    count: usize,
}

impl Ranges {
    const fn new() -> Self {
        Self {
            ranges: [const { 0..0 }; 10],
            count: 0,
        }
    }

    fn push(&mut self, range: Range<u64>) {
        assert!(
            self.count < self.ranges.len(),
            "too many separate ranges of memory"
        );
        self.ranges[self.count] = range;
        self.count += 1;
    }

    fn contain(&self, range: &Range<u64>) -> bool {
        self.iter()
            .any(|own| own.start <= range.start && range.end <= own.end && range.start <= range.end)
    }

    fn overlap(&self, range: &Range<u64>) -> bool {
        self.iter()
            .any(|own| own.start < range.end && range.start < own.end)
    }

    fn iter(&self) -> core::slice::Iter<'_, Range<u64>> {
        self.ranges[..self.count].iter()
    }
}
