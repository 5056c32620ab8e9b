//! The SIMD registers of this PE, for tests of who keeps them.

use crate::common::barrier;
use crate::common::vectors::{self, Kind};
use crate::write_sysreg;

/// `CPTR_EL2` without the host extensions: its RES1 bits, and TSM. FP, Advanced SIMD and SVE are open.
pub(super) const CPTR: u64 = 0x22FF | 1 << 12;

/// Opens the registers, and with `length` other than 0 sets vectors of `length` * 128 bits.
pub(super) fn open(length: u64) {
    // SAFETY: compiled code uses none of the registers.
    unsafe { write_sysreg!("cptr_el2", CPTR) };
    barrier::isb();
    if length != 0 {
        // SAFETY: as above. ZCR_EL2; the CPU has SVE, says the caller.
        unsafe { write_sysreg!("s3_4_c1_c2_0", length - 1) };
        barrier::isb();
    }
}

/// Fills V0 to V31 with what `seed` says, or if `length` is not 0 all registers of SVE with vectors of `length` * 128
/// bits, on a CPU that has that.
pub fn fill_vectors(length: u64, seed: u64) {
    open(length);
    // SAFETY: the registers are open.
    unsafe { vectors::fill(Kind::of(length != 0), seed) };
}

/// Number of bytes of the registers that are not what [`fill_vectors`] with these arguments leaves in them.
pub fn vector_differences(length: u64, seed: u64) -> u64 {
    open(length);
    // SAFETY: the registers are open.
    unsafe { vectors::differences(Kind::of(length != 0), seed) }
}
