//! The first instructions of a program in a realm.
//!
//! vCPU 0 starts at the first byte of the image, every other vCPU at `guest_secondary` by PSCI `CPU_ON`; both at EL1
//! with the MMU off and all interrupts masked, and with nothing but X0-X7 from the host (RMM specification 1.0-rel0,
//! `RmiRecParams`). Each vCPU has a stack of its own, found by the index that its MPIDR encodes.

use core::ops::Range;

use crate::common::assembly::{assembly, symbol};

/// How many vCPUs have a stack. A vCPU with a higher index does not come up.
pub const MAX_VCPUS: usize = 128;

/// Bytes between two stacks: two pages of stack and, below them, [`GUARD_SIZE`] that nobody may touch.
pub(super) const STACK_SIZE: usize = 0x3000;
/// Bytes below each stack that are not mapped.
pub(super) const GUARD_SIZE: u64 = 0x1000;

assembly!(
    r#"
    // In:  x0-x4 arguments of the program.
    .section .text.entry, "ax"
    .global guest_primary
guest_primary:
    // The memory behind the image holds anything: make the zeroed data zero. No stack yet.
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
    b       guest_stack

    // In:  x0 context argument of CPU_ON.
    .global guest_secondary
guest_secondary:
    // REC index: Aff0[3:0], Aff1 << 4 (RMM specification 1.0-rel0, `RmiRecMpidr`).
    mrs     x9, mpidr_el1
    and     x11, x9, #0xf
    ubfx    x9, x9, #8, #8
    orr     x11, x11, x9, lsl #4
    adrp    x12, {secondary}
    add     x12, x12, :lo12:{secondary}

    // In:  x11 index of this vCPU, x12 where to go.
guest_stack:
    cmp     x11, #{max_vcpus}
    b.hs    3f
    adrp    x9, __stacks_start
    add     x9, x9, :lo12:__stacks_start
    add     x10, x11, #1
    mov     x13, #{stack_size}
    madd    x9, x10, x13, x9
    mov     sp, x9
    mov     x29, xzr
    mov     x30, xzr
    mov     x5, x11
    br      x12
    // There is no stack for this vCPU: PSCI CPU_OFF.
3:  movz    x0, #0x8400, lsl #16
    movk    x0, #0x0002
    smc     #0
    b       3b

    .section .stacks, "aw", %nobits
    .balign 4096
    .global __stacks_start
__stacks_start:
    .skip   {max_vcpus} * {stack_size}
"#,
    primary = sym super::start::primary,
    secondary = sym super::start::secondary,
    max_vcpus = const MAX_VCPUS,
    stack_size = const STACK_SIZE,
);

/// The image, its data and its stacks.
pub(super) fn image() -> Range<u64> {
    symbol!(__image_start)..symbol!(__image_end)
}

/// All stacks.
pub(super) fn stacks() -> Range<u64> {
    let start = symbol!(__stacks_start);
    start..start + (MAX_VCPUS * STACK_SIZE) as u64
}

/// The address of the first instruction of a vCPU that `CPU_ON` starts.
pub(super) fn secondary_entry() -> u64 {
    symbol!(guest_secondary)
}
