//! The root monitor's decisions (EL3): which world owns which granule, which world an SMC belongs to, who runs.
//!
//! [`RootMonitor`] is the same object on hardware and in the in-process machine: it knows no instruction and no
//! address. Everything it works on comes through its constructor: storage for the protection table ([`gpt::Gpt`]), one
//! [`psci::ProcessingElement`] record for each PE, and a [`Platform`] for what only a machine can do. All of its
//! methods take `&self` and may run on all PEs at once.
//!
//! How a machine drives it:
//!
//! 1. Build a [`gpt::Gpt`] and give each range of memory its protection.
//! 2. [`RootMonitor::new`].
//! 3. On the primary PE at once, and on every other PE each time [`Platform::wake`] wakes it:
//!    [`RootMonitor::power_up`], which says whether to boot the RMM on this PE or to start the normal world.
//! 4. At each SMC: [`RootMonitor::smc`], and carry out the [`Action`] that it returns.
//!
//! Around it: [`manifest`] for what the RMM is told at boot, [`device_tree`] for what the machine says about itself and
//! what the normal world is told.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attestation;
pub mod device_tree;
pub mod gpt;
pub mod layout;
pub mod manifest;
pub mod memory;
pub mod monitor;
pub mod platform;
pub mod psci;
mod services;
pub mod transition;

pub use attestation::Identity;
pub use monitor::{Action, ConfigurationError, PowerUp, RootMonitor, World};
pub use platform::Platform;
