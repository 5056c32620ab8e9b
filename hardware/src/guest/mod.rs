//! A program inside a realm, at R-EL1: entry, stacks, stage 1, exceptions, the virtual timer and the way to the RMM.
//!
//! The image names its two mains with [`realm_program!`](crate::realm_program); both are called with the MMU on.

pub mod entry;
mod features;
mod panic;
mod puppet;
mod registers;
#[cfg(test)]
mod sequences;
mod start;
mod system;
mod translation;
mod vcpu;
mod vectors;

pub use panic::stop;
pub use start::Arguments;
pub use vcpu::Vcpu;

/// Makes two functions the program of the image: `primary: fn(&Vcpu, Arguments)` runs on vCPU 0 and
/// `secondary: fn(&Vcpu, u64)` on every vCPU that PSCI `CPU_ON` starts, with that call's context argument.
#[macro_export]
macro_rules! realm_program {
    ($primary:path, $secondary:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn realm_program_primary(
            vcpu: &$crate::guest::Vcpu,
            arguments: $crate::guest::Arguments,
        ) {
            $primary(vcpu, arguments)
        }

        #[unsafe(no_mangle)]
        extern "Rust" fn realm_program_secondary(vcpu: &$crate::guest::Vcpu, context: u64) {
            $secondary(vcpu, context)
        }

        #[panic_handler]
        fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::guest::stop(info)
        }
    };
}
