//! The memory that a PE of the RMM has for itself, found through TPIDR_EL2.

use crate::common::per_pe::{Padded, PerPe};
use crate::rmm::MAX_PES;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::AtomicBool;

/// Bytes of the stack on which a PE reports an exception that should not have happened: its own stack may be the
/// reason.
pub const EMERGENCY_STACK: usize = 4096;

/// What assembly code needs at hand on a PE. TPIDR_EL2 points to it from the first instructions on.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct PeArea {
    /// Two general registers, while the vector of an exception in the RMM looks where it comes from.
    scratch: [u64; 2],
    /// Linear index of the PE.
    index: u64,
    /// Whether hashing has taken SIMD registers that are to be given back.
    registers_borrowed: AtomicBool,
    emergency_stack: [u64; EMERGENCY_STACK / 8],
}

/// Offset of the end of the emergency stack in a [`PeArea`].
pub const EMERGENCY_STACK_TOP: usize = offset_of!(PeArea, emergency_stack) + EMERGENCY_STACK;
/// Offset of the linear PE index in a [`PeArea`].
pub const INDEX: usize = offset_of!(PeArea, index);
/// Bytes of a [`PeArea`].
pub const SIZE: usize = size_of::<Padded<Cell>>();

const _: () = assert!(EMERGENCY_STACK_TOP.is_multiple_of(16) && offset_of!(PeArea, scratch) == 0);

/// A [`PeArea`] that its PE writes from assembly code.
#[repr(transparent)]
#[derive(Debug)]
pub struct Cell(UnsafeCell<PeArea>);

// SAFETY: the areas are accessed by assembly code and the functions below only, each by the one PE whose TPIDR_EL2 holds
// its address.
unsafe impl Sync for Cell {}

/// One area per PE.
#[unsafe(no_mangle)]
pub static RMM_PE_AREAS: PerPe<Cell, MAX_PES> = PerPe::new(
    [const {
        Padded(Cell(UnsafeCell::new(PeArea {
            scratch: [0; 2],
            index: 0,
            registers_borrowed: AtomicBool::new(false),
            emergency_stack: [0; EMERGENCY_STACK / 8],
        })))
    }; MAX_PES],
);

/// Whether hashing has taken SIMD registers of this PE that are to be given back.
#[inline]
pub(super) fn registers_borrowed() -> &'static AtomicBool {
    let area = crate::read_sysreg!("tpidr_el2") as *const AtomicBool;
    // SAFETY: the entry code pointed TPIDR_EL2 at this PE's area, which is there for good.
    unsafe { &*area.byte_add(offset_of!(PeArea, registers_borrowed)) }
}

/// Linear index of this PE.
pub fn index() -> usize {
    let area = crate::read_sysreg!("tpidr_el2") as *const u64;
    // SAFETY: the entry code pointed TPIDR_EL2 at this PE's area and stored the index there; nobody changes either.
    unsafe { area.byte_add(INDEX).read() as usize }
}
