//! What a hypervisor needs to host realms: granules, realms, RECs and the run loop.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod supply;
pub mod transport;
pub mod units;

pub use supply::{GranuleWords, PageSupply};
pub use transport::SmcTransport;
pub use units::{GranuleAddress, GranuleCount, Ipa, IpaRange, PageAddress, PageCount, PageSize};
