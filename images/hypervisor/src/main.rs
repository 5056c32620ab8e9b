//! A hypervisor at NS-EL2 that runs realms: `realm_vmm` on bare metal, on all PEs.
//!
//! If the launch bundle says so, it serves the control channel (`realm_vmm::control`) and runs
//! whatever realms it is asked for. Otherwise it runs one realm:
//!
//! The realm is what the launch bundle in memory describes (`cca_abi::launch`), or the demonstration realm that is
//! built in. What happens is told on the UART as records (`realm_vmm::report`) and, at the end, as a table for people.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing
)]

#[cfg(any(target_os = "none", test))]
extern crate alloc;

#[cfg(any(target_os = "none", test))]
mod extents;

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod control;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod program;
#[cfg(target_os = "none")]
mod supply;
#[cfg(target_os = "none")]
mod table;

#[cfg(not(target_os = "none"))]
fn main() {}
