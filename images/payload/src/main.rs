//! Bootable image: a payload of the normal world that checks how the firmware enters it, on every CPU.
//!
//! It needs nothing but the boot contract, so it tells the same of any firmware with the same layout. What it wants
//! to see: entry at EL2 with the device tree's address in X0 and X1-X3 zero; PSCI CPU_ON of every CPU with its context
//! in X0; an RMM that answers RMI_VERSION and takes and returns the last granule of memory, on every CPU. The end of
//! memory is expected as a word at 0x6300_0000. Prints `payload: N CPUs` or `payload: failed X`, where X is the letter of the check,
//! and switches the machine off.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
core::arch::global_asm!(include_str!("payload.s"));

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(not(target_os = "none"))]
fn main() {}
