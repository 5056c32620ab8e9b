//! PSCI of the normal world: other PEs, and the end of the machine.

use cca_abi::psci::{Function, code};
use cca_abi::smccc::Registers;

use super::entry::{self, MAX_PES};
use crate::common::{barrier, smc};

fn call(function: Function, arguments: &[u64]) -> i64 {
    let mut registers = Registers::call(function.function_id(), arguments);
    smc::smc(&mut registers);
    registers.0[0] as i64
}

/// Turns on the PE with this MPIDR; it comes to the image's secondary program with `index`, which no other PE has.
///
/// # Errors
///
/// PSCI's code (Arm DEN0022, 5.2.2) if the firmware refuses.
///
/// # Panics
///
/// If there is no stack for `index`: it must be from 1 to below [`MAX_PES`].
pub fn start_pe(mpidr: u64, index: usize) -> Result<(), i64> {
    assert!((1..MAX_PES).contains(&index), "PE {index} has no stack");
    barrier::dsb_sy();
    match call(
        Function::CpuOn,
        &[mpidr, entry::secondary_entry(), index as u64],
    ) {
        code::SUCCESS => Ok(()),
        refused => Err(refused),
    }
}

/// Rings for whoever started the machine, by the call with this function id. He sees everything that was stored before.
pub(super) fn ring(function_id: u32) {
    barrier::dsb_sy();
    smc::smc(&mut Registers::call(function_id, &[]));
}

/// Turns this PE off.
pub(super) fn pe_off() -> ! {
    call(Function::CpuOff, &[]);
    barrier::halt()
}

/// Resets the machine.
pub fn system_reset() -> ! {
    call(Function::SystemReset, &[]);
    barrier::halt()
}

/// Turns the machine off.
pub fn system_off() -> ! {
    call(Function::SystemOff, &[]);
    barrier::halt()
}
