//! The end of a hypervisor that found a bug in itself.

use core::panic::PanicInfo;

use super::power;
use crate::common::console;
use crate::read_sysreg;

/// Prints where the program panicked, and turns the machine off.
pub fn stop(info: &PanicInfo<'_>) -> ! {
    let pe = read_sysreg!("tpidr_el2");
    console::print_now(format_args!("hypervisor: bug on PE {pe}: {info}\n"));
    power::system_off()
}
