//! The exception vectors of R-EL2.
//!
//! Five kinds of exception come here. From a realm (lower exception level): [`crate::rmm::pe`]'s exit path. From a job, an
//! interrupt: the job is suspended. From the
//! routine that copies Non-secure memory, a data abort in the Non-secure window: the routine returns a failure. From the
//! probes of [`crate::rmm::simd`], an SME exception: the probe says so. All others are bugs of the RMM:
//! [`crate::rmm::fault`] says where, and the PE stops.

use crate::common::assembly::assembly;
use crate::rmm::per_pe;

assembly!(
    r#"
    .macro rmm_own number
    .balign 0x80
    msr     sp_el0, x0
    mov     x0, #\number
    b       rmm_unexpected_exception
    .endm

    .macro rmm_realm kind
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x0, #\kind
    b       rmm_realm_exit
    .endm

    .pushsection .text.rmm_vectors, "ax"
    .balign 0x800
    .global rmm_vectors
rmm_vectors:
    // This level, on SP_EL0: never used.
    rmm_own 0
    rmm_own 1
    rmm_own 2
    rmm_own 3
    // This level, on SP_EL2. SP_EL0 is free, a realm's is in its REC: it and the PE's area keep three registers, so
    // that a broken stack is no obstacle.
    .balign 0x80
    msr     sp_el0, x0
    mrs     x0, tpidr_el2
    stp     x1, x2, [x0]
    mrs     x1, esr_el2
    lsr     x1, x1, #26
    cmp     x1, #0x25               // data abort without a change of exception level
    b.eq    rmm_own_data_abort
    cmp     x1, #0x1D               // SME exception
    b.eq    rmm_own_sme_exception
    b       rmm_own_bug
    .balign 0x80
    b       rmm_job_interrupted     // open while a job runs, and only then
    .balign 0x80
    b       rmm_job_interrupted
    rmm_own 7
    // A realm in AArch64, then in AArch32 (its EL0 only).
    rmm_realm 0
    rmm_realm 1
    rmm_realm 2
    rmm_realm 3
    rmm_realm 0
    rmm_realm 1
    rmm_realm 2
    rmm_realm 3
    .balign 0x80

    // With X0 to X2 put aside by the vector: is PC in [begin, end)? Then go on at a label, else it is a bug.
    .macro rmm_recover begin, end, continuation
    mrs     x1, elr_el2
    adrp    x2, \begin
    add     x2, x2, :lo12:\begin
    cmp     x1, x2
    b.lo    rmm_own_bug
    adrp    x2, \end
    add     x2, x2, :lo12:\end
    cmp     x1, x2
    b.hs    rmm_own_bug
    adrp    x1, \continuation
    add     x1, x1, :lo12:\continuation
    msr     elr_el2, x1
    ldp     x1, x2, [x0]
    mrs     x0, sp_el0
    eret
    dsb     nsh
    isb
    .endm

rmm_own_data_abort:
    mrs     x1, far_el2
    tbz     x1, #63, rmm_own_bug    // not in the Non-secure window
    rmm_recover rmm_copy_begin, rmm_copy_accesses_end, rmm_copy_failed
rmm_own_sme_exception:
    rmm_recover rmm_probe_begin, rmm_probe_end, rmm_probe_refused

rmm_own_bug:
    mov     x0, #4
rmm_unexpected_exception:
    mrs     x1, tpidr_el2
    mov     x2, sp
    mov     x3, x30
    mov     x4, #{emergency}
    add     x1, x1, x4
    mov     sp, x1
    mov     x1, x2
    mov     x2, x3
    mov     x29, xzr
    mov     x30, xzr
    bl      {unexpected}
    b       .
    .popsection
    "#,
    emergency = const per_pe::EMERGENCY_STACK_TOP,
    unexpected = sym crate::rmm::fault::unexpected,
);
