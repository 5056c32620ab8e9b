//! What hostile input does to the monitors, the hypervisor and the tool: generators, and what has to hold afterwards.
//!
//! Each module has a function `run` that makes something of any bytes and panics if a rule is broken. A fuzzer calls
//! it with the bytes that it finds interesting (`cargo xtask fuzz`), the tests of this crate with a few that are
//! drawn from a fixed seed, so that both check the same rules.
#![forbid(unsafe_code)]

pub mod control;
pub mod device_tree;
pub mod formats;
mod hand;
mod heard;
pub mod host;
pub mod interrupts;
pub mod manifest;
mod moves;
pub mod realm;
pub mod rings;
pub mod root;
pub mod script;
mod stage;
pub mod stress;
pub mod swarm;
pub mod token;
pub mod tool;
pub mod virtio;

pub use hand::{Hand, inputs};
