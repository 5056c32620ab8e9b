//! What the two images of this package share: the monitor on the machine, as it ships and as a strict one for tests.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
mod parts;

#[cfg(target_os = "none")]
pub use parts::{start, stop};
