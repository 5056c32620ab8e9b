//! What it takes to get from a clean clone to images that boot: tools, bare-metal builds, packing.
//!
//! The library serves two programs: `cargo xtask`, for people who work on the project, and `suzerain run`, which
//! does the same on its first start so that one command is enough.

#![forbid(unsafe_code)]

pub mod child;
pub mod debian;
pub mod error;
pub mod firmware;
pub mod images;
pub mod layering;
pub mod progress;
pub mod promises;
pub mod qemu;
pub mod raw;
pub mod setup;
pub mod source;
pub mod toolchain;
pub mod unsafety;
pub mod workspace;

pub use error::Error;
pub use progress::Progress;
