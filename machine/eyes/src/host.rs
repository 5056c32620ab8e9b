//! The host's memory.

use crate::pe;

/// The host's memory is read.
///
/// # Panics
///
/// If the command has read one of these bytes before.
#[track_caller]
pub fn read(pa: u64, offset: usize, bytes: usize) {
    let again = pe::with(|pe| {
        let overlaps = |&(other, first, count): &(u64, usize, usize)| {
            other == pa && first < offset + bytes && offset < first + count
        };
        let again = pe.inside && pe.reads.iter().any(overlaps);
        pe.reads.push((pa, offset, bytes));
        again
    });
    assert!(
        !again,
        "the host's memory at {pa:#x}+{offset:#x} is read twice: it may have changed"
    );
}

/// The granule is about to be copied. One look at its first word may have gone before, to find out whether an access faults: what
/// it saw is not used, as a machine shows that changes what was looked at.
pub fn probe(pa: u64) {
    pe::with(|pe| pe.reads.retain(|&read| read != (pa, 0, 8)));
}
