//! A simulated processing element inside a realm: its registers, its stage 2, its interrupts, its instructions.
//!
//! Everything is written from the architecture and not from the monitor, so that what the monitor
//! gets wrong about hardware fails here too.

pub(crate) mod core;
pub(crate) mod guest;
pub(crate) mod interface;
pub(crate) mod stage2;
pub(crate) mod state;
pub(crate) mod syndrome;
pub(crate) mod sysreg;

pub use self::core::{Cancelled, Instruction, Taken};
pub use guest::{GuestCpu, SECONDARY_OFFSET};
pub use syndrome::{Encoding, Transfer};
pub use sysreg::names;
