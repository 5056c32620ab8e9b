//! A hypervisor at NS-EL2: entry of all PEs, stage 1, interrupts, the timer, memory, power, and the way to the RMM.
//!
//! The image names its two mains with [`hypervisor_program!`](crate::hypervisor_program); both are called with the MMU
//! on and all interrupts masked. They stay masked: the hypervisor waits with `WFI`, and asks the GIC when it is ready.
//!
//! The ring assumes what the layout in [`cca_abi::firmware`] says of QEMU's `virt` machine (devices in the first GiB,
//! the payload's own place) and PSCI over SMC; memory, PEs and interrupt controller are as the device tree has them.

extern crate alloc;

mod channel;
mod count;
mod counters;
pub mod entry;
mod gic;
mod heap;
mod interface;
mod masters;
mod memory;
mod panic;
mod pe;
mod points;
mod power;
mod probe;
mod registers;
#[cfg(test)]
mod sequences;
mod simd;
mod start;
mod streaming;
mod system;
mod translation;
mod transport;
mod vectors;

pub use channel::{Channel, Place};
pub use count::{counter, frequency, timed_smc};
pub use counters::{counters, start_counters, stop_counters};
pub use entry::MAX_PES;
pub use gic::Gic;
pub use heap::heap_use;
pub use interface::{fill_interface, interface_differences};
pub use masters::Masters;
pub use memory::Dram;
pub use panic::stop;
pub use pe::{Pe, affinity};
pub use points::{fill_registers, register_differences};
pub use power::{start_pe, system_off, system_reset};
pub use probe::probe;
pub use registers::next_readable;
pub use simd::{fill_vectors, vector_differences};
pub use streaming::{fill_streaming, leave_streaming};
pub use system::{fill_system, system_differences};
pub use transport::Transport;

/// Makes two functions the program of the image: `primary: fn(Option<&'static [u8]>)`, with the device tree, runs on
/// the PE that the firmware entered, and `secondary: fn(usize)`, with its index, on every PE that
/// [`start_pe`](crate::host::start_pe) starts. When `primary` returns the machine is turned off.
#[macro_export]
macro_rules! hypervisor_program {
    ($primary:path, $secondary:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn hypervisor_program_primary(device_tree: Option<&'static [u8]>) {
            $primary(device_tree)
        }

        #[unsafe(no_mangle)]
        extern "Rust" fn hypervisor_program_secondary(index: usize) {
            $secondary(index)
        }

        #[panic_handler]
        fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::host::stop(info)
        }
    };
}
