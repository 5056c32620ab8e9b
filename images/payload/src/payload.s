// X19 is the letter of the check that is made, X20 the number of CPUs so far.

.section .text.entry, "ax"
.global payload_primary
payload_primary:
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
    mov     x20, #1
1:  mov     x19, #'e'               // e: CPU_ON takes every CPU, and says when there is none left
    movz    x0, #0x0003
    movk    x0, #0xc400, lsl #16
    mov     x1, x20
    adr     x2, payload_secondary
    add     x3, x20, #100
    smc     #0
    cmn     x0, #2                  // INVALID_PARAMETERS
    b.eq    3f
    cbnz    x0, failed
    adr     x4, up
2:  ldr     x5, [x4]                // One CPU after the other: the checks use the same granule.
    cmp     x5, x20
    b.ne    2b
    add     x20, x20, #1
    b       1b
3:  adr     x0, text_cpus
    bl      print
    add     w1, w20, #'0'
    bl      print_letter
    adr     x0, text_end
    bl      print
    movz    x0, #0x0008             // SYSTEM_OFF
    movk    x0, #0x8400, lsl #16
    smc     #0
    b       halt

payload_secondary:
    mov     x21, x0
    mov     x19, #'f'               // f: the context of CPU_ON
    mrs     x4, mpidr_el1
    and     x4, x4, #0xff
    add     x4, x4, #100
    cmp     x4, x21
    b.ne    failed
    bl      check_world
    adr     x4, up
    sub     x21, x21, #100
    str     x21, [x4]
    dsb     sy
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
    b       halt

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
text_line:   .asciz "\n"
.balign 8
up: .quad 0
