//! The scenarios on hardware: a payload at NS-EL2 in place of a hypervisor.
//!
//! Prints a line for each scenario and, at the end, how many passed; then turns the machine off. The word at 0x5000_0000 says what is
//! special about the firmware in this machine. Bit 0: it has no identity, and only the scenarios run that need it so. Bit 1: its RMM
//! is another one, and scenarios expect no more than the specification asks of every RMM. Bit 2: no scenarios, the machine is reset
//! once instead and looked through; with bit 3 the runner has it reset. Bit 4: no scenarios either, the
//! runner looks for devices that read and write memory by themselves, and says what it finds. If a name follows in the page,
//! only the scenario of that name runs.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod elsewhere;
#[cfg(target_os = "none")]
mod host;
#[cfg(target_os = "none")]
mod program;
#[cfg(target_os = "none")]
mod reset;

#[cfg(not(target_os = "none"))]
fn main() {}
