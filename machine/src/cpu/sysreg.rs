//! System registers: which ones a realm reaches, which accesses trap to R-EL2, and what the others do.

use realm_monitor::rec::layout::SysReg;

use super::state::{State, Timer};
use super::syndrome::Encoding;
use crate::clock::FREQUENCY;

/// Registers by their architectural names.
pub mod names {
    use super::Encoding;

    /// `MIDR_EL1`.
    pub const MIDR_EL1: Encoding = Encoding(3, 0, 0, 0, 0);
    /// `MPIDR_EL1`.
    pub const MPIDR_EL1: Encoding = Encoding(3, 0, 0, 0, 5);
    /// `ID_AA64PFR0_EL1`.
    pub const ID_AA64PFR0_EL1: Encoding = Encoding(3, 0, 0, 4, 0);
    /// `ID_AA64DFR0_EL1`.
    pub const ID_AA64DFR0_EL1: Encoding = Encoding(3, 0, 0, 5, 0);
    /// `ID_AA64MMFR0_EL1`.
    pub const ID_AA64MMFR0_EL1: Encoding = Encoding(3, 0, 0, 7, 0);
    /// `SCTLR_EL1`.
    pub const SCTLR_EL1: Encoding = Encoding(3, 0, 1, 0, 0);
    /// `ACTLR_EL1`.
    pub const ACTLR_EL1: Encoding = Encoding(3, 0, 1, 0, 1);
    /// `TPIDR_EL1`.
    pub const TPIDR_EL1: Encoding = Encoding(3, 0, 13, 0, 4);
    /// `VBAR_EL1`.
    pub const VBAR_EL1: Encoding = Encoding(3, 0, 12, 0, 0);
    /// `PMCR_EL0`.
    pub const PMCR_EL0: Encoding = Encoding(3, 3, 9, 12, 0);
    /// `CNTFRQ_EL0`.
    pub const CNTFRQ_EL0: Encoding = Encoding(3, 3, 14, 0, 0);
    /// `CNTPCT_EL0`.
    pub const CNTPCT_EL0: Encoding = Encoding(3, 3, 14, 0, 1);
    /// `CNTVCT_EL0`.
    pub const CNTVCT_EL0: Encoding = Encoding(3, 3, 14, 0, 2);
    /// `CNTP_CTL_EL0`.
    pub const CNTP_CTL_EL0: Encoding = Encoding(3, 3, 14, 2, 1);
    /// `CNTP_CVAL_EL0`.
    pub const CNTP_CVAL_EL0: Encoding = Encoding(3, 3, 14, 2, 2);
    /// `CNTV_CTL_EL0`.
    pub const CNTV_CTL_EL0: Encoding = Encoding(3, 3, 14, 3, 1);
    /// `CNTV_CVAL_EL0`.
    pub const CNTV_CVAL_EL0: Encoding = Encoding(3, 3, 14, 3, 2);
    /// `ICC_PMR_EL1`.
    pub const ICC_PMR_EL1: Encoding = Encoding(3, 0, 4, 6, 0);
    /// `ICC_DIR_EL1`.
    pub const ICC_DIR_EL1: Encoding = Encoding(3, 0, 12, 11, 1);
    /// `ICC_RPR_EL1`.
    pub const ICC_RPR_EL1: Encoding = Encoding(3, 0, 12, 11, 3);
    /// `ICC_SGI1R_EL1`.
    pub const ICC_SGI1R_EL1: Encoding = Encoding(3, 0, 12, 11, 5);
    /// `ICC_ASGI1R_EL1`.
    pub const ICC_ASGI1R_EL1: Encoding = Encoding(3, 0, 12, 11, 6);
    /// `ICC_SGI0R_EL1`.
    pub const ICC_SGI0R_EL1: Encoding = Encoding(3, 0, 12, 11, 7);
    /// `ICC_IAR1_EL1`.
    pub const ICC_IAR1_EL1: Encoding = Encoding(3, 0, 12, 12, 0);
    /// `ICC_EOIR1_EL1`.
    pub const ICC_EOIR1_EL1: Encoding = Encoding(3, 0, 12, 12, 1);
    /// `ICC_CTLR_EL1`.
    pub const ICC_CTLR_EL1: Encoding = Encoding(3, 0, 12, 12, 4);
    /// `ICC_IGRPEN0_EL1`.
    pub const ICC_IGRPEN0_EL1: Encoding = Encoding(3, 0, 12, 12, 6);
    /// `ICC_IGRPEN1_EL1`.
    pub const ICC_IGRPEN1_EL1: Encoding = Encoding(3, 0, 12, 12, 7);
}

