// X19 is the letter of the check that is made, X20 the number of CPUs so far.
// The word at 0x6300_0008 is zero, or the number of CPUs to turn on, after which the payload stays and sleeps.

.section .text.entry, "ax"
.global payload_primary
payload_primary:
    bl      check_entry
    mov     x19, #'a'               // a: X1-X3 are zero
    orr     x4, x1, x2
    orr     x4, x4, x3
    cbnz    x4, failed
    mov     x19, #'b'               // b: X0 is the address of a device tree
    cbz     x0, failed
    ldr     w4, [x0]
    rev     w4, w4
    movz    w5, #0xfeed
    movk    w5, #0xd00d, lsl #16
    cmp     w4, w5
    b.ne    failed
    bl      check_world
    adr     x4, vectors
    msr     vbar_el2, x4
    bl      check_interrupts
    bl      check_vectors
    movz    x27, #0x6300, lsl #16
    ldr     x27, [x27, #8]
    mov     x20, #1
1:  cmp     x20, x27
    b.eq    3f
    mov     x21, #100
    bl      turn_on
    cmn     x0, #2                  // e: CPU_ON takes every CPU, and says when there is none left
    b.eq    3f
    cbnz    x0, failed
    bl      wait_until_off
    bl      disturb
    mov     x21, #100 + 256
    bl      turn_on                 // e: one that was on before too
    cbnz    x0, failed
    bl      wait_until_off
    bl      disturb
    add     x20, x20, #1
    b       1b
3:  adr     x0, text_cpus
    bl      print
    add     w1, w20, #'0'
    bl      print_letter
    adr     x0, text_end
    bl      print
    cbz     x27, off
    adr     x0, text_idle
    bl      print
    b       halt
off:
    movz    x0, #0x0008             // SYSTEM_OFF
    movk    x0, #0x8400, lsl #16
    smc     #0
    b       halt

// Turns on CPU X20 with the context X20 + X21. X0 is the result.
turn_on:
    mov     x19, #'e'
    movz    x0, #0x0003
    movk    x0, #0xc400, lsl #16
    mov     x1, x20
    adr     x2, payload_secondary
    add     x3, x20, x21
    smc     #0
    ret

// Waits until CPU X20 has said that it was on, with the context X20 + X21, and is off again. One CPU after the other: the checks
// use the same granule.
wait_until_off:
    mov     x19, #'k'               // k: CPU_OFF, as AFFINITY_INFO says
    add     x6, x20, x21
    adr     x4, up
1:  ldr     x5, [x4]
    cmp     x5, x6
    b.ne    1b
2:  movz    x0, #0x0004
    movk    x0, #0xc400, lsl #16
    mov     x1, x20
    mov     x2, #0
    smc     #0
    cbz     x0, 2b
    cmp     x0, #1
    b.ne    failed
    ret

// Does to CPU X20, which is off, what it can to keep it from being called, and to keep it from sleeping.
disturb:
    movz    x4, #0x0800, lsl #16    // GICD_CTLR: all off, and the security states united
    mov     w5, #1 << 6
    str     w5, [x4]
    movz    x4, #0x080a, lsl #16
    add     x4, x4, x20, lsl #17
    mov     w5, #2
    str     w5, [x4, #0x14]         // GICR_WAKER: sleep
    add     x4, x4, #0x10, lsl #12
    mov     w5, #-1
    str     w5, [x4, #0x80]         // GICR_IGROUPR0
    str     w5, [x4, #0xd00]        // GICR_IGRPMODR0
    str     w5, [x4, #0xe00]        // GICR_NSACR
    str     w5, [x4, #0x180]        // GICR_ICENABLER0
    str     w5, [x4, #0x280]        // GICR_ICPENDR0
    str     w5, [x4, #0x380]        // GICR_ICACTIVER0
    str     w5, [x4, #0x400]        // GICR_IPRIORITYR0 and 3
    str     w5, [x4, #0x40c]
    mov     x19, #'l'               // l: EL3's interrupt does not show
    ldr     w6, [x4, #0x100]        // GICR_ISENABLER0
    tbnz    w6, #15, failed
    str     w5, [x4, #0x200]        // GICR_ISPENDR0
    ldr     w6, [x4, #0x200]
    tbnz    w6, #15, failed
    ldr     w6, [x4, #0x40c]
    lsr     w6, w6, #24
    cbnz    w6, failed
    str     w5, [x4, #0x100]        // all others are pending and enabled
    movz    x4, #0x0800, lsl #16
    mov     w5, #1 << 1
    str     w5, [x4]
    mov     x5, #1
    lsl     x5, x5, x20
    movk    x5, #15 << 8, lsl #16
    msr     s3_0_c12_c11_7, x5      // ICC_SGI0R_EL1: EL3's own
    msr     s3_0_c12_c11_5, x5      // ICC_SGI1R_EL1
    mov     x5, #1
    lsl     x5, x5, x20
    msr     s3_0_c12_c11_5, x5
    isb
    ret

// What EL2 begins with: translation off, no trap for what came after the traps of its kind, and nothing of who ran on this CPU
// before, be it the firmware or a payload. Uses X4, X5, X19.
check_entry:
    mov     x19, #'n'
    .macro  begins register, value
    mrs     x4, \register
    ldr     x5, =\value
    cmp     x4, x5
    b.ne    failed
    .endm
    begins  sctlr_el2, 0x30c50830
    begins  hcr_el2, 0
    begins  mair_el2, 0
    begins  s3_4_c13_c0_1, 0                                // CONTEXTIDR_EL2
    begins  s3_4_c2_c2_0, 0                                 // VNCR_EL2
    begins  s3_4_c13_c0_7, 0                                // SCXTNUM_EL2
    begins  s3_4_c1_c1_4, (1 << 55 | 1 << 54 | 1 << 50)     // HFGRTR_EL2: nTPIDR2_EL0, nSMPRI_EL1, nACCDATA_EL1
    begins  s3_4_c1_c1_5, (1 << 55 | 1 << 54 | 1 << 50)     // HFGWTR_EL2
    begins  s3_4_c1_c1_6, (1 << 56 | 1 << 55)               // HFGITR_EL2: nBRBIALL, nBRBINJ
    begins  s3_4_c3_c1_4, (0xf << 59)                       // HDFGRTR_EL2: nPMSNEVFR_EL1, nBRBDATA, nBRBCTL, nBRBIDR
    begins  s3_4_c3_c1_5, (7 << 60)                         // HDFGWTR_EL2
    ret
    .ltorg

// What the CPU interface has of group 0 is undefined, and priorities are those of the lower half.
check_interrupts:
    mov     x19, #'m'
    mov     x26, #0
    msr     daifclr, #8             // What is open where the exception comes from is not open at its vector.
    mrs     x4, s3_0_c12_c12_6      // ICC_IGRPEN0_EL1
    msr     s3_0_c12_c12_6, xzr
    mrs     x4, s3_0_c12_c8_0       // ICC_IAR0_EL1
    mrs     x4, s3_0_c12_c8_2       // ICC_HPPIR0_EL1
    msr     s3_0_c12_c8_3, x4       // ICC_BPR0_EL1
    msr     s3_0_c12_c8_4, x4       // ICC_AP0R0_EL1
    msr     daifset, #8
    cmp     x26, #6
    b.ne    failed
    mrs     x5, s3_0_c12_c12_4      // ICC_CTLR_EL1: how many bits a priority has, less one
    ubfx    x5, x5, #8, #3
    mov     x4, #0x80               // Its lowest bit, lost by the shift into that half.
    lsr     x4, x4, x5
    msr     s3_0_c4_c6_0, x4        // ICC_PMR_EL1
    mrs     x5, s3_0_c4_c6_0
    cbnz    x5, failed
    msr     s3_0_c4_c6_0, xzr
    ret

// Vectors may be as long as the CPU has them, 2048 bits on this machine, also in streaming mode. Uses X4, X19.
check_vectors:
    mov     x19, #'o'
    mrs     x4, id_aa64pfr0_el1
    ubfx    x4, x4, #32, #4
    cbz     x4, 1f
    mov     x4, #15
    msr     s3_4_c1_c2_0, x4        // ZCR_EL2
    isb
    .inst   0x04bf5024              // RDVL X4, #1
    cmp     x4, #256
    b.ne    failed
1:  mov     x19, #'p'
    mrs     x4, id_aa64pfr1_el1
    ubfx    x4, x4, #24, #4
    cbz     x4, 2f
    mov     x4, #15
    msr     s3_4_c1_c2_6, x4        // SMCR_EL2
    isb
    .inst   0x04bf5824              // RDSVL X4, #1
    cmp     x4, #256
    b.ne    failed
2:  ret

payload_secondary:
    bl      check_entry
    mov     x21, x0
    mov     x19, #'f'               // f: the context of CPU_ON
    mrs     x4, mpidr_el1
    and     x4, x4, #0xff
    add     x4, x4, #100
    and     x5, x21, #0xff
    cmp     x4, x5
    b.ne    failed
    adr     x4, vectors
    msr     vbar_el2, x4
    bl      check_interrupts
    bl      check_vectors
    bl      check_world
    mov     x4, #-1                 // It leaves something in registers that it does not use,
    msr     mair_el2, x4
    msr     s3_4_c13_c0_1, x4       // CONTEXTIDR_EL2
    msr     s3_4_c13_c0_7, x4       // SCXTNUM_EL2
    movz    x4, #0xf000
    msr     s3_4_c2_c2_0, x4        // VNCR_EL2
    mov     x4, #0x28               // and a virtual interrupt that is pending.
    movk    x4, #0x5000, lsl #48
    msr     s3_4_c12_c12_0, x4      // ICH_LR0_EL2
    movz    x4, #0xff00, lsl #16
    orr     x4, x4, #2
    msr     s3_4_c12_c11_7, x4      // ICH_VMCR_EL2
    mov     x4, #1
    msr     s3_4_c12_c11_0, x4      // ICH_HCR_EL2
    mov     x4, #0xd8               // HCR_EL2: VI, VF, IMO, FMO
    msr     hcr_el2, x4
    isb
    adr     x4, up
    str     x21, [x4]
    dsb     sy
    movz    x0, #0x0002             // CPU_OFF
    movk    x0, #0x8400, lsl #16
    smc     #0
halt:
    wfi
    b       halt

// Checks what holds on every CPU. Uses X0-X18, X22.
check_world:
    mov     x22, x30
    mov     x19, #'c'               // c: EL2
    mrs     x4, currentel
    cmp     x4, #8
    b.ne    failed
    mov     x19, #'d'               // d: the RMM is there
    movz    x0, #0x0150
    movk    x0, #0xc400, lsl #16
    mov     x1, #0x10000
    smc     #0
    cbnz    x0, failed
    mov     x19, #'g'               // g: the last granule of memory can be delegated
    movz    x0, #0x0151
    movk    x0, #0xc400, lsl #16
    bl      last_granule
    smc     #0
    cbnz    x0, failed
    mov     x19, #'h'               // h: once
    movz    x0, #0x0151
    movk    x0, #0xc400, lsl #16
    bl      last_granule
    smc     #0
    cbz     x0, failed
    mov     x19, #'i'               // i: and comes back
    movz    x0, #0x0152
    movk    x0, #0xc400, lsl #16
    bl      last_granule
    smc     #0
    cbnz    x0, failed
    mov     x19, #'j'               // j: to be used
    bl      last_granule
    str     x1, [x1]
    ldr     x2, [x1]
    cmp     x1, x2
    b.ne    failed
    ret     x22

// X1 = address of the last granule of memory.
last_granule:
    movz    x1, #0x6300, lsl #16
    ldr     x1, [x1]
    sub     x1, x1, #4096
    ret

failed:
    adr     x0, text_failed
    bl      print
    mov     w1, w19
    bl      print_letter
    adr     x0, text_line
    bl      print
    b       off

// Prints the zero-terminated text at X0.
print:
    mov     x23, x30
1:  ldrb    w1, [x0], #1
    cbz     w1, 2f
    bl      print_letter
    b       1b
2:  ret     x23

// Prints the letter in W1 on the PL011.
print_letter:
    movz    x2, #0x0900, lsl #16
    str     w1, [x2]
    ret

text_cpus:   .asciz "payload: "
text_failed: .asciz "payload: failed "
text_end:    .asciz " CPUs\n"
text_idle:   .asciz "payload: idle\n"
text_line:   .asciz "\n"
.balign 8
up: .quad 0

// An undefined instruction is counted in X26 and passed over; there is nothing else.
.balign 2048
vectors:
.rept 4
    b       failed
.balign 128
.endr
    mrs     x25, esr_el2            // An exception of an unknown reason, of a 32-bit instruction,
    movz    x24, #0x0200, lsl #16
    cmp     x25, x24
    b.ne    failed
    mrs     x25, spsr_el2           // from EL2 as it was, with debug exceptions open,
    and     x25, x25, #0x3ff
    cmp     x25, #0x1c9
    b.ne    failed
    mrs     x25, daif               // and now nothing is open.
    cmp     x25, #0x3c0
    b.ne    failed
    mrs     x25, elr_el2
    add     x25, x25, #4
    msr     elr_el2, x25
    add     x26, x26, #1
    eret
.balign 128
.rept 11
    b       failed
.balign 128
.endr
