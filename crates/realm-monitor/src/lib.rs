//! The Realm Management Monitor: RMM specification 1.0, without unsafe code.
#![no_std]
#![forbid(unsafe_code)]

pub mod rec;
