//! All system registers of this PE, by their encodings.

use super::simd::CPTR;
use crate::common::barrier;
use crate::common::encodings::encodings;
use crate::{read_sysreg, write_sysreg};

encodings!("el2" host_encodings);

/// The first encoding from `from` on and before `end` that can be read at EL2, and what is read. None of them is one whose
/// read changes something, says the caller. The registers of FP, SVE and SME are open.
#[must_use]
pub fn next_readable(from: u64, end: u64) -> Option<(u64, u64)> {
    let kept = read_sysreg!("cptr_el2");
    // SAFETY: compiled code uses none of the registers. Without TSM.
    unsafe { write_sysreg!("cptr_el2", CPTR & !(1 << 12)) };
    barrier::isb();
    let found = first_readable(from, end);
    // SAFETY: what was there.
    unsafe { write_sysreg!("cptr_el2", kept) };
    barrier::isb();
    found
}
