//! memcpy and memset as compiled code calls them, a cache line at a time.
//!
//! The compiler's own for this target go word by word, or byte by byte if something is not aligned, which would make
//! copies the largest part of a REC entry. Before translation is on only aligned accesses are made.

use core::arch::global_asm;

global_asm!(
    r#"
    .pushsection .text.rmm_memory, "ax"
    .balign 64
    .global memcpy
memcpy:
    mov     x3, x0
    orr     x4, x0, x1
    tst     x4, #7
    b.eq    7f
    // With the MMU on memory is Normal, where an access need not be aligned.
    mrs     x4, sctlr_el2
    tbz     x4, #0, 4f
7:  subs    x2, x2, #64
    b.lo    2f
1:  ldp     x5, x6, [x1]
    ldp     x7, x8, [x1, #16]
    ldp     x9, x10, [x1, #32]
    ldp     x11, x12, [x1, #48]
    add     x1, x1, #64
    stp     x5, x6, [x3]
    stp     x7, x8, [x3, #16]
    stp     x9, x10, [x3, #32]
    stp     x11, x12, [x3, #48]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hs    1b
    // X2 is what is left, minus 64: its lower bits are those of what is left.
2:  tbz     x2, #5, 3f
    ldp     x5, x6, [x1]
    ldp     x7, x8, [x1, #16]
    add     x1, x1, #32
    stp     x5, x6, [x3]
    stp     x7, x8, [x3, #16]
    add     x3, x3, #32
3:  tbz     x2, #4, 5f
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x3], #16
5:  tbz     x2, #3, 8f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
8:  and     x2, x2, #7
4:  cbz     x2, 6f
    ldrb    w4, [x1], #1
    strb    w4, [x3], #1
    sub     x2, x2, #1
    b       4b
6:  ret

    .balign 64
    .global memset
memset:
    mov     x3, x0
    and     x1, x1, #0xFF
    mov     x4, #0x0101010101010101
    mul     x1, x1, x4
    tst     x3, #7
    b.eq    7f
    mrs     x4, sctlr_el2
    tbz     x4, #0, 4f
7:  subs    x2, x2, #128
    b.lo    2f
1:  stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3, #32]
    stp     x1, x1, [x3, #48]
    stp     x1, x1, [x3, #64]
    stp     x1, x1, [x3, #80]
    stp     x1, x1, [x3, #96]
    stp     x1, x1, [x3, #112]
    stp     x1, x1, [x3], #128
    subs    x2, x2, #128
    b.hs    1b
    // X2 is what is left, minus 128: its lower bits are those of what is left.
2:  tbz     x2, #6, 3f
    stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3, #32]
    stp     x1, x1, [x3, #48]
    stp     x1, x1, [x3], #64
3:  tbz     x2, #5, 5f
    stp     x1, x1, [x3, #16]
    stp     x1, x1, [x3], #32
5:  tbz     x2, #4, 8f
    stp     x1, x1, [x3], #16
8:  tbz     x2, #3, 9f
    str     x1, [x3], #8
9:  and     x2, x2, #7
4:  cbz     x2, 6f
    strb    w1, [x3], #1
    sub     x2, x2, #1
    b       4b
6:  ret
    .popsection
    "#
);
