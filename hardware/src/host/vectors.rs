//! Exceptions taken to EL2: none is expected. Interrupts stay masked.

use crate::common::assembly::{assembly, symbol};
use crate::{read_sysreg, write_sysreg};

assembly!(
    r#"
    .section .text.vectors, "ax"
    .balign 0x800
    .global host_vectors
host_vectors:
    .rept 16
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
    // SAFETY: the table is complete, stays where it is, and none of its entries returns.
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
