//! The first instructions of a PE, and its way back to an empty stack.

use super::context::{CPTR_VECTORS, MDCR};
use super::gic::DISTRIBUTOR_READY;
use super::layout::{BLOCK, GICD, MAX_PES, PE_SHIFT, PeMemory};
use crate::common::assembly::{assembly, routines};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// Memory of all PEs. Each PE uses only its own element.
#[repr(transparent)]
pub(super) struct AllPes(UnsafeCell<[MaybeUninit<PeMemory>; MAX_PES]>);

// SAFETY: element `n` is used by PE `n` alone, through its stack pointer. The one exception, the `forward` word, is
// accessed as an atomic.
unsafe impl Sync for AllPes {}

impl AllPes {
    /// Address of the first element.
    pub(super) fn address(&self) -> usize {
        self.0.get() as usize
    }
}

/// Stacks and blocks, in memory that the entry code does not clear.
#[cfg_attr(target_os = "none", unsafe(link_section = ".pes"))]
#[unsafe(no_mangle)]
pub(super) static PE_MEMORY: AllPes =
    AllPes(UnsafeCell::new([const { MaybeUninit::uninit() }; MAX_PES]));

/// Address of the page below the stack of a PE. It is not mapped.
pub(super) fn guard_of(pe: usize) -> u64 {
    (PE_MEMORY.address() + (pe << PE_SHIFT)) as u64
}

/// SCTLR_EL3 with the MMU off: RES1, instruction cache, stack alignment check.
pub(super) const SCTLR_OFF: u64 = 0x30C5_0830 | 1 << 12 | 1 << 3;

assembly!(
    r#"
    .pushsection .text.entry, "ax"
    .global _start
    // Position independent: every PE runs it in flash, secondaries until the primary has made what they go on with.
_start:
    msr     daifset, #0xf
    ldr     x0, =SCTLR_OFF
    msr     sctlr_el3, x0
    ldr     x0, =CPTR_VECTORS
    msr     cptr_el3, x0
    isb
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #32, #4
    cbz     x0, 1f
    mov     x0, #0xf
    msr     s3_6_c1_c2_0, x0            // ZCR_EL3: every vector length
1:  mrs     x0, id_aa64pfr1_el1
    ubfx    x0, x0, #24, #4
    cbz     x0, 2f
    mov     x0, #0xf
    orr     x0, x0, #1 << 31
    msr     s3_6_c1_c2_6, x0            // SMCR_EL3: every vector length, all instructions
2:  ldr     x0, =MDCR_EL3_VALUE
    msr     mdcr_el3, x0

    bl      el3_own_index
    cbnz    x19, 5f

    // Primary: the image to where it was linked, no static variables, and on.
    adr     x0, _start
    ldr     x1, =__image_start
    ldr     x2, =__image_end
    cmp     x0, x1
    b.eq    4f
3:  ldp     x3, x4, [x0], #16
    stp     x3, x4, [x1], #16
    cmp     x1, x2
    b.lo    3b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
4:  ldr     x1, =__bss_start
    ldr     x2, =__bss_end
6:  cmp     x1, x2
    b.hs    7f
    stp     xzr, xzr, [x1], #16
    b       6b
7:  ldr     x20, =8f
    br      x20
8:  bl      el3_set_stack
    bl      el3_primary
    b       .

    // Secondary: wait for the moment, soon, at which the primary has built what this PE goes on with. Memory may be that of
    // before a reset, and say so from then; but a reset resets the distributor, which the primary sets up after it has
    // cleared that memory.
5:  cmp     x19, #{max_pes}
    b.hs    9f
    ldr     x0, =EL3_BUILT
    mov     x2, #{distributor_control}
    ldr     x20, =12f
10: ldr     w1, [x2]                    // GICD_CTLR
    tbz     w1, #{distributor_ready}, 11f
    dsb     sy
    ldr     x1, [x0]
    cbnz    x1, 13f
11: wfe
    b       10b
13: isb
    br      x20
9:  wfi                                 // no room for this PE
    b       9b
12: bl      el3_set_stack
    bl      el3_secondary
    b       .

    // The stack of PE x19, below its block. Uses x0, x1.
    .global el3_set_stack
el3_set_stack:
    msr     spsel, #1
    ldr     x0, =PE_MEMORY
    add     x0, x0, x19, lsl #{pe_shift}
    mov     x1, #{block}
    add     x0, x0, x1
    mov     sp, x0
    mov     x1, x19
    ret

    // x19: linear index of this PE, of which there are 16 for each value of Aff1 on this machine. Uses x0, x1.
    .global el3_own_index
el3_own_index:
    mrs     x0, mpidr_el1
    ubfx    x1, x0, #8, #8
    and     x0, x0, #0xff
    add     x19, x0, x1, lsl #4
    ret

    .global el3_turn_off
    // x0: index. Goes on as a PE that is off, with an empty stack.
el3_turn_off:
    mov     x19, x0
    bl      el3_set_stack
    bl      el3_off
    b       .
    .ltorg
    .popsection

    .set SCTLR_OFF, {sctlr}
    .set CPTR_VECTORS, {cptr}
    .set MDCR_EL3_VALUE, {mdcr}
    "#,
    max_pes = const MAX_PES,
    pe_shift = const PE_SHIFT,
    block = const BLOCK,
    sctlr = const SCTLR_OFF,
    cptr = const CPTR_VECTORS,
    mdcr = const MDCR,
    distributor_control = const GICD,
    distributor_ready = const DISTRIBUTOR_READY,
);

routines! {
    fn el3_turn_off(index: u64) -> !;
}

/// Goes on as a PE that is off; starts over when it is turned on.
///
/// # Safety
///
/// Nothing on the stack of PE `index`, which must be the calling one, is used afterwards.
pub(super) unsafe fn turn_off(index: u64) -> ! {
    // SAFETY: the caller gives up the stack.
    unsafe { el3_turn_off(index) }
}
