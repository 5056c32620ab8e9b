//! The Realm Management Monitor: RMM specification 1.0, without unsafe code.
//!
//! The crate decides; the machine that it runs on is behind the traits of [`platform`].
#![no_std]
#![forbid(unsafe_code)]

pub mod platform;
pub mod rec;
