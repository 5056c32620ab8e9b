//! The RSI client: what code inside a realm needs to talk to its RMM.
//!
//! A program brings its [`Conduit`], the `SMC` instruction, and gets typed calls: [`Rsi`] for the realm services
//! interface (RMM specification 1.0-rel0, B5) and [`Psci`] for power control. Pages and structures in memory are the
//! program's business; the client passes their addresses and interprets what was found in them.
//!
//! [`demo`] is a whole program on top of it.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod conduit;
mod config;
pub mod demo;
mod error;
mod ipa_state;
pub mod psci;
pub mod puppet;
mod rsi;
pub mod siege;
#[cfg(test)]
mod testing;

pub use cca_abi::GRANULE_SIZE;
pub use cca_abi::rsi::HostCall;
pub use conduit::Conduit;
pub use config::{HashAlgorithm, IpaWidth, RealmConfig};
pub use error::Error;
pub use ipa_state::Ripas;
pub use psci::Psci;
pub use rsi::{Rsi, TokenPart};
