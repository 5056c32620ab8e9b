//! The end of an image that found a bug in itself: say where, then stop.

use crate::common::{barrier, console};
use core::panic::PanicInfo;

/// Prints where image `name` panicked on PE `pe`, and stops this PE.
///
/// An image calls it from its `#[panic_handler]`. Nothing is unwound and no lock is given back: other PEs that need one
/// held here will wait, which is what a bug in a monitor should do.
pub fn stop(name: &str, pe: usize, info: &PanicInfo<'_>) -> ! {
    console::print_now(format_args!("{name}: bug on PE {pe}: {info}\n"));
    barrier::halt()
}
