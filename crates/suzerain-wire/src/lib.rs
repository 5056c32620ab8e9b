//! How a hypervisor and the tool outside of its machine exchange bytes: a channel in memory that both see.
//!
//! The tool starts the machine and maps a piece of its normal-world memory. No device is between the two, so none can be told to
//! read or write anything else. In the memory are two [rings](ring), one each way; where they are is said by [`channel`].
//! Beside the memory there is a *bell* each way: when a call says so, its end has to ring, which wakes the other.
//!
//! Neither end believes the other. What an end knows of its own progress it keeps to itself; a word of the other end is read once
//! and checked against that. The worst that a hostile end can do is to say nonsense, or nothing, and to ring in vain.
#![no_std]
#![forbid(unsafe_code)]

pub mod channel;
pub mod memory;
pub mod ring;

pub use channel::Unserved;
pub use memory::{Memory, Word};
pub use ring::{Broken, Moved, Receiver, Sender};
