//! Whole sets of SIMD registers, to and from memory.
//!
//! Compiled code uses none of them (the images are built for software floating point), so a program may fill and empty
//! them as it likes; each function needs access to them at its exception level.

use crate::common::assembly::{assembly, routines};

assembly!(
    r#"
    .pushsection .text.simd, "ax"
    .arch_extension fp
    .arch_extension simd
    .arch_extension sve

    // X0 = 512 bytes, 16-byte aligned.
simd_store_v:
    stp     q0, q1, [x0, #0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    ret
simd_load_v:
    ldp     q0, q1, [x0, #0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    ret

    // X0 = 16 vectors, X1 = 16 more.
simd_store_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    str     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    str     z\n, [x1, #(\n - 16), mul vl]
    .endr
    ret
simd_load_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    ldr     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ldr     z\n, [x1, #(\n - 16), mul vl]
    .endr
    ret
simd_vector_bytes:
    rdvl    x0, #1
    ret

    // X0 = 17 predicates: P0 to P15 (and FFR where there is access to it: X1 is not zero).
simd_store_p:
    str     p0, [x0, #0, mul vl]
    str     p1, [x0, #1, mul vl]
    str     p2, [x0, #2, mul vl]
    str     p3, [x0, #3, mul vl]
    str     p4, [x0, #4, mul vl]
    str     p5, [x0, #5, mul vl]
    str     p6, [x0, #6, mul vl]
    str     p7, [x0, #7, mul vl]
    str     p8, [x0, #8, mul vl]
    str     p9, [x0, #9, mul vl]
    str     p10, [x0, #10, mul vl]
    str     p11, [x0, #11, mul vl]
    str     p12, [x0, #12, mul vl]
    str     p13, [x0, #13, mul vl]
    str     p14, [x0, #14, mul vl]
    str     p15, [x0, #15, mul vl]
    cbz     x1, 1f
    rdffr   p0.b
    str     p0, [x0, #16, mul vl]
1:  ret
simd_load_p:
    cbz     x1, 1f
    ldr     p0, [x0, #16, mul vl]
    wrffr   p0.b
1:  ldr     p0, [x0, #0, mul vl]
    ldr     p1, [x0, #1, mul vl]
    ldr     p2, [x0, #2, mul vl]
    ldr     p3, [x0, #3, mul vl]
    ldr     p4, [x0, #4, mul vl]
    ldr     p5, [x0, #5, mul vl]
    ldr     p6, [x0, #6, mul vl]
    ldr     p7, [x0, #7, mul vl]
    ldr     p8, [x0, #8, mul vl]
    ldr     p9, [x0, #9, mul vl]
    ldr     p10, [x0, #10, mul vl]
    ldr     p11, [x0, #11, mul vl]
    ldr     p12, [x0, #12, mul vl]
    ldr     p13, [x0, #13, mul vl]
    ldr     p14, [x0, #14, mul vl]
    ldr     p15, [x0, #15, mul vl]
    ret
    .arch_extension nosve
    .popsection
    "#
);

routines! {
    /// Stores V0 to V31: 512 bytes, 16-byte aligned.
    pub fn store_v as "simd_store_v" (to: *mut u64);
    /// Loads V0 to V31: 512 bytes, 16-byte aligned.
    pub fn load_v as "simd_load_v" (from: *const u64);
    /// Stores Z0 to Z15, and Z16 to Z31, one vector after the other.
    pub fn store_z as "simd_store_z" (lower: *mut u8, upper: *mut u8);
    /// Loads Z0 to Z15, and Z16 to Z31.
    pub fn load_z as "simd_load_z" (lower: *const u8, upper: *const u8);
    /// Stores P0 to P15, and FFR if `ffr` is not zero, which spends P0: 17 predicates, an eighth of a vector each.
    pub fn store_p as "simd_store_p" (to: *mut u8, ffr: u64);
    /// Loads P0 to P15, and FFR if `ffr` is not zero.
    pub fn load_p as "simd_load_p" (from: *const u8, ffr: u64);
    /// Bytes of a vector.
    pub fn vector_bytes as "simd_vector_bytes" () -> u64;
}
