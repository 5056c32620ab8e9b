//! The SMC instruction with the registers of the SMC Calling Convention 1.2.

use cca_abi::smccc::Registers;

/// Executes `SMC #0` with X0-X17 from `registers`, and stores what came back there.
///
/// All other registers are preserved by the calling convention (Arm DEN0028, 2.6).
#[cfg(target_os = "none")]
pub fn smc(registers: &mut Registers) {
    let [
        x0,
        x1,
        x2,
        x3,
        x4,
        x5,
        x6,
        x7,
        x8,
        x9,
        x10,
        x11,
        x12,
        x13,
        x14,
        x15,
        x16,
        x17,
    ] = &mut registers.0;
    // SAFETY: the calling convention names what the callee may change: X0-X17, all listed, and memory that the call
    // is about, which the block may change as it is not marked `nomem`. The stack of this program is not the callee's.
    unsafe {
        core::arch::asm!(
            "smc #0",
            inout("x0") * x0,
            inout("x1") * x1,
            inout("x2") * x2,
            inout("x3") * x3,
            inout("x4") * x4,
            inout("x5") * x5,
            inout("x6") * x6,
            inout("x7") * x7,
            inout("x8") * x8,
            inout("x9") * x9,
            inout("x10") * x10,
            inout("x11") * x11,
            inout("x12") * x12,
            inout("x13") * x13,
            inout("x14") * x14,
            inout("x15") * x15,
            inout("x16") * x16,
            inout("x17") * x17,
            options(nostack)
        );
    }
}

/// The SMC of the recorder.
#[cfg(not(target_os = "none"))]
pub fn smc(registers: &mut Registers) {
    super::fake::smc(registers);
}
