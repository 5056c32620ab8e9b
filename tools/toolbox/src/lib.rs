//! What it takes to get from a clean clone to images that boot: programs of others, tools, bare-metal builds, packing.
//!
//! Two programs stand on it: `suzerain`, so that its first start needs no other command, and `cargo xtask`, for people who work
//! on the project. What only one of them needs is not here; nothing here is for checking.

#![forbid(unsafe_code)]

pub mod child;
mod consent;
pub mod debian;
mod error;
pub mod firmware;
pub mod images;
pub mod progress;
pub mod qemu;
mod raw;
pub mod setup;
pub mod toolchain;
pub mod workspace;

pub use consent::Consent;
pub use error::Error;
pub use progress::Progress;
