//! Calls that are counted: by the counter, which QEMU lets count instructions.

use cca_abi::smccc::Registers;

use crate::common::barrier;
use crate::read_sysreg;

/// The physical counter.
pub fn counter() -> u64 {
    barrier::isb();
    read_sysreg!("cntpct_el0")
}

/// Ticks of [`counter`] per second.
pub fn frequency() -> u64 {
    read_sysreg!("cntfrq_el0")
}

/// Executes `SMC #0` with X0 to X17 from `registers`, stores what came back there, and gives the ticks that passed
/// from the SMC to the instruction behind it, without those of reading the counter.
#[cfg(target_os = "none")]
pub fn timed_smc(registers: &mut Registers) -> u64 {
    let (empty, before, after): (u64, u64, u64);
    let block = registers.0.as_mut_ptr();
    // SAFETY: as for `crate::common::smc::smc`; the block loads X0 to X17 from the registers and stores them there.
    unsafe {
        core::arch::asm!(
            "ldp     x16, x17, [{block}, #128]",
            "ldp     x14, x15, [{block}, #112]",
            "ldp     x12, x13, [{block}, #96]",
            "ldp     x10, x11, [{block}, #80]",
            "ldp     x8, x9, [{block}, #64]",
            "ldp     x6, x7, [{block}, #48]",
            "ldp     x4, x5, [{block}, #32]",
            "ldp     x2, x3, [{block}, #16]",
            "ldp     x0, x1, [{block}]",
            "isb",
            "mrs     {empty}, cntpct_el0",
            "mrs     {before}, cntpct_el0",
            "smc     #0",
            "mrs     {after}, cntpct_el0",
            "stp     x0, x1, [{block}]",
            "stp     x2, x3, [{block}, #16]",
            "stp     x4, x5, [{block}, #32]",
            "stp     x6, x7, [{block}, #48]",
            "stp     x8, x9, [{block}, #64]",
            "stp     x10, x11, [{block}, #80]",
            "stp     x12, x13, [{block}, #96]",
            "stp     x14, x15, [{block}, #112]",
            "stp     x16, x17, [{block}, #128]",
            block = in(reg) block,
            empty = out(reg) empty,
            before = out(reg) before,
            after = out(reg) after,
            out("x0") _, out("x1") _, out("x2") _, out("x3") _, out("x4") _, out("x5") _, out("x6") _, out("x7") _,
            out("x8") _, out("x9") _, out("x10") _, out("x11") _, out("x12") _, out("x13") _, out("x14") _,
            out("x15") _, out("x16") _, out("x17") _,
            options(nostack),
        );
    }
    (after - before) - (before - empty)
}

/// Without a processor that counts there is nothing but the call.
#[cfg(not(target_os = "none"))]
pub fn timed_smc(registers: &mut Registers) -> u64 {
    crate::common::smc::smc(registers);
    0
}
