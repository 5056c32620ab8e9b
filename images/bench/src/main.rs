//! The benchmark: a payload at NS-EL2 that counts what the firmware spends on each call.
//!
//! Prints a line `bench NAME COUNT` for each measurement, several for each name, and turns the machine off. The count
//! is in ticks of the counter without the reading of it: on QEMU with `-icount shift=0` the number of instructions
//! from the SMC, which counts, to the instruction behind it.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod host;
#[cfg(target_os = "none")]
mod program;
#[cfg(target_os = "none")]
mod realm;

#[cfg(not(target_os = "none"))]
fn main() {}
