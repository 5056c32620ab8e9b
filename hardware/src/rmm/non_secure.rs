//! Memory of the host, read and written so that it may fault at any byte.
//!
//! The host can delegate a granule, or have it taken by the Secure world, while the RMM copies from or to it. The access
//! then takes a granule protection fault to R-EL2. [`crate::rmm::vectors`] finds that the fault came from the routine
//! below and makes it return a failure instead.

use crate::common::assembly::{assembly, routines};
use crate::rmm::mmu::{ADDRESS_BITS, NON_SECURE};
use realm_monitor::platform::AccessFault;

assembly!(
    r#"
    // X0 = destination, X1 = source, X2 = number of words. X0 = 0 when done, 1 after a fault in the Non-secure window.
    // No stack, no call: X30 is the caller's at each instruction. All accesses are before rmm_copy_accesses_end.
    .pushsection .text.rmm_copy, "ax"
    .balign 64
rmm_copy_begin:
rmm_copy:
    subs    x2, x2, #16
    b.lo    2f
1:  ldp     x3, x4, [x1, #16]
    ldp     x5, x6, [x1, #32]
    ldp     x7, x8, [x1, #48]
    ldp     x9, x10, [x1, #64]
    stp     x3, x4, [x0, #16]
    stp     x5, x6, [x0, #32]
    stp     x7, x8, [x0, #48]
    stp     x9, x10, [x0, #64]
    ldp     x3, x4, [x1, #80]
    ldp     x5, x6, [x1, #96]
    ldp     x7, x8, [x1, #112]
    ldp     x9, x10, [x1], #128
    stp     x3, x4, [x0, #80]
    stp     x5, x6, [x0, #96]
    stp     x7, x8, [x0, #112]
    stp     x9, x10, [x0], #128
    subs    x2, x2, #16
    b.hs    1b
2:  tbz     x2, #3, 5f              // the number that is left, minus 16
    ldp     x3, x4, [x1, #16]
    ldp     x5, x6, [x1, #32]
    ldp     x7, x8, [x1, #48]
    ldp     x9, x10, [x1], #64
    stp     x3, x4, [x0, #16]
    stp     x5, x6, [x0, #32]
    stp     x7, x8, [x0, #48]
    stp     x9, x10, [x0], #64
5:  ands    x2, x2, #7
    b.eq    4f
3:  ldr     x3, [x1], #8
    str     x3, [x0], #8
rmm_copy_accesses_end:
    subs    x2, x2, #1
    b.ne    3b
4:  mov     x0, #0
    ret
rmm_copy_failed:
    mov     x0, #1
    ret
    .popsection
    "#
);

routines! {
    fn rmm_copy(destination: u64, source: u64, words: usize) -> u64;
}

/// Where a physical address appears in the Non-secure window, if `bytes` from it on are within reach.
fn window(pa: u64, bytes: usize) -> Result<u64, AccessFault> {
    match pa.checked_add(bytes as u64) {
        Some(end) if end <= 1 << ADDRESS_BITS => Ok(NON_SECURE + pa),
        _ => Err(AccessFault),
    }
}

fn copy(destination: u64, source: u64, words: usize) -> Result<(), AccessFault> {
    // SAFETY: one side is in the Non-secure window, which holds nothing of this program; the other is memory that the
    // callers below have for themselves (a slice of words, or a granule of the Realm window whose every other use is
    // atomic). The routine keeps to the calling convention, also after a fault.
    match unsafe { rmm_copy(destination, source, words) } {
        0 => Ok(()),
        _ => Err(AccessFault),
    }
}

/// Copies words from `pa` on.
///
/// # Errors
///
/// [`AccessFault`]: not accessible as Non-secure memory; part of `into` may have been written.
pub fn read(pa: u64, into: &mut [u64]) -> Result<(), AccessFault> {
    let source = window(pa, size_of_val(into))?;
    copy(into.as_mut_ptr() as u64, source, into.len())
}

/// Copies words to `pa` on.
///
/// # Errors
///
/// [`AccessFault`]: not accessible as Non-secure memory; part of it may have been written.
pub fn write(pa: u64, from: &[u64]) -> Result<(), AccessFault> {
    let destination = window(pa, size_of_val(from))?;
    copy(destination, from.as_ptr() as u64, from.len())
}

/// Copies one granule of Non-secure memory to the granule at address `realm` of the Realm window.
///
/// # Errors
///
/// [`AccessFault`]: not accessible as Non-secure memory; part of the destination may have been written.
///
/// # Safety
///
/// `realm` is mapped, and every other access to it is atomic.
pub unsafe fn copy_granule(pa: u64, realm: u64) -> Result<(), AccessFault> {
    copy(realm, window(pa, 4096)?, 512)
}
