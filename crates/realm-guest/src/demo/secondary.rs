//! The program of every vCPU but vCPU 0.

use cca_abi::mpidr::index_from_architectural;

use super::board::Board;
use super::steps::{Vcpu, give_up};
use super::{Failure, GuestPe};
use crate::GRANULE_SIZE;

/// Runs the program on a vCPU that PSCI `CPU_ON` started, with the `context` argument of that call.
///
/// Ends in PSCI `CPU_OFF`; returns only where the machine lets that call return.
pub fn run_secondary<P: GuestPe>(pe: &P, context: u64) {
    match Board::recall(pe, context) {
        Ok((board, width)) => {
            let vcpu = Vcpu {
                pe,
                board,
                width,
                index: index_from_architectural(pe.mpidr()),
            };
            vcpu.guard(demonstrate);
        }
        // Without the board the console is out of reach, and the granule that should hold it is free.
        Err(_) => give_up(pe, context & !(GRANULE_SIZE - 1)),
    }
}

fn demonstrate<P: GuestPe>(vcpu: &Vcpu<'_, P>) -> Result<(), Failure> {
    vcpu.introduce()?;
    vcpu.psci().cpu_off();
    Ok(())
}
