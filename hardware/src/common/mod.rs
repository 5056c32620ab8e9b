//! What every ring uses: system registers, barriers, the console, and what to do at a panic.

pub(crate) mod assembly;
pub mod barrier;
#[cfg(any(feature = "host", feature = "guest"))]
pub(crate) mod canaries;
pub mod console;
#[cfg(any(feature = "rmm", feature = "host", feature = "guest"))]
pub mod debug;
pub mod device;
#[cfg(any(feature = "host", feature = "guest"))]
pub(crate) mod encodings;
#[cfg(not(target_os = "none"))]
pub mod fake;
#[cfg(any(feature = "rmm", feature = "host"))]
pub(crate) mod interface;
#[cfg(any(feature = "el3", feature = "rmm"))]
pub(crate) mod job;
pub mod memory;
pub mod panic;
pub mod per_pe;
#[cfg(any(feature = "host", feature = "guest"))]
pub mod points;
#[cfg(test)]
pub(crate) mod sequences;
#[cfg(any(feature = "rmm", feature = "host", feature = "guest"))]
pub mod simd;
pub mod smc;
#[macro_use]
pub mod sysreg;
pub mod uart;
#[cfg(any(feature = "host", feature = "guest"))]
pub mod vectors;