/// EL1 and EL0 registers that a realm reads and writes directly.
const DIRECT: [(Encoding, SysReg); 27] = [
    (Encoding(3, 0, 4, 1, 0), SysReg::SpEl0),
    (Encoding(3, 0, 4, 0, 1), SysReg::ElrEl1),
    (Encoding(3, 0, 4, 0, 0), SysReg::SpsrEl1),
    (names::PMCR_EL0, SysReg::PmcrEl0),
    (Encoding(3, 3, 13, 0, 3), SysReg::TpidrroEl0),
    (Encoding(3, 3, 13, 0, 2), SysReg::TpidrEl0),
    (Encoding(3, 2, 0, 0, 0), SysReg::CsselrEl1),
    (names::SCTLR_EL1, SysReg::SctlrEl1),
    (names::ACTLR_EL1, SysReg::ActlrEl1),
    (Encoding(3, 0, 1, 0, 2), SysReg::CpacrEl1),
    (Encoding(3, 0, 2, 0, 0), SysReg::Ttbr0El1),
    (Encoding(3, 0, 2, 0, 1), SysReg::Ttbr1El1),
    (Encoding(3, 0, 2, 0, 2), SysReg::TcrEl1),
    (Encoding(3, 0, 5, 2, 0), SysReg::EsrEl1),
    (Encoding(3, 0, 5, 1, 0), SysReg::Afsr0El1),
    (Encoding(3, 0, 5, 1, 1), SysReg::Afsr1El1),
    (Encoding(3, 0, 6, 0, 0), SysReg::FarEl1),
    (Encoding(3, 0, 10, 2, 0), SysReg::MairEl1),
    (names::VBAR_EL1, SysReg::VbarEl1),
    (Encoding(3, 0, 13, 0, 1), SysReg::ContextidrEl1),
    (names::TPIDR_EL1, SysReg::TpidrEl1),
    (Encoding(3, 0, 10, 3, 0), SysReg::AmairEl1),
    (Encoding(3, 0, 14, 1, 0), SysReg::CntkctlEl1),
    (Encoding(3, 0, 7, 4, 0), SysReg::ParEl1),
    (Encoding(2, 0, 0, 2, 2), SysReg::MdscrEl1),
    (Encoding(2, 0, 0, 2, 0), SysReg::MdccintEl1),
    (Encoding(3, 0, 12, 1, 1), SysReg::DisrEl1),
];

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It happened.
    Done,
    /// It traps to R-EL2.
    Trap,
    /// There is no such register: an exception to EL1.
    Undefined,
}

fn bit(value: u64, n: u32) -> bool {
    value >> n & 1 == 1
}

/// Whether the access traps to R-EL2 under the controls that the monitor set.
fn traps(state: &State, encoding: Encoding, write: bool) -> bool {
    match encoding {
        // HCR_EL2.TID3: the identification group.
        Encoding(3, 0, 0, 1..=7, _) => bit(state.hcr, 18),
        // HCR_EL2.TACR.
        names::ACTLR_EL1 => bit(state.hcr, 21),
        // HCR_EL2.TIDCP: implementation defined.
        Encoding(3, _, 11 | 15, _, _) => bit(state.hcr, 20),
        // HCR_EL2.IMO or FMO: generating interrupts is the hypervisor's.
        names::ICC_SGI0R_EL1 | names::ICC_SGI1R_EL1 | names::ICC_ASGI1R_EL1 => {
            write && state.hcr >> 3 & 3 != 0
        }
        // ICH_HCR_EL2.TDIR.
        names::ICC_DIR_EL1 => write && bit(state.interface.hcr, 14),
        // MDCR_EL2.TPMCR and TPM.
        names::PMCR_EL0 => bit(state.mdcr, 5) || bit(state.mdcr, 6),
        Encoding(3, 3, 9, 12..=14, _)
        | Encoding(3, 0, 9, 14, _)
        | Encoding(3, 3, 14, 8..=15, _) => bit(state.mdcr, 6),
        // MDCR_EL2.TDA: debug registers.
        Encoding(2, 0, 0, _, _) => bit(state.mdcr, 9),
        // CNTHCTL_EL2.EL1PCTEN and EL1PTEN.
        names::CNTPCT_EL0 => !bit(state.cnthctl, 10),
        names::CNTP_CTL_EL0 | names::CNTP_CVAL_EL0 => !bit(state.cnthctl, 11),
        _ => false,
    }
}

