//! The granule protection check: its registers, its storage, its maintenance.

use super::layout::SECURE_RAM;
use crate::common::assembly::{operation, symbol};
use crate::common::barrier::{dsb_osh, dsb_oshst, dsb_sy, isb};
use crate::common::memory;
use crate::write_sysreg;
use aarch64_formats::gpt::{AddressSpace, L1_BYTES, ProtectedSpace, gpccr, tlbi_granule};
use cca_abi::GRANULE_SIZE;
use core::sync::atomic::AtomicU64;
use root_monitor::memory::Range;

/// What is protected: the first TiB.
pub(super) const SPACE: ProtectedSpace = ProtectedSpace::TIB_1;

#[repr(C, align(8192))]
struct L0Table([AtomicU64; SPACE.l0_entries()]);

/// Survives a reset.
#[cfg_attr(target_os = "none", unsafe(link_section = ".kept"))]
static L0: L0Table = L0Table([const { AtomicU64::new(0) }; SPACE.l0_entries()]);

/// The memory of the tables and of what else survives a reset: what is written here is written through.
pub(super) fn kept() -> Range {
    Range::between(symbol!(__kept_start), SECURE_RAM.end())
}

/// Storage of the level 0 table.
pub(super) fn l0() -> &'static [AtomicU64] {
    &L0.0
}

/// Storage of the level 1 tables: the rest of the secure RAM, and its PA.
pub(super) fn l1() -> (&'static [AtomicU64], u64) {
    // The first address after everything that the image uses.
    let start = symbol!(__free_start).next_multiple_of(L1_BYTES);
    let bytes = (SECURE_RAM.end() - start) / L1_BYTES * L1_BYTES;
    // SAFETY: secure RAM behind the image, mapped for good, which nothing else uses.
    (
        unsafe { memory::words(start as usize, bytes as usize / 8) },
        start,
    )
}

/// Turns the check on for this PE.
///
/// # Safety
///
/// The level 0 table must be valid and let the root monitor reach its own memory.
pub(super) unsafe fn enable() {
    dsb_sy();
    // SAFETY: the caller's promise; the sequence is the one of the architecture, before the MMU of this PE is on.
    unsafe {
        write_sysreg!("s3_6_c2_c1_4", l0().as_ptr() as u64 >> 12); // GPTBR_EL3
        write_sysreg!("s3_6_c2_c1_6", gpccr(SPACE, false)); // GPCCR_EL3
        isb();
        invalidate_all();
        write_sysreg!("s3_6_c2_c1_6", gpccr(SPACE, true));
        isb();
    }
    invalidate_all();
}

/// Forgets everything cached about protection, on all PEs. Complete on return.
pub(super) fn invalidate_all() {
    dsb_sy();
    // SAFETY: TLBI PAALLOS only makes later accesses read the table again.
    unsafe { operation!("sys #6, c8, c1, #4") };
    dsb_sy();
    isb();
}

/// Publishes stores to the table and forgets what is cached about one granule, on all PEs. Complete on return.
#[inline]
pub(super) fn invalidate_granule(address: u64) {
    dsb_oshst();
    // SAFETY: TLBI RPALOS only makes later accesses read the table again.
    unsafe { operation!("sys #6, c8, c4, #7", tlbi_granule(address)) };
    dsb_osh();
}

/// Writes back and drops the cached lines of one granule in one alias. Complete on return.
#[inline]
pub(super) fn clean_granule(alias: AddressSpace, address: u64) {
    const UNROLL: usize = 16;
    let line = memory::data_line() as u64;
    let mut at = address | alias.bits();
    let end = at + GRANULE_SIZE;
    // A line is at most 2 KiB, but for lines up to 256 bytes sixteen at a time end exactly at the granule's end.
    if line * UNROLL as u64 <= GRANULE_SIZE {
        while at < end {
            for _ in 0..UNROLL {
                // SAFETY: DC CIPAPA changes no memory as this program sees it: it is not translated and not checked, and
                // the contents of a granule that changes worlds are nobody's.
                unsafe { operation!("sys #6, c7, c14, #1", at) };
                at += line;
            }
        }
    } else {
        while at < end {
            // SAFETY: as above.
            unsafe { operation!("sys #6, c7, c14, #1", at) };
            at += line;
        }
    }
    dsb_osh();
}
