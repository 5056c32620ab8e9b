//! The program in the realm: one host call after the other, and what the host's answer says in between.

/// What the realm does next; in gprs\[0\] of the host's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// An SMC with X0 to X3 from gprs\[1\] to gprs\[4\]. Its X0, the number of instructions that it took, and its X1 to
    /// X8 are gprs\[0\] to gprs\[9\] of the next host call.
    Smc = 0,
    /// WFI.
    Wait = 1,
    /// Loads a word from the address in gprs\[2\].
    Load = 2,
    /// Stores gprs\[3\] as a word at the address in gprs\[2\].
    Store = 3,
}

/// Position independent A64 code, entered with the address of the page for host calls in X0.
#[rustfmt::skip]
pub(crate) const CODE: [u32; 34] = [
    0xAA00_03F4, //        mov     x20, x0
    0x5280_3320, // next:  mov     w0, #0x0199             RSI_HOST_CALL
    0x72B8_8000, //        movk    w0, #0xC400, lsl #16
    0xAA14_03E1, //        mov     x1, x20
    0xD400_0003, //        smc     #0
    0xF940_0693, //        ldr     x19, [x20, #8]
    0xA941_0680, //        ldp     x0, x1, [x20, #16]
    0xA942_0E82, //        ldp     x2, x3, [x20, #32]
    0xF100_067F, //        cmp     x19, #1
    0x5400_0260, //        b.eq    wait
    0xF100_0A7F, //        cmp     x19, #2
    0x5400_0260, //        b.eq    load
    0xF100_0E7F, //        cmp     x19, #3
    0x5400_0260, //        b.eq    store
    0xD53B_E055, //        mrs     x21, cntvct_el0
    0xD53B_E056, //        mrs     x22, cntvct_el0
    0xD53B_E057, //        mrs     x23, cntvct_el0
    0xD400_0003, //        smc     #0
    0xD53B_E058, //        mrs     x24, cntvct_el0
    0xCB15_02D6, //        sub     x22, x22, x21
    0xCB17_0318, //        sub     x24, x24, x23
    0xCB16_0318, //        sub     x24, x24, x22
    0xA900_E280, //        stp     x0, x24, [x20, #8]
    0xA901_8A81, //        stp     x1, x2, [x20, #24]
    0xA902_9283, //        stp     x3, x4, [x20, #40]
    0xA903_9A85, //        stp     x5, x6, [x20, #56]
    0xA904_A287, //        stp     x7, x8, [x20, #72]
    0x17FF_FFE6, //        b       next
    0xD503_207F, // wait:  wfi
    0x17FF_FFE4, //        b       next
    0xB940_0021, // load:  ldr     w1, [x1]
    0x17FF_FFE2, //        b       next
    0xB900_0022, // store: str     w2, [x1]
    0x17FF_FFE0, //        b       next
];
