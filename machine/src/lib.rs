//! The in-process machine: memory, granule protection, and processing elements as threads.
//!
//! The root monitor, the realm monitor and the host are the very same crates that run on hardware. What is
//! simulated is only what lies under them: physical memory whose every access is checked against the protection
//! table, processing elements that walk stage 2 tables and take exceptions with real syndromes, timers, the virtual
//! CPU interface of the GIC, and programs inside realms, which are Rust closures that leave the realm exactly where
//! machine code would.
#![forbid(unsafe_code)]

mod board;
mod clock;
mod control;
pub mod cpu;
mod demo;
mod element;
#[cfg(test)]
mod element_tests;
mod firmware;
mod guests;
mod host_pe;
mod interrupts;
mod machine;
mod meddler;
mod memory;
mod monitor_platform;
mod protection;
mod snapshot;
mod storage;
mod supply;

pub use clock::{FREQUENCY, Time};
pub use demo::RunOptions;
pub use guests::Program;
pub use host_pe::{HostFault, HostPe};
pub use machine::{Config, Gone, Machine, Transport};
pub use meddler::HostWords;
pub use monitor_platform::RealmPlatform;
pub use protection::{Gpi, PhysicalAddressSpace};
pub use realm_guest::demo::MINIMUM_MEMORY as DEMO_MEMORY;
pub use realm_host::PageSize;
pub use snapshot::{Difference, GranuleSnapshot, Snapshot};
pub use supply::Supply;
