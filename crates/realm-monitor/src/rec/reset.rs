//! The state of a processor of a realm when it starts (RMM specification 1.0-rel0, A4.1; PSCI CPU_ON).

use super::layout::{self, SysReg};
use super::{control, timers};
use crate::platform::{RecContext, Stage2};

/// PSTATE at the start: AArch64, EL1 with its own stack pointer, debug exceptions and interrupts masked.
pub(super) const PSTATE: u64 = 0x3C5;

/// SCTLR_EL1 after reset: MMU and caches off, and the bits that are RES1 without the feature that uses them
/// (SPAN, EIS, nTWE, nTWI, EOS, nAA, CP15BEN, SA0, SA).
const SCTLR: u64 = 0x00C5_0878;
const SCTLR_EE: u64 = 1 << 25;

/// MDSCR_EL1.TDCC: EL0 has no access to the debug communication channel.
const MDSCR: u64 = 1 << 12;

/// PMCR_EL0: LC and DP.
const PMCR: u64 = 1 << 6 | 1 << 5;

/// What distinguishes one REC from another when it is created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creation {
    /// Physical address of the realm descriptor.
    pub(crate) owner: u64,
    /// RmiRecMpidr.
    pub(crate) mpidr: u64,
    /// MPIDR_EL1 as the realm reads it.
    pub(crate) vmpidr: u64,
    /// Whether it can be entered.
    pub(crate) runnable: bool,
    /// First instruction.
    pub(crate) pc: u64,
    /// X0 to X7.
    pub(crate) gprs: [u64; 8],
    /// Stage 2 of the realm.
    pub(crate) stage2: Stage2,
    /// IPA width of the realm in bits.
    pub(crate) ipa_bits: u32,
    /// Length of SVE vectors in units of 128 bits; 0 without SVE.
    pub(crate) sve_vectors: u64,
    /// Event counters of the PMU; `None` without it.
    pub(crate) pmu_counters: Option<u8>,
    /// Breakpoints minus one.
    pub(crate) num_bps: u8,
    /// Watchpoints minus one.
    pub(crate) num_wps: u8,
}

/// Fills a REC granule that is all zero.
pub(crate) fn initialise(rec: RecContext<'_>, creation: &Creation) {
    for (n, value) in creation.gprs.into_iter().enumerate() {
        rec.set_gpr(n, value);
    }
    rec.set(layout::PC, creation.pc);
    rec.set(layout::PSTATE, PSTATE);
    rec.set_sysreg(SysReg::SctlrEl1, SCTLR);
    rec.set_sysreg(SysReg::MdscrEl1, MDSCR);
    rec.set_sysreg(SysReg::PmcrEl0, PMCR);

    rec.set(layout::HCR_EL2, control::HCR_BASE);
    rec.set(layout::MDCR_EL2, control::mdcr(creation.pmu_counters));
    rec.set(layout::SVE_VECTORS, creation.sve_vectors);
    rec.set(
        layout::DEBUG_POINTS,
        u64::from(creation.num_bps) | u64::from(creation.num_wps) << 8,
    );
    rec.set(layout::CPTR_EL2, control::CPTR);
    rec.set(layout::CNTHCTL_EL2, timers::control(0));
    rec.set(layout::VMPIDR_EL2, creation.vmpidr);
    rec.set(layout::VTTBR_EL2, creation.stage2.vttbr);
    rec.set(layout::VTCR_EL2, creation.stage2.vtcr);

    rec.set(layout::OWNER, creation.owner);
    rec.set(layout::MPIDR, creation.mpidr);
    rec.set(layout::RUNNABLE, creation.runnable.into());
    rec.set(layout::IPA_WIDTH, creation.ipa_bits.into());
}

/// Starts a REC that was off, as PSCI CPU_ON asks: everything that a realm can have left in it is reset, the byte
/// order of exceptions is that of the caller.
pub(crate) fn power_on(rec: RecContext<'_>, entry_point: u64, context_id: u64, caller_sctlr: u64) {
    rec.set_gpr(0, context_id);
    for n in 1..layout::GPR_COUNT {
        rec.set_gpr(n, 0);
    }
    rec.set(layout::PC, entry_point);
    rec.set(layout::PSTATE, PSTATE);
    for word in layout::SYSREGS..layout::SYSREGS + SysReg::COUNT {
        rec.set(word, 0);
    }
    rec.set_sysreg(SysReg::SctlrEl1, SCTLR | caller_sctlr & SCTLR_EE);
    rec.set_sysreg(SysReg::MdscrEl1, MDSCR);
    rec.set_sysreg(SysReg::PmcrEl0, PMCR);
    for word in [
        layout::CNTP_CTL,
        layout::CNTP_CVAL,
        layout::CNTV_CTL,
        layout::CNTV_CVAL,
    ] {
        rec.set(word, 0);
    }
    rec.set(layout::HCR_EL2, control::HCR_BASE);
    rec.set(layout::VSESR_EL2, 0);
    // Interrupt controller, ZCR_EL1 and OS lock; debug registers and PMU.
    for word in (layout::ICH_HCR_EL2..layout::FPCR).chain(layout::DBGBVR..rec.0.len()) {
        if word != layout::DEBUG_POINTS {
            rec.set(word, 0);
        }
    }
    rec.set(layout::RUNNABLE, 1);
}
