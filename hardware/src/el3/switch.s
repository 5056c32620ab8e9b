// Exceptions from the worlds below EL3, and the switch between the worlds. See switch.rs; names in braces are its constants.

    // A pair of registers to or from their place, base being the middle of a context. Uses x8 and x9.
    .macro save_pair base, first, second, offset
    mrs     x8, \first
    mrs     x9, \second
    stp     x8, x9, [\base, #\offset]
    .endm
    .macro load_pair base, first, second, offset
    ldp     x8, x9, [\base, #\offset]
    msr     \first, x8
    msr     \second, x9
    .endm

    // The registers of EL2 that change with each switch.
    .macro each_pair operation, base
    \operation \base, sp_el0, elr_el3, -56
    \operation \base, spsr_el3, sctlr_el2, 0
    \operation \base, hcr_el2, mdcr_el2, 16
    \operation \base, cptr_el2, hstr_el2, 32
    \operation \base, vbar_el2, ttbr0_el2, 48
    \operation \base, s3_4_c2_c0_1, tcr_el2, 64             // TTBR1_EL2
    \operation \base, mair_el2, sp_el2, 80
    \operation \base, tpidr_el2, elr_el2, 96
    \operation \base, spsr_el2, esr_el2, 112
    \operation \base, far_el2, hpfar_el2, 128
    \operation \base, s3_4_c13_c0_1, cnthctl_el2, 144       // CONTEXTIDR_EL2
    \operation \base, cntvoff_el2, vmpidr_el2, 160
    \operation \base, vpidr_el2, vtcr_el2, 176
    \operation \base, vttbr_el2, s3_4_c12_c1_1, 192         // VDISR_EL2
    \operation \base, s3_4_c5_c2_3, s3_4_c2_c2_0, 208       // VSESR_EL2, VNCR_EL2
    \operation \base, s3_4_c12_c11_0, s3_4_c12_c11_7, 224   // ICH_HCR_EL2, ICH_VMCR_EL2
    .endm

    // The registers that change with the first use by the RMM, if it has agreed to that.
    .macro each_pair_on_demand operation, base
    \operation \base, s3_4_c1_c1_4, s3_4_c1_c1_5, 240       // HFGRTR_EL2, HFGWTR_EL2
    \operation \base, s3_4_c1_c1_6, s3_4_c3_c1_4, 256       // HFGITR_EL2, HDFGRTR_EL2
    \operation \base, s3_4_c3_c1_5, s3_4_c1_c2_2, 272       // HDFGWTR_EL2, HCRX_EL2
    \operation \base, s3_4_c14_c0_6, s3_4_c13_c0_7, 288     // CNTPOFF_EL2, SCXTNUM_EL2
    \operation \base, s3_0_c2_c1_0, s3_0_c2_c1_1, 304       // APIAKey
    \operation \base, s3_0_c2_c1_2, s3_0_c2_c1_3, 320       // APIBKey
    \operation \base, s3_0_c2_c2_0, s3_0_c2_c2_1, 336       // APDAKey
    \operation \base, s3_0_c2_c2_2, s3_0_c2_c2_3, 352       // APDBKey
    \operation \base, s3_0_c2_c3_0, s3_0_c2_c3_1, 368       // APGAKey
    .endm

    // What EL3 itself needs to be different for each world.
    .macro load_constants base
    ldp     x8, x9, [\base, #-40]
    msr     scr_el3, x8
    msr     vbar_el3, x9
    ldr     x8, [\base, #-24]
    msr     cptr_el3, x8
    .endm

    // Back to a lower exception level, with no speculation past it.
    .macro leave
    eret
    dsb     nsh
    isb
    .endm

    .macro slot target
    .balign 0x80
    b       \target
    .endm

    .macro vectors name, synchronous, fiq, other
    .balign 0x800
    .global \name
\name:
    slot    el3_fatal_own               // from EL3 with SP_EL0
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    el3_fatal_own               // from EL3
    slot    el3_job_interrupted         // open while a job runs, and only then
    slot    el3_job_interrupted
    slot    el3_fatal_own
    slot    \synchronous                // from a lower level in AArch64
    slot    \other
    slot    \fiq
    slot    \other
    slot    \synchronous                // from a lower level in AArch32
    slot    \other
    slot    \fiq
    slot    \other
    .balign 0x80
    .endm

    .pushsection .text.vectors, "ax"
    vectors el3_vectors_boot, el3_fatal_own, el3_fatal_own, el3_fatal_own
    vectors el3_vectors_normal, el3_from_normal, el3_fiq_normal, el3_fatal_below
    vectors el3_vectors_realm, el3_from_realm, el3_fiq_realm, el3_fatal_below

    // An exception from the normal world. Its context is at SP.
el3_from_normal:
    stp     x29, x30, [sp, #8 * 29]
    mrs     x30, esr_el3
    mov     w29, #{esr_smc64}
    cmp     x30, x29
    b.ne    1f
    bic     w29, w0, #{sve_hint}
    movz    w30, #{rmi_first_low}
    movk    w30, #{rmi_first_high}, lsl #16
    sub     w29, w29, w30
    cmp     w29, #{rmi_last}
    b.hi    1f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 1f

    // RMI: x0 to x7 stay, the rest changes worlds.
    stp     x5, x6, [sp, #8 * 5]
    stp     x7, x8, [sp, #8 * 7]
    stp     x9, x10, [sp, #8 * 9]
    stp     x11, x12, [sp, #8 * 11]
    stp     x13, x14, [sp, #8 * 13]
    stp     x15, x16, [sp, #8 * 15]
    stp     x17, x18, [sp, #8 * 17]
    stp     x19, x20, [sp, #8 * 19]
    stp     x21, x22, [sp, #8 * 21]
    stp     x23, x24, [sp, #8 * 23]
    stp     x25, x26, [sp, #8 * 25]
    stp     x27, x28, [sp, #8 * 27]
    add     x30, sp, #{middle}
    each_pair save_pair, x30
    add     x30, sp, #{realm} + {middle}
    load_constants x30
    each_pair load_pair, x30
    ldp     x8, x9, [x30, #8 * 8 - {middle}]
    ldp     x10, x11, [x30, #8 * 10 - {middle}]
    ldp     x12, x13, [x30, #8 * 12 - {middle}]
    ldp     x14, x15, [x30, #8 * 14 - {middle}]
    ldp     x16, x17, [x30, #8 * 16 - {middle}]
    ldp     x18, x19, [x30, #8 * 18 - {middle}]
    ldp     x20, x21, [x30, #8 * 20 - {middle}]
    ldp     x22, x23, [x30, #8 * 22 - {middle}]
    ldp     x24, x25, [x30, #8 * 24 - {middle}]
    ldp     x26, x27, [x30, #8 * 26 - {middle}]
    ldp     x28, x29, [x30, #8 * 28 - {middle}]
    ldr     x30, [x30, #8 * 30 - {middle}]
    leave

1:  adr     x30, el3_lower_synchronous
7:  stp     x0, x1, [sp]
    add     x29, sp, #0
    mov     w1, #0
    b       8f

    // An interrupt of EL3 while the normal world runs, and while the Realm world runs.
el3_fiq_normal:
    stp     x29, x30, [sp, #8 * 29]
    adr     x30, el3_lower_fiq
    b       7b
el3_fiq_realm:
    str     x29, [sp, #{realm} + 8 * 29]
    str     x30, [sp, #{realm} + 8 * 30]
    adr     x30, el3_lower_fiq
    b       9f

    // An exception from the Realm world. Its context is behind the normal world's.
el3_from_realm:
    str     x29, [sp, #{realm} + 8 * 29]
    str     x30, [sp, #{realm} + 8 * 30]
    mrs     x30, esr_el3
    mov     w29, #{esr_smc64}
    cmp     x30, x29
    b.ne    2f
    movz    w29, #{complete_low}
    movk    w29, #{complete_high}, lsl #16
    sub     w29, w0, w29
    cbnz    w29, 3f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 6f

    // RMM_RMI_REQ_COMPLETE: x1 to x5 become x0 to x4 of the normal world.
    add     x30, sp, #{realm} + {middle}
    stp     x8, x9, [x30, #8 * 8 - {middle}]
    stp     x10, x11, [x30, #8 * 10 - {middle}]
    stp     x12, x13, [x30, #8 * 12 - {middle}]
    stp     x14, x15, [x30, #8 * 14 - {middle}]
    stp     x16, x17, [x30, #8 * 16 - {middle}]
    stp     x18, x19, [x30, #8 * 18 - {middle}]
    stp     x20, x21, [x30, #8 * 20 - {middle}]
    stp     x22, x23, [x30, #8 * 22 - {middle}]
    stp     x24, x25, [x30, #8 * 24 - {middle}]
    stp     x26, x27, [x30, #8 * 26 - {middle}]
    str     x28, [x30, #8 * 28 - {middle}]
    each_pair save_pair, x30
    ldr     x29, [sp, #{on_demand}]
    cbnz    x29, 5f
4:  mov     x0, x1
    mov     x1, x2
    mov     x2, x3
    mov     x3, x4
    mov     x4, x5
    add     x30, sp, #{middle}
    load_constants x30
    each_pair load_pair, x30
    ldp     x5, x6, [sp, #8 * 5]
    ldp     x7, x8, [sp, #8 * 7]
    ldp     x9, x10, [sp, #8 * 9]
    ldp     x11, x12, [sp, #8 * 11]
    ldp     x13, x14, [sp, #8 * 13]
    ldp     x15, x16, [sp, #8 * 15]
    ldp     x17, x18, [sp, #8 * 17]
    ldp     x19, x20, [sp, #8 * 19]
    ldp     x21, x22, [sp, #8 * 21]
    ldp     x23, x24, [sp, #8 * 23]
    ldp     x25, x26, [sp, #8 * 25]
    ldp     x27, x28, [sp, #8 * 27]
    ldp     x29, x30, [sp, #8 * 29]
    leave

    // RMM_GTSI_DELEGATE and RMM_GTSI_UNDELEGATE of an RMM that runs: only what Rust code may change is kept.
3:  sub     w29, w29, #{delegate} - {complete}
    cmp     w29, #{undelegate} - {delegate}
    b.hi    6f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 6f
    add     x30, sp, #{realm}
    stp     x1, x2, [x30, #8 * 1]
    stp     x3, x4, [x30, #8 * 3]
    stp     x5, x6, [x30, #8 * 5]
    stp     x7, x8, [x30, #8 * 7]
    stp     x9, x10, [x30, #8 * 9]
    stp     x11, x12, [x30, #8 * 11]
    stp     x13, x14, [x30, #8 * 13]
    stp     x15, x16, [x30, #8 * 15]
    stp     x17, x18, [x30, #8 * 17]
    mov     x0, x1
    mov     w1, w29
    bl      el3_transition
    add     x30, sp, #{realm}
    ldp     x1, x2, [x30, #8 * 1]
    ldp     x3, x4, [x30, #8 * 3]
    ldp     x5, x6, [x30, #8 * 5]
    ldp     x7, x8, [x30, #8 * 7]
    ldp     x9, x10, [x30, #8 * 9]
    ldp     x11, x12, [x30, #8 * 11]
    ldp     x13, x14, [x30, #8 * 13]
    ldp     x15, x16, [x30, #8 * 15]
    ldp     x17, x18, [x30, #8 * 17]
    ldp     x29, x30, [x30, #8 * 29]
    leave

    // The registers on demand were used: they go back too.
5:  str     xzr, [sp, #{on_demand}]
    each_pair_on_demand save_pair, x30
    add     x30, sp, #{middle}
    each_pair_on_demand load_pair, x30
    b       4b

    // Not an SMC. The first use of a register on demand is trapped as a register access or pointer
    // authentication: fetch them all and repeat the instruction.
2:  ldr     x29, [sp, #{on_demand}]
    cbnz    x29, 6f
    lsr     x30, x30, #26
    cmp     x30, #{ec_system_register}
    ccmp    x30, #{ec_pointer_authentication}, #4, ne
    b.ne    6f
    add     x30, sp, #{realm} + {middle}
    stp     x8, x9, [x30, #8 * 8 - {middle}]
    add     x29, sp, #{middle}
    each_pair_on_demand save_pair, x29
    each_pair_on_demand load_pair, x30
    mov     x8, #1
    str     x8, [sp, #{on_demand}]
    mrs     x8, scr_el3
    ldr     x9, ={scr_on_demand}
    orr     x8, x8, x9
    msr     scr_el3, x8
    ldp     x8, x9, [x30, #8 * 8 - {middle}]
    ldp     x29, x30, [x30, #8 * 29 - {middle}]
    leave

6:  adr     x30, el3_lower_synchronous
9:  add     x29, sp, #{realm}
    stp     x0, x1, [x29]
    mov     w1, #1

    // Anything else: every general register into the context at x29, then ask the function at x30.
8:  stp     x2, x3, [x29, #8 * 2]
    stp     x4, x5, [x29, #8 * 4]
    stp     x6, x7, [x29, #8 * 6]
    stp     x8, x9, [x29, #8 * 8]
    stp     x10, x11, [x29, #8 * 10]
    stp     x12, x13, [x29, #8 * 12]
    stp     x14, x15, [x29, #8 * 14]
    stp     x16, x17, [x29, #8 * 16]
    stp     x18, x19, [x29, #8 * 18]
    stp     x20, x21, [x29, #8 * 20]
    stp     x22, x23, [x29, #8 * 22]
    stp     x24, x25, [x29, #8 * 24]
    stp     x26, x27, [x29, #8 * 26]
    str     x28, [x29, #8 * 28]
    mov     x0, sp
    blr     x30

    // General registers from the context at x0, and off.
el3_resume:
    ldp     x2, x3, [x0, #8 * 2]
    ldp     x4, x5, [x0, #8 * 4]
    ldp     x6, x7, [x0, #8 * 6]
    ldp     x8, x9, [x0, #8 * 8]
    ldp     x10, x11, [x0, #8 * 10]
    ldp     x12, x13, [x0, #8 * 12]
    ldp     x14, x15, [x0, #8 * 14]
    ldp     x16, x17, [x0, #8 * 16]
    ldp     x18, x19, [x0, #8 * 18]
    ldp     x20, x21, [x0, #8 * 20]
    ldp     x22, x23, [x0, #8 * 22]
    ldp     x24, x25, [x0, #8 * 24]
    ldp     x26, x27, [x0, #8 * 26]
    ldp     x28, x29, [x0, #8 * 28]
    ldr     x30, [x0, #8 * 30]
    ldp     x0, x1, [x0]
    leave

    // x0: block, x1: context. Does not come back.
    .global el3_enter
el3_enter:
    mov     sp, x0
    mov     x0, x1
    b       el3_resume

    // x0: context, in all four.
    .global el3_save
el3_save:
    add     x0, x0, #{middle}
    each_pair save_pair, x0
    ret
    .global el3_load
el3_load:
    add     x0, x0, #{middle}
    load_constants x0
    each_pair load_pair, x0
    ret
    .global el3_save_on_demand
el3_save_on_demand:
    add     x0, x0, #{middle}
    each_pair_on_demand save_pair, x0
    ret
    .global el3_load_on_demand
el3_load_on_demand:
    add     x0, x0, #{middle}
    each_pair_on_demand load_pair, x0
    ret

    // What ends this PE is reported on its stack from the top: SP may be what is wrong, and nothing returns to what lies
    // there.
el3_fatal_own:
    mov     x20, #0
    b       7f
el3_fatal_below:
    mov     x20, #1
7:  mov     x21, sp
    bl      el3_own_index
    bl      el3_set_stack
    mov     x0, x20
    mrs     x1, esr_el3
    mrs     x2, elr_el3
    mrs     x3, far_el3
    mov     x4, x21
    bl      el3_fatal
    b       .
    .ltorg
    .popsection
