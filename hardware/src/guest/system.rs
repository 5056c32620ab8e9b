//! The system registers of EL0 and EL1 of this vCPU, for tests of who keeps them; and memory that is used for ever.
//!
//! The list is that of the architecture: every register with state that this program does not run on, and of those that it
//! runs on the bits that it does not need. A loss in the others ends it. The debug registers and the PMU are in
//! [`crate::common::points`], vectors in [`crate::common::vectors`]; the virtual timer has operations of its own.

use realm_guest::puppet::Access;

use crate::common::assembly::{assembly, routines, symbol};
use crate::common::canaries::canaries;

canaries! {
    "SP_EL0" "sp_el0" 0xFFFF_FFFF_FFF0,
    "ELR_EL1" "elr_el1" 0xFFFF_FFFF_FFFC,
    "SPSR_EL1" "spsr_el1" 0xF000_03C0,
    "CPACR_EL1" "cpacr_el1" 0x0033_0000,
    "TTBR1_EL1" "ttbr1_el1" 0xFFFF_FFFF_F000,
    "TCR_EL1.T1SZ" "tcr_el1" 0x003F_0000,
    "ESR_EL1" "esr_el1" 0xFFFF_FFFF,
    "AFSR0_EL1" "afsr0_el1" 0xFFFF_FFFF,
    "AFSR1_EL1" "afsr1_el1" 0xFFFF_FFFF,
    "FAR_EL1" "far_el1" 0xFFFF_FFFF_FFFF_FFFF,
    "MAIR_EL1" "mair_el1" 0xFFFF_FFFF_FFFF_0000,
    "AMAIR_EL1" "amair_el1" 0xFFFF_FFFF,
    // Those of the handler of interrupts are as it needs them while it may be called.
    "VBAR_EL1" "vbar_el1" 0xFFFF_FFFF_F800,
    "TPIDR_EL1" "tpidr_el1" 0xFFFF_FFFF_FFFF_FFFF,
    "CONTEXTIDR_EL1" "contextidr_el1" 0xFFFF_FFFF,
    "TPIDR_EL0" "tpidr_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "TPIDRRO_EL0" "tpidrro_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "CSSELR_EL1" "csselr_el1" 0x3,
    "CNTKCTL_EL1" "cntkctl_el1" 0x303,
    "PAR_EL1" "par_el1" 0xFF00_FFFF_FFFF_F180,
    "CNTP_CVAL_EL0" "cntp_cval_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "CNTP_CTL_EL0" "cntp_ctl_el0" 0x2,
    "DISR_EL1" "s3_0_c12_c1_1" 0x81FF_FFFF,
    "APIAKeyLo_EL1" "s3_0_c2_c1_0" 0xFFFF_FFFF_FFFF_FFFF,
    "APIAKeyHi_EL1" "s3_0_c2_c1_1" 0xFFFF_FFFF_FFFF_FFFF,
    "APIBKeyLo_EL1" "s3_0_c2_c1_2" 0xFFFF_FFFF_FFFF_FFFF,
    "APIBKeyHi_EL1" "s3_0_c2_c1_3" 0xFFFF_FFFF_FFFF_FFFF,
    "APDAKeyLo_EL1" "s3_0_c2_c2_0" 0xFFFF_FFFF_FFFF_FFFF,
    "APDAKeyHi_EL1" "s3_0_c2_c2_1" 0xFFFF_FFFF_FFFF_FFFF,
    "APDBKeyLo_EL1" "s3_0_c2_c2_2" 0xFFFF_FFFF_FFFF_FFFF,
    "APDBKeyHi_EL1" "s3_0_c2_c2_3" 0xFFFF_FFFF_FFFF_FFFF,
    "APGAKeyLo_EL1" "s3_0_c2_c3_0" 0xFFFF_FFFF_FFFF_FFFF,
    "APGAKeyHi_EL1" "s3_0_c2_c3_1" 0xFFFF_FFFF_FFFF_FFFF,
}

/// Fills the registers with what `seed` says. Returns how many hold all of it.
pub(super) fn fill_system(seed: u64) -> u64 {
    fill(seed)
}

/// The registers that are not what [`fill_system`] left in them last, a bit for each.
pub(super) fn system_differences() -> u64 {
    const { assert!(NAMES.len() <= 64) };
    differences().fold(0, |bits, n| bits | 1 << n)
}

assembly!(
    r#"
    // X0 = how: 0 load, 1 store, 2 load after an invalidation of stage 1, else nothing. X1 = address. Does not come back.
    .pushsection .text.guest_use_memory, "ax"
    .balign 64
guest_use_memory_code:
guest_use_memory:
    cbz     x0, 1f
    cmp     x0, #2
    b.eq    3f
    b.hi    4f
2:  str     xzr, [x1]
    b       2b
1:  ldr     x2, [x1]
    b       1b
3:  tlbi    vmalle1
    dsb     nsh
    isb
    ldr     x2, [x1]
    b       3b
4:  b       4b
    .popsection
    "#
);

routines! {
    fn guest_use_memory(how: u64, address: u64) -> !;
}

/// Uses the doubleword at `address` for ever.
///
/// # Safety
///
/// No Rust object is there.
pub(super) unsafe fn use_memory(access: Access, address: u64) -> ! {
    // SAFETY: the caller's promise; the routine touches nothing else, and dropping translations changes nothing.
    unsafe { guest_use_memory(access as u64, address) }
}

/// Where the code of [`use_memory`] is.
pub(super) fn use_memory_code() -> u64 {
    symbol!(guest_use_memory_code)
}
