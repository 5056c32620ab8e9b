//! All system registers of this vCPU, by their encodings.

use crate::common::encodings::{WRITE, encodings};

encodings!("el1" guest_encodings);

/// The first encoding from `from` on and before `end` that can be read, and what is read.
pub(super) fn next_readable(from: u64, end: u64) -> Option<(u64, u64)> {
    first_readable(from, end)
}

/// Writes a register, if it can be written.
///
/// # Safety
///
/// The program does not run on what is written over.
pub(super) unsafe fn write(encoding: u64, mut value: u64) {
    // SAFETY: the caller's promise; the rest is as in a read.
    unsafe { guest_encodings(WRITE, encoding, encoding + 1, &raw mut value) };
}
