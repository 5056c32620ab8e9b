//! The first instructions of the hypervisor.
//!
//! The first PE starts at the first byte of the image, every other PE at `host_secondary` by PSCI `CPU_ON`; both at
//! NS-EL2 with the MMU off and all interrupts masked. Each PE has a stack of its own.

use core::ops::Range;

use crate::common::assembly::{assembly, symbol};

/// How many PEs have a stack.
pub const MAX_PES: usize = 128;

/// Bytes between two stacks: the stack and, below it, [`GUARD_SIZE`] that nobody may touch.
pub(super) const STACK_SIZE: usize = 0x8000;
/// Bytes below each stack that are not mapped.
pub(super) const GUARD_SIZE: u64 = 0x1000;

/// `HCR_EL2`: lower exception levels are AArch64, physical interrupts come to EL2; without the host extensions.
const HCR: u64 = 1 << 31 | 1 << 5 | 1 << 4 | 1 << 3;
/// `SCTLR_EL2` with the MMU off: its RES1 bits.
const SCTLR: u64 = 0x30C5_0830;

assembly!(
    r#"
    // In:  x0 address of the device tree, or anything.
    .section .text.entry, "ax"
    .global host_primary
host_primary:
    adrp    x9, __bss_start
    add     x9, x9, :lo12:__bss_start
    adrp    x10, __bss_end
    add     x10, x10, :lo12:__bss_end
1:  cmp     x9, x10
    b.hs    2f
    stp     xzr, xzr, [x9], #16
    b       1b
2:  mov     x11, #0
    adrp    x12, {primary}
    add     x12, x12, :lo12:{primary}
    b       host_stack

    // In:  x0 index of this PE, the context argument of CPU_ON.
    .global host_secondary
host_secondary:
    mov     x11, x0
    adrp    x12, {secondary}
    add     x12, x12, :lo12:{secondary}

    // In:  x11 index of this PE, x12 where to go.
host_stack:
    msr     daifset, #0xf
    ldr     x9, ={hcr}
    msr     hcr_el2, x9
    ldr     x9, ={sctlr}
    msr     sctlr_el2, x9
    isb
    adrp    x9, __stacks_start
    add     x9, x9, :lo12:__stacks_start
    add     x10, x11, #1
    mov     x13, #{stack_size}
    madd    x9, x10, x13, x9
    mov     sp, x9
    msr     tpidr_el2, x11
    mov     x29, xzr
    mov     x30, xzr
    br      x12
    .ltorg

    .section .stacks, "aw", %nobits
    .balign 4096
    .global __stacks_start
__stacks_start:
    .skip   {max_pes} * {stack_size}
"#,
    primary = sym super::start::primary,
    secondary = sym super::start::secondary,
    hcr = const HCR,
    sctlr = const SCTLR,
    max_pes = const MAX_PES,
    stack_size = const STACK_SIZE,
);

/// All stacks.
pub(super) fn stacks() -> Range<u64> {
    let start = symbol!(__stacks_start);
    start..start + (MAX_PES * STACK_SIZE) as u64
}

/// The address of the first instruction of a PE that `CPU_ON` starts.
pub(super) fn secondary_entry() -> u64 {
    symbol!(host_secondary)
}
