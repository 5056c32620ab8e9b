//! An exception that the RMM takes from itself and has no answer for: a bug. Say where, and stop.

use crate::common::{barrier, console};
use crate::read_sysreg;
use crate::rmm::per_pe;

const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];

/// Called by [`crate::rmm::vectors`] on the emergency stack: `vector` is the number of the vector, `stack` and `link`
/// are SP and X30 at the exception.
///
/// Nothing is repaired: this PE never answers its caller again. Others go on until they need something that it holds.
pub extern "C" fn unexpected(vector: u64, stack: u64, link: u64) -> ! {
    console::print_now(format_args!(
        "realm-monitor: bug on PE {pe}: {kind} (vector {vector}) at {elr:#x}, ESR {esr:#x}, FAR {far:#x}, \
         SPSR {spsr:#x}, SP {stack:#x}, LR {link:#x}\n",
        pe = per_pe::index(),
        kind = KINDS[vector as usize % 4],
        elr = read_sysreg!("elr_el2"),
        esr = read_sysreg!("esr_el2"),
        far = read_sysreg!("far_el2"),
        spsr = read_sysreg!("spsr_el2"),
    ));
    barrier::halt()
}