/// `MRS X<register>, <encoding>` at counter value `now`.
pub(crate) fn read(state: &mut State, encoding: Encoding, register: u8, now: u64) -> Effect {
    if traps(state, encoding, false) {
        return Effect::Trap;
    }
    let value = match encoding {
        names::MIDR_EL1 => 0x000F_0510,
        names::MPIDR_EL1 => state.vmpidr,
        names::CNTFRQ_EL0 => FREQUENCY,
        names::CNTPCT_EL0 | names::CNTVCT_EL0 => now,
        names::CNTV_CTL_EL0 => state.virtual_timer.status(now),
        names::CNTV_CVAL_EL0 => state.virtual_timer.compare,
        names::CNTP_CTL_EL0 => state.physical_timer.status(now),
        names::CNTP_CVAL_EL0 => state.physical_timer.compare,
        names::ICC_PMR_EL1 => state.interface.priority_mask(),
        names::ICC_RPR_EL1 => state.interface.running_priority(),
        names::ICC_IAR1_EL1 => u64::from(state.interface.acknowledge()),
        names::ICC_IGRPEN0_EL1 => state.interface.vmcr & 1,
        names::ICC_IGRPEN1_EL1 => state.interface.vmcr >> 1 & 1,
        names::ICC_CTLR_EL1 => 4 << 8 | 1 << 11 | state.interface.vmcr >> 9 & 1,
        _ => match direct(encoding) {
            Some(register) => state.system(register),
            None => return Effect::Undefined,
        },
    };
    if let Some(gpr) = state.gprs.get_mut(usize::from(register)) {
        *gpr = value;
    }
    Effect::Done
}

/// `MSR <encoding>, X<register>`.
pub(crate) fn write(state: &mut State, encoding: Encoding, register: u8) -> Effect {
    if traps(state, encoding, true) {
        return Effect::Trap;
    }
    let value = state.gprs.get(usize::from(register)).copied().unwrap_or(0);
    let control = |timer: Timer| Timer {
        control: value & 3,
        ..timer
    };
    let compare = |timer: Timer| Timer {
        compare: value,
        ..timer
    };
    match encoding {
        names::CNTV_CTL_EL0 => state.virtual_timer = control(state.virtual_timer),
        names::CNTV_CVAL_EL0 => state.virtual_timer = compare(state.virtual_timer),
        names::CNTP_CTL_EL0 => state.physical_timer = control(state.physical_timer),
        names::CNTP_CVAL_EL0 => state.physical_timer = compare(state.physical_timer),
        names::ICC_PMR_EL1 => state.interface.set_priority_mask(value),
        names::ICC_EOIR1_EL1 => state.interface.end(value as u32),
        names::ICC_DIR_EL1 => state.interface.deactivate(value as u32),
        names::ICC_IGRPEN0_EL1 => state.interface.set_group0_enabled(value & 1 == 1),
        names::ICC_IGRPEN1_EL1 => state.interface.set_group1_enabled(value & 1 == 1),
        names::ICC_CTLR_EL1 => state.interface.set_split_end(bit(value, 1)),
        _ => match direct(encoding) {
            Some(register) => state.set_system(register, value),
            None => return Effect::Undefined,
        },
    }
    Effect::Done
}

fn direct(encoding: Encoding) -> Option<SysReg> {
    DIRECT
        .iter()
        .find(|(known, _)| *known == encoding)
        .map(|(_, register)| *register)
}
