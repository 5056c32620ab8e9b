//! The system registers of EL0 to EL2 of this PE, for tests of who keeps them.
//!
//! The list is that of the architecture for a PE whose EL2 is without the host extensions: every register with state that
//! this program does not run on. Breakpoints, watchpoints and the PMU are in [`crate::common::points`], vectors in
//! [`crate::common::vectors`], but for their controls.

use super::alloc::vec::Vec;
use super::simd;

use crate::common::canaries::canaries;

canaries! {
    "SP_EL0" "sp_el0" 0xFFFF_FFFF_FFF0,
    "SP_EL1" "s3_4_c4_c1_0" 0xFFFF_FFFF_FFF0,
    "ELR_EL1" "elr_el1" 0xFFFF_FFFF_FFFC,
    "SPSR_EL1" "spsr_el1" 0xF000_03C0,
    "SCTLR_EL1" "sctlr_el1" 0x0400_C200,
    "ACTLR_EL1" "actlr_el1" 0xFFFF,
    "CPACR_EL1" "cpacr_el1" 0x0033_0000,
    "TTBR0_EL1" "ttbr0_el1" 0xFFFF_FFFF_F000,
    "TTBR1_EL1" "ttbr1_el1" 0xFFFF_FFFF_F000,
    "TCR_EL1" "tcr_el1" 0x003F_003F,
    "ESR_EL1" "esr_el1" 0xFFFF_FFFF,
    "AFSR0_EL1" "afsr0_el1" 0xFFFF_FFFF,
    "AFSR1_EL1" "afsr1_el1" 0xFFFF_FFFF,
    "FAR_EL1" "far_el1" 0xFFFF_FFFF_FFFF_FFFF,
    "MAIR_EL1" "mair_el1" 0xFFFF_FFFF_FFFF_FFFF,
    "AMAIR_EL1" "amair_el1" 0xFFFF_FFFF,
    "VBAR_EL1" "vbar_el1" 0xFFFF_FFFF_F800,
    "CONTEXTIDR_EL1" "contextidr_el1" 0xFFFF_FFFF,
    "TPIDR_EL1" "tpidr_el1" 0xFFFF_FFFF_FFFF_FFFF,
    "TPIDR_EL0" "tpidr_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "TPIDRRO_EL0" "tpidrro_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "CSSELR_EL1" "csselr_el1" 0x3,
    "CNTKCTL_EL1" "cntkctl_el1" 0x303,
    "PAR_EL1" "par_el1" 0xFF00_FFFF_FFFF_F180,
    // Debug exceptions of EL1 and EL0, each kind.
    "MDSCR_EL1" "mdscr_el1" 0xB001,
    // What counting depends on, but not whether there is any.
    "PMCR_EL0" "pmcr_el0" 0x78,
    "MDCCINT_EL1" "mdccint_el1" 0x6000_0000,
    "SCXTNUM_EL0" "s3_3_c13_c0_7" 0xFFFF_FFFF_FFFF_FFFF,
    "SCXTNUM_EL1" "s3_0_c13_c0_7" 0xFFFF_FFFF_FFFF_FFFF,
    "FPCR" "s3_3_c4_c4_0" 0x07C8_0007,
    "FPSR" "s3_3_c4_c4_1" 0x0800_009F,
    "ZCR_EL1" "s3_0_c1_c2_0" 0xF,
    "ZCR_EL2" "s3_4_c1_c2_0" 0xF,
    "CNTP_CVAL_EL0" "cntp_cval_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "CNTP_CTL_EL0" "cntp_ctl_el0" 0x2,
    "CNTV_CVAL_EL0" "cntv_cval_el0" 0xFFFF_FFFF_FFFF_FFFF,
    "CNTV_CTL_EL0" "cntv_ctl_el0" 0x2,
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
    // Trap bits that concern EL0 and EL1 only.
    "HCR_EL2" "hcr_el2" 0x07FF_E000,
    "MDCR_EL2" "mdcr_el2" 0xE60,
    "CPTR_EL2" "cptr_el2" 0xC010_0000,
    "HSTR_EL2" "hstr_el2" 0xF,
    "TTBR1_EL2" "s3_4_c2_c0_1" 0xFFFF_FFFF_F000,
    "ELR_EL2" "elr_el2" 0xFFFF_FFFF_FFFC,
    "SPSR_EL2" "spsr_el2" 0xF000_03C0,
    "ESR_EL2" "esr_el2" 0xFFFF_FFFF,
    "FAR_EL2" "far_el2" 0xFFFF_FFFF_FFFF_FFFF,
    "HPFAR_EL2" "hpfar_el2" 0xFFF_FFFF_FFF0,
    "CONTEXTIDR_EL2" "s3_4_c13_c0_1" 0xFFFF_FFFF,
    "CNTHCTL_EL2" "cnthctl_el2" 0x3,
    "CNTVOFF_EL2" "cntvoff_el2" 0xFFFF_FFFF_FFFF,
    "VMPIDR_EL2" "vmpidr_el2" 0xFF_00FF_FFFF,
    "VPIDR_EL2" "vpidr_el2" 0xFFFF_FFFF,
    "VTCR_EL2" "vtcr_el2" 0x7F_FFFF,
    "VTTBR_EL2" "vttbr_el2" 0x00FF_FFFF_FFFF_F000,
    "DISR_EL1" "s3_0_c12_c1_1" 0x81FF_FFFF,
    "VDISR_EL2" "s3_4_c12_c1_1" 0x1FF_FFFF,
    "VSESR_EL2" "s3_4_c5_c2_3" 0x1FF_FFFF,
    "VNCR_EL2" "s3_4_c2_c2_0" 0xFFFF_FFFF_F000,
    "ICH_HCR_EL2" "s3_4_c12_c11_0" 0x7C00,
    "ICH_VMCR_EL2" "s3_4_c12_c11_7" 0xFF00_0003,
    "HFGRTR_EL2" "s3_4_c1_c1_4" 0x3_FFFF_FFFF,
    "HFGWTR_EL2" "s3_4_c1_c1_5" 0x3_FFFF_FFFF,
    "HFGITR_EL2" "s3_4_c1_c1_6" 0x3_FFFF_FFFF,
    "HDFGRTR_EL2" "s3_4_c3_c1_4" 0x3_FFFF_FFFF,
    "HDFGWTR_EL2" "s3_4_c3_c1_5" 0x3_FFFF_FFFF,
    "HCRX_EL2" "s3_4_c1_c2_2" 0xC00,
    "CNTPOFF_EL2" "s3_4_c14_c0_6" 0xFFFF_FFFF_FFFF,
    "SCXTNUM_EL2" "s3_4_c13_c0_7" 0xFFFF_FFFF_FFFF_FFFF,
}

/// Fills the registers with what `seed` says, on a CPU that has SVE. Returns how many hold all of it.
pub fn fill_system(seed: u64) -> u64 {
    simd::open(0);
    fill(seed)
}

/// The names of the registers that are not what [`fill_system`] left in them last.
pub fn system_differences() -> Vec<&'static str> {
    differences().map(|n| NAMES[n]).collect()
}
