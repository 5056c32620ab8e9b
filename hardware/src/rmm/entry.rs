//! The first instructions of an RMM image, for cold boot (the first PE) and warm boot (every later entry).
//!
//! Nothing is assumed beyond section "boot interface" of the RMM-EL3 communication specification: EL2h of Realm state
//! with all interrupts masked, MMU and caches off, X0 = linear PE index, and on cold boot X1 = interface version, X2 =
//! number of PEs, X3 = shared buffer. Whether a boot is the cold one is told by a flag in the image itself.

use crate::common::assembly::assembly;
use crate::rmm::{MAX_PES, STACKS, per_pe};

/// Bytes of a stack and its alignment. The lowest page is never mapped.
pub const STACK: usize = 64 * 1024;

/// HCR_EL2 while the RMM itself runs: TGE, E2H (the EL2&0 regime), TEA.
pub const HCR_MONITOR: u64 = 1 << 27 | 1 << 34 | 1 << 37;

/// CPTR_EL2 (layout with E2H) while the RMM itself runs: FP, SVE, SME, trace and activity monitors trapped.
pub const CPTR_MONITOR: u64 = 1 << 28 | 1 << 30;

/// SCTLR_EL2 bits that are one with E2H and TGE, MMU on or off: LSMAOE, nTLSMD, SPAN, EIS, TSCXT, nTWE, nTWI, EOS, SED,
/// ITD, SA.
pub const SCTLR_BASE: u64 = 1 << 29
    | 1 << 28
    | 1 << 23
    | 1 << 22
    | 1 << 20
    | 1 << 18
    | 1 << 16
    | 1 << 11
    | 1 << 8
    | 1 << 7
    | 1 << 3;

/// SCTLR_EL2 bits that turn translation and caches on: M, C, I; and WXN, nothing writable is executable.
pub const SCTLR_TRANSLATION: u64 = 1 | 1 << 2 | 1 << 12 | 1 << 19;

/// RMM_BOOT_COMPLETE.
const BOOT_COMPLETE: u64 = 0xC400_01CF;

assembly!(
    r#"
    .pushsection .text.entry, "ax"
    .global rmm_entry
rmm_entry:
    // The boot arguments stay in X0..X3; X4 and up are free.
    ldr     x4, ={sctlr}
    msr     sctlr_el2, x4
    ldr     x4, ={hcr}
    msr     hcr_el2, x4
    isb
    ldr     x4, ={cptr}
    msr     cptr_el2, x4
    mov     x4, #0xF
    msr     S3_4_C12_C9_5, x4           // ICC_SRE_EL2
    isb

    // Code and data know their addresses: elsewhere nothing would work.
    adr     x4, rmm_entry
    ldr     x5, =rmm_entry
    cmp     x4, x5
    mov     x6, #-1
    b.ne    9f
    cmp     x0, #{max_pes}
    mov     x6, #-4
    b.hs    9f

    adrp    x4, rmm_vectors
    add     x4, x4, :lo12:rmm_vectors
    msr     vbar_el2, x4

    adrp    x4, rmm_cold_boot_pending
    add     x4, x4, :lo12:rmm_cold_boot_pending
    ldr     w7, [x4]
    cbz     w7, 3f

    // Cold boot. Nothing of the image may linger in the data cache: the MMU is off, so stores bypass it.
    mrs     x5, ctr_el0
    ubfx    x5, x5, #16, #4
    mov     x6, #4
    lsl     x5, x6, x5
    adrp    x8, rmm_image_begin
    adrp    x9, rmm_image_end
1:  dc      civac, x8
    add     x8, x8, x5
    cmp     x8, x9
    b.lo    1b
    dsb     sy

    adrp    x8, rmm_bss_begin
    adrp    x9, rmm_bss_end
2:  stp     xzr, xzr, [x8], #16
    cmp     x8, x9
    b.lo    2b
    str     wzr, [x4]
    dsb     sy

    // Both boots: this PE's area and stack.
3:  adrp    x4, RMM_PE_AREAS
    add     x4, x4, :lo12:RMM_PE_AREAS
    mov     x5, #{area_size}
    madd    x4, x0, x5, x4
    msr     tpidr_el2, x4
    str     x0, [x4, #{area_index}]
    adrp    x4, rmm_stacks
    mov     x5, #{stack}
    add     x6, x0, #1
    madd    x4, x6, x5, x4
    mov     sp, x4
    mov     x29, xzr
    mov     x30, xzr
    cbz     w7, 4f
    bl      rmm_cold_boot

    // Translation on. No stack here: with the MMU off a store would pass by what an earlier life of this PE may have
    // left in the data cache.
4:  adrp    x4, RMM_TRANSLATION
    add     x4, x4, :lo12:RMM_TRANSLATION
    ldp     x5, x6, [x4]
    ldp     x7, x8, [x4, #16]
    msr     mair_el2, x5
    msr     tcr_el2, x6
    msr     ttbr0_el2, x7
    msr     S3_4_C2_C0_1, x8            // TTBR1_EL2
    tlbi    alle2
    ic      iallu
    dsb     nsh
    isb
    ldr     x5, ={sctlr_on}
    msr     sctlr_el2, x5
    isb
    bl      rmm_start
    b       .

9:  // Not bootable: X6 says why.
    ldr     x0, ={boot_complete}
    mov     x1, x6
    mov     x2, xzr
    smc     #0
    b       9b
    .ltorg
    .popsection

    .pushsection .data.rmm_cold_boot_pending, "aw"
    .balign 8
rmm_cold_boot_pending:
    .word   1
    .word   0
    .popsection

    .pushsection .stacks, "aw", %nobits
    .balign {stack}
    .global rmm_stacks
rmm_stacks:
    .space  {stack} * {stacks}
    .popsection
    "#,
    sctlr = const SCTLR_BASE,
    hcr = const HCR_MONITOR,
    cptr = const CPTR_MONITOR,
    max_pes = const MAX_PES,
    stacks = const STACKS,
    area_size = const per_pe::SIZE,
    area_index = const per_pe::INDEX,
    stack = const STACK,
    boot_complete = const BOOT_COMPLETE,
    sctlr_on = const SCTLR_BASE | SCTLR_TRANSLATION,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(positions: &[u32]) -> u64 {
        positions.iter().fold(0, |value, bit| value | 1 << bit)
    }

    #[test]
    fn the_monitor_runs_with_what_the_architecture_names() {
        // TGE, E2H, TEA
        assert_eq!(HCR_MONITOR, bits(&[27, 34, 37]));
        // TTA, TAM; and FPEN (20, 21), ZEN (16, 17) and SMEN (24, 25) zero
        assert_eq!(CPTR_MONITOR, bits(&[28, 30]));
        // LSMAOE, nTLSMD, SPAN, EIS, TSCXT, nTWE, nTWI, EOS, SED, ITD, SA
        let base = bits(&[29, 28, 23, 22, 20, 18, 16, 11, 8, 7, 3]);
        assert_eq!(SCTLR_BASE, base);
        // M, C, I, WXN
        assert_eq!(SCTLR_TRANSLATION, bits(&[0, 2, 12, 19]));
    }
}
