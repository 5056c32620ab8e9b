//! Memory seen as atomic words, and data cache maintenance.

use crate::common::assembly::operation;
use crate::common::barrier;
use core::sync::atomic::AtomicU64;

/// `count` 64-bit words of memory from `address` on.
///
/// # Safety
///
/// The range must be mapped, readable and writable, for the rest of the program; `address` a multiple of eight; and
/// this program must reach it through atomic accesses (or instructions outside the language) only.
pub unsafe fn words(address: usize, count: usize) -> &'static [AtomicU64] {
    // SAFETY: the caller's promise; `AtomicU64` has the size and alignment of a word and any bit pattern is a value.
    unsafe { core::slice::from_raw_parts(address as *const AtomicU64, count) }
}

/// Bytes in the smallest data cache line of the system (CTR_EL0.DminLine).
pub fn data_line() -> usize {
    4 << ((crate::read_sysreg!("ctr_el0") >> 16) & 0xF)
}

/// Cleans and invalidates a range of the data cache to the point of coherency, and completes that.
pub fn clean_and_invalidate(address: usize, bytes: usize) {
    let line = data_line();
    let mut at = address & !(line - 1);
    while at < address + bytes {
        // SAFETY: writing a line back and dropping it does not change what memory holds for this program.
        unsafe { operation!("dc civac", at) };
        at += line;
    }
    barrier::dsb_sy();
}
