//! Realm execution contexts (RECs): the granule that holds one, its reset state and its run loop.

pub mod layout;

mod auxiliary;
mod context;
mod control;
mod enter;
mod exit;
mod gic;
mod inject;
mod memory;
mod reset;
mod run;
mod running;
mod stage1;
mod timers;
mod trap;

pub use crate::platform::RecContext;
pub use auxiliary::auxiliary_granules;
pub(crate) use enter::Enter;
pub(crate) use exit::Exit;
pub(crate) use memory::{Fault, Inaccessible};
pub(crate) use reset::{Creation, initialise, power_on};
pub(crate) use running::{LastExit, Next, RunningRec, TokenState};
