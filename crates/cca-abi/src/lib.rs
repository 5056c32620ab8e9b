//! Every number and layout between the worlds of Arm's Confidential Compute Architecture.
//!
//! One row of a command table (see [`rmi_commands!`](crate::rmi_commands)) gives a command its name, its
//! function identifier, its operands, its results and its failure conditions. Everything that has to agree on
//! a command is derived from that row: encode and decode, the RMM's dispatch trait, the host's client methods,
//! the names in traces and the lists that tests iterate over.
//!
//! Baseline: RMM specification DEN0137 1.0-rel0, the RMM-EL3 communication interface 0.4 with boot manifest
//! 0.3, and PSCI 1.1. Nothing here touches memory or hardware; structures in memory are described as words of
//! a granule so that any world can lay them over its own kind of memory.
#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod table;

pub mod el3;
pub mod explain;
pub mod firmware;
pub mod host_calls;
pub mod launch;
pub mod measurement;
pub mod mpidr;
pub mod psci;
pub mod rmi;
pub mod rsi;
pub mod smccc;

pub use table::{Condition, Failed, Fields, Outcome};

/// Size in bytes of a granule, the unit in which memory changes worlds. Always 4 KiB, whatever the page size of
/// the host (RMM specification 1.0-rel0, granules).
pub const GRANULE_SIZE: u64 = 4096;

/// Number of 64-bit words in a granule.
pub const GRANULE_WORDS: usize = 512;
