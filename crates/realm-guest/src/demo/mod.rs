//! The demonstration realm: one program, run by every vCPU of the realm that `suzerain run` starts without an image.
//!
//! The program is generic over [`GuestPe`], so that the bare-metal image and the in-process machine run the very same
//! code and say the same lines. It shows what a realm may count on and checks it on the way:
//!
//! 1. vCPU 0 asks RSI for its version and for the realm's configuration, and reads the realm initial measurement;
//! 2. it turns on every other vCPU with PSCI `CPU_ON`, until the RMM says that there is no such vCPU;
//! 3. each vCPU says its MPIDR, makes a host call and takes an interrupt of its virtual timer;
//! 4. vCPU 0 shares a page with the host, takes it back, and touches memory that nobody has populated;
//! 5. it has the RMM make an attestation token over a challenge of the host's, and hands it to the host;
//! 6. the other vCPUs turn themselves off; vCPU 0 waits for that and ends the realm with `SYSTEM_OFF`.
//!
//! What a check finds wrong is printed as `demo: FAILED ...` and told to the host with the host call
//! [`FAILED`](cca_abi::host_calls::FAILED), which ends the run with an error.

mod attest;
mod board;
mod console;
mod failure;
mod pe;
mod primary;
mod secondary;
mod steps;

pub use board::{Board, MINIMUM_MEMORY, PROGRAM_SIZE};
pub use failure::Failure;
pub use pe::GuestPe;
pub use primary::run;
pub use secondary::run_secondary;

#[cfg(test)]
mod tests;
