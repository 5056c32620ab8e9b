//! What the images need from the machine: instructions, device addresses and linker symbols.
//!
//! This crate is the only place of the workspace with `unsafe` code besides the entry stubs of the images. Everything
//! that is a decision lives in `crates/`; here stands only how the decision is carried out on an AArch64 processor.
//!
//! A Cargo feature selects the ring: `el3` (root monitor), `rmm` (R-EL2), `host` (NS-EL2), `guest` (R-EL1). `common`
//! is always there. On anything but bare-metal AArch64 the crate is empty, so that `cargo check --workspace` works on a
//! developer's machine.
#![no_std]
#![cfg(all(target_arch = "aarch64", target_os = "none"))]

pub mod common;

#[cfg(feature = "el3")]
pub mod el3;

#[cfg(feature = "rmm")]
pub mod rmm;

#[cfg(feature = "guest")]
pub mod guest;

#[cfg(feature = "host")]
pub mod host;
