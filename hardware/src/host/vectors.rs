//! Exceptions taken to EL2: none is expected but that of [`super::probe`]. Interrupts stay masked.

use crate::common::assembly::{assembly, symbol};
use crate::{read_sysreg, write_sysreg};

assembly!(
    r#"
    .section .text.vectors, "ax"
    .balign 0x800
    .global host_vectors
host_vectors:
    .rept 4
    .balign 0x80
    mov     x0, sp
    and     sp, x0, #~0xf
    b       {unexpected}
    .endr
    // From EL2 with its own stack pointer: an abort in the routine that looks at memory is an answer.
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mrs     x0, elr_el2
    adr     x1, host_probe_access
    cmp     x0, x1
    b.ne    1f
    adr     x1, host_probe_failed
    msr     elr_el2, x1
    ldp     x0, x1, [sp], #16
    eret
1:  ldp     x0, x1, [sp], #16
    mov     x0, sp
    and     sp, x0, #~0xf
    b       {unexpected}
    .rept 11
    .balign 0x80
    mov     x0, sp
    and     sp, x0, #~0xf
    b       {unexpected}
    .endr
"#,
    unexpected = sym unexpected,
);

/// Makes the table above the one of this PE.
pub(super) fn install() {
    let table = symbol!(host_vectors);
    // SAFETY: the table is complete and stays where it is; its only entry that returns goes on in a routine made for that.
    unsafe { write_sysreg!("vbar_el2", table) };
    crate::common::barrier::isb();
}

/// Reports an exception that nobody expects.
extern "C" fn unexpected() -> ! {
    panic!(
        "exception: ESR_EL2 {:#x}, ELR_EL2 {:#x}, FAR_EL2 {:#x}",
        read_sysreg!("esr_el2"),
        read_sysreg!("elr_el2"),
        read_sysreg!("far_el2")
    );
}
