//! What a hypervisor needs to host realms: granules, realms, RECs and the run loop.
//!
//! The embedder brings two things: a way to issue SMCs ([`SmcTransport`]) and a page allocator ([`PageSupply`]). A
//! [`Host`] made of them finds the Realm Management Monitor and keeps the ledger of every granule that it was given. A
//! [`Realm`] is created from a [`RealmConfig`], filled, given vCPUs, activated, run through its RECs, and destroyed; which of
//! that is possible when is a matter of types.
//!
//! Everything is done through RMI 1.0 (RMM specification DEN0137 1.0-rel0) and assumes no more than that promises. The typed
//! client of its commands ([`client::Client`]), the units and the computation of the initial measurement ([`measure`]) work
//! alone and without `alloc`.
//!
//! # What holds whatever fails
//!
//! - An operation ends done, or exactly as it began, or it says how far it came.
//! - Destroying never allocates, goes on after a failure where it stopped, and does not let one stubborn object keep the rest.
//! - A granule is freed only after the monitor has given it back. One that it does not give back is in quarantine, where it can
//!   be seen and tried again; the page that it lies in is not freed.
//! - What the monitor answers is checked before it is believed.
//! - No lock is held while a REC runs.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod client;
pub mod error;
pub mod measure;
pub mod supply;
pub mod transport;
pub mod units;

#[cfg(feature = "alloc")]
mod host;
#[cfg(feature = "alloc")]
pub mod ledger;
#[cfg(feature = "alloc")]
pub mod realm;
#[cfg(feature = "alloc")]
pub mod rec;

pub use error::Error;
pub use supply::{GranuleWords, PageSupply};
pub use transport::SmcTransport;
pub use units::{GranuleAddress, GranuleCount, Ipa, IpaRange, PageAddress, PageCount, PageSize};

#[cfg(feature = "alloc")]
pub use host::Host;
#[cfg(feature = "alloc")]
pub use realm::{Realm, RealmConfig};
#[cfg(feature = "alloc")]
pub use rec::VcpuConfig;
