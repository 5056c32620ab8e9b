//! Exceptions taken to EL1.
//!
//! Interrupts are unmasked only inside `Vcpu::wait_for_interrupt`. The handler acknowledges the interrupt and leaves its
//! INTID where `TPIDR_EL1` points, for the program to find. Everything else is a bug of the program or an external
//! abort that it did not provoke, and ends the realm.

use crate::common::assembly::{assembly, symbol};
use crate::{read_sysreg, write_sysreg};

assembly!(
    r#"
    .section .text.vectors, "ax"
    .macro guest_unexpected
    .balign 0x80
    mov     x0, sp
    b       guest_unexpected_exception
    .endm

    .balign 0x800
    .global guest_vectors
guest_vectors:
    .rept 5
    guest_unexpected
    .endr
    // IRQ taken from EL1 with its own stack pointer.
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mrs     x0, s3_0_c12_c12_0          // ICC_IAR1_EL1
    dsb     sy
    mrs     x1, tpidr_el1
    str     x0, [x1]
    ldp     x0, x1, [sp], #16
    eret
    .rept 10
    guest_unexpected
    .endr

guest_unexpected_exception:
    and     sp, x0, #~0xf
    b       {unexpected}
"#,
    unexpected = sym unexpected,
);

/// Makes the table above the one of this vCPU.
pub(super) fn install() {
    let table = symbol!(guest_vectors);
    // SAFETY: the table is complete, and stays where it is; its only entry that returns changes 16 bytes below SP, where
    // this target has no red zone, and a word at `TPIDR_EL1`, which `Vcpu::wait_for_interrupt` sets before it unmasks.
    unsafe { write_sysreg!("vbar_el1", table) };
    crate::common::barrier::isb();
}

/// Reports an exception that nobody expects.
extern "C" fn unexpected() -> ! {
    panic!(
        "exception: ESR_EL1 {:#x}, ELR_EL1 {:#x}, FAR_EL1 {:#x}",
        read_sysreg!("esr_el1"),
        read_sysreg!("elr_el1"),
        read_sysreg!("far_el1")
    );
}
