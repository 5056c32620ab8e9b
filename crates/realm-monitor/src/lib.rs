//! The Realm Management Monitor: RMM specification 1.0, without unsafe code.
//!
//! The crate decides; the machine that it runs on is behind the traits of [`platform`].
#![no_std]
#![forbid(unsafe_code)]

pub mod granule;
pub mod measurement;
pub mod monitor;
pub mod platform;
pub mod realm;
pub mod rec;
pub mod rtt;

pub use monitor::Monitor;
