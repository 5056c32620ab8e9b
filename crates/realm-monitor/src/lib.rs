//! The Realm Management Monitor: RMM specification 1.0, without unsafe code.
//!
//! The crate decides; the machine that it runs on is behind the traits of [`platform`].
#![no_std]
#![forbid(unsafe_code)]

pub mod atomic;
pub mod attestation;
mod commands;
pub mod granule;
pub mod measurement;
pub mod monitor;
pub mod platform;
mod psci;
pub mod realm;
pub mod rec;
mod rsi;
pub mod rtt;
mod smc;
pub mod strict;

pub use monitor::Monitor;
