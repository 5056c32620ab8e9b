//! The root monitor's machine: EL3 of QEMU's `virt` machine with the Realm Management Extension.
//!
//! The image starts at PA 0 in flash, copies itself to secure RAM and runs there. The image's `main` gets a [`boot::Primary`] on
//! the primary PE; everything after that happens in exceptions from the worlds below.

extern crate alloc;

mod bell;
pub mod boot;
mod context;
mod entry;
mod gic;
mod handler;
#[cfg(target_os = "none")]
mod heap;
mod interrupt;
mod job;
mod layout;
mod machine;
mod mmu;
mod power;
mod protection;
mod remains;
#[cfg(test)]
mod sequences;
mod switch;

pub use layout::{MAX_PES, ROOT_MEMORY};
