//! What the images need from the machine: instructions, device addresses and linker symbols.
//!
//! This crate is the only place of the workspace with `unsafe` code besides the entry stubs of the images. Everything
//! that is a decision lives in `crates/`; here stands only how the decision is carried out on an AArch64 processor.
//!
//! A Cargo feature selects the ring: `el3` (root monitor), `rmm` (R-EL2), `host` (NS-EL2), `guest` (R-EL1). `common`
//! is always there. On a developer's machine everything compiles too, and what is an instruction on AArch64 is noted by
//! `common::fake` instead: what is done to the machine, and in which order, is tested there. Assembly code is left out.
#![no_std]

#[cfg(not(target_os = "none"))]
extern crate std;

pub mod common;

#[cfg(feature = "el3")]
pub mod el3;

#[cfg(feature = "rmm")]
pub mod rmm;

#[cfg(feature = "guest")]
pub mod guest;

#[cfg(feature = "host")]
pub mod host;
