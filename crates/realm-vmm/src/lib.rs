//! The machine that a realm sees: devices, timers, interrupts, PSCI, and the loop that serves its exits.
//!
//! The bare-metal hypervisor and the in-process machine run the same code: each physical PE (or thread) calls
//! [`RealmMachine::run_pe`].
//!
//! ```text
//! let host = realm_host::Host::new(transport, supply)?; // finds the monitor
//! let machine = RealmMachine::new(&host, &console, &config, &mut pe)?; // builds the realm; the error is a boxed Report
//! // On every PE, at once:
//! machine.run_pe(&mut pe); // returns when the realm has stopped
//! // On one PE; waits until the others are out of `run_pe`:
//! let report: Report = machine.teardown(&mut pe); // destroys the realm, also tells the console
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod attest;
pub mod board;
mod build;
pub mod bus;
pub mod config;
pub mod console;
pub mod control;
pub mod device_tree;
mod devices;
pub mod fleet;
pub mod gic;
mod idle;
pub mod line;
pub mod linux;
mod machine;
pub mod measure;
pub mod memory;
mod neighbours;
pub mod pe;
pub mod pl011;
pub mod report;
pub mod schedule;
mod serve;
mod teardown;
pub mod text;
mod turns;
pub mod virtio;

pub use build::Assembly;
pub use config::{Config, Segment};
pub use console::Console;
pub use machine::RealmMachine;
pub use pe::HostPe;
pub use report::{Event, Outcome, Report};
