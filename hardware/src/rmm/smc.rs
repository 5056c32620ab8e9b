//! Calls to EL3.

use cca_abi::smccc::Registers;

/// Executes SMC #0 with X0 to X7, and gives back X0 to X7. EL3 keeps all others.
#[cfg(target_os = "none")]
pub fn smc(registers: &mut [u64; 8]) {
    let [x0, x1, x2, x3, x4, x5, x6, x7] = registers;
    // SAFETY: EL3 keeps the RMM's memory and all registers but those named (X8 to X17 are the calling convention's to
    // lose). Its services touch no memory of this program but the shared buffer, which is accessed as atomics.
    unsafe {
        core::arch::asm!(
            "smc #0",
            inout("x0") *x0, inout("x1") *x1, inout("x2") *x2, inout("x3") *x3,
            inout("x4") *x4, inout("x5") *x5, inout("x6") *x6, inout("x7") *x7,
            lateout("x8") _, lateout("x9") _, lateout("x10") _, lateout("x11") _, lateout("x12") _,
            lateout("x13") _, lateout("x14") _, lateout("x15") _, lateout("x16") _, lateout("x17") _,
            options(nostack)
        );
    }
}

/// The SMC of the recorder.
#[cfg(not(target_os = "none"))]
pub fn smc(registers: &mut [u64; 8]) {
    let mut all = Registers::default();
    all.0[..8].copy_from_slice(registers);
    crate::common::fake::smc(&mut all);
    registers.copy_from_slice(&all.0[..8]);
}

/// A service of EL3 with one argument: its X0.
pub fn service(function: u64, argument: u64) -> i64 {
    let mut registers = [function, argument, 0, 0, 0, 0, 0, 0];
    smc(&mut registers);
    registers[0] as i64
}

/// Gives control to EL3 with `function` and arguments X1 to X7, and returns at the next call of the host: its X0 to X7.
pub fn next_call(function: u64, arguments: &[u64]) -> Registers {
    let mut registers = [0; 8];
    registers[0] = function;
    registers[1..=arguments.len()].copy_from_slice(arguments);
    smc(&mut registers);
    let mut call = Registers::default();
    call.0[..8].copy_from_slice(&registers);
    call
}
