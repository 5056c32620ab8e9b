//! RmiRecRun: the page through which a host enters a REC and learns why it came back (RMM specification
//! 1.0-rel0, section B4.4). The first half is RmiRecEnter, the second RmiRecExit.

/// Offset of RmiRecEnter in RmiRecRun.
pub const ENTER: usize = 0x000;
/// Offset of RmiRecExit in RmiRecRun.
pub const EXIT: usize = 0x800;
/// Number of general purpose registers in either half.
pub const GPRS: usize = 31;
/// Number of list registers in either half.
pub const LIST_REGISTERS: usize = 16;

/// Byte offsets in RmiRecEnter.
pub mod enter_offset {
    /// RmiRecEnterFlags.
    pub const FLAGS: usize = 0x000;
    /// X0 to X30.
    pub const GPRS: usize = 0x200;
    /// ICH_HCR_EL2 as the host wants it.
    pub const GICV3_HCR: usize = 0x300;
    /// `ICH_LR<n>_EL2` as the host wants them.
    pub const GICV3_LRS: usize = 0x308;
    /// First byte after the last field.
    pub const END: usize = GICV3_LRS + 8 * super::LIST_REGISTERS;
}

/// RmiRecEnterFlags.
pub mod enter_flags {
    /// The host emulated the access that the last exit described.
    pub const EMUL_MMIO: u64 = 1 << 0;
    /// Inject a synchronous external abort.
    pub const INJECT_SEA: u64 = 1 << 1;
    /// WFI exits to the host during this run.
    pub const TRAP_WFI: u64 = 1 << 2;
    /// WFE exits to the host during this run.
    pub const TRAP_WFE: u64 = 1 << 3;
    /// The host refuses the rest of a RIPAS change.
    pub const RIPAS_REJECT: u64 = 1 << 4;
}

/// Byte offsets in RmiRecExit.
pub mod exit_offset {
    /// RmiRecExitReason.
    pub const EXIT_REASON: usize = 0x000;
    /// ESR_EL2, as far as the host may see it.
    pub const ESR: usize = 0x100;
    /// FAR_EL2, as far as the host may see it.
    pub const FAR: usize = 0x108;
    /// HPFAR_EL2.
    pub const HPFAR: usize = 0x110;
    /// X0 to X30, as far as the host may see them.
    pub const GPRS: usize = 0x200;
    /// ICH_HCR_EL2.
    pub const GICV3_HCR: usize = 0x300;
    /// `ICH_LR<n>_EL2`.
    pub const GICV3_LRS: usize = 0x308;
    /// ICH_MISR_EL2.
    pub const GICV3_MISR: usize = 0x388;
    /// ICH_VMCR_EL2.
    pub const GICV3_VMCR: usize = 0x390;
    /// CNTP_CTL_EL0.
    pub const CNTP_CTL: usize = 0x400;
    /// CNTP_CVAL_EL0.
    pub const CNTP_CVAL: usize = 0x408;
    /// CNTV_CTL_EL0.
    pub const CNTV_CTL: usize = 0x410;
    /// CNTV_CVAL_EL0.
    pub const CNTV_CVAL: usize = 0x418;
    /// First IPA of a RIPAS change.
    pub const RIPAS_BASE: usize = 0x500;
    /// End of a RIPAS change.
    pub const RIPAS_TOP: usize = 0x508;
    /// RIPAS that the realm asks for.
    pub const RIPAS_VALUE: usize = 0x510;
    /// Immediate of a host call.
    pub const IMM: usize = 0x600;
    /// RmiPmuOverflowStatus.
    pub const PMU_OVF_STATUS: usize = 0x700;
}

/// Bits of ICH_HCR_EL2 that a host may set on entry.
pub const GICV3_HCR_ENTER_MASK: u64 = 0x40FE;
/// Bits of ICH_HCR_EL2 that a host sees on exit.
pub const GICV3_HCR_EXIT_MASK: u64 = 0xF800_40FE;

/// RmiRecExitReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// A synchronous exception: WFI or WFE, an abort, a trapped register.
    Sync = 0,
    /// A physical IRQ, or a timer or PMU output of the realm changed.
    Irq = 1,
    /// A physical FIQ.
    Fiq = 2,
    /// A PSCI call.
    Psci = 3,
    /// The realm asks for a change of RIPAS.
    RipasChange = 4,
    /// RSI_HOST_CALL.
    HostCall = 5,
    /// An SError while the realm ran.
    SError = 6,
}

impl ExitReason {
    /// From the field; `None` if reserved.
    #[must_use]
    pub const fn decode(value: u8) -> Option<Self> {
        Some(match value {
            0 => Self::Sync,
            1 => Self::Irq,
            2 => Self::Fiq,
            3 => Self::Psci,
            4 => Self::RipasChange,
            5 => Self::HostCall,
            6 => Self::SError,
            _ => return None,
        })
    }

    /// The specification's name, without prefix.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sync => "SYNC",
            Self::Irq => "IRQ",
            Self::Fiq => "FIQ",
            Self::Psci => "PSCI",
            Self::RipasChange => "RIPAS_CHANGE",
            Self::HostCall => "HOST_CALL",
            Self::SError => "SERROR",
        }
    }
}

/// Number of words of RmiRecEnter.
pub const ENTER_WORDS: usize = 0x800 / 8;
/// Number of words of RmiRecExit.
pub const EXIT_WORDS: usize = 0x800 / 8;

/// RmiRecEnter as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecEnter {
    /// RmiRecEnterFlags, see [`enter_flags`].
    pub flags: u64,
    /// X0 to X30.
    pub gprs: [u64; GPRS],
    /// ICH_HCR_EL2.
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; LIST_REGISTERS],
}

impl RecEnter {
    /// Reads the record from the words of RmiRecEnter.
    ///
    /// # Panics
    /// If `words` ends before the last field.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        let at = |offset: usize| words[offset / 8];
        Self {
            flags: at(enter_offset::FLAGS),
            gprs: core::array::from_fn(|i| at(enter_offset::GPRS + 8 * i)),
            gicv3_hcr: at(enter_offset::GICV3_HCR),
            gicv3_lrs: core::array::from_fn(|i| at(enter_offset::GICV3_LRS + 8 * i)),
        }
    }

    /// Writes the record; everything that is not a field becomes zero.
    pub fn write(&self, words: &mut [u64; ENTER_WORDS]) {
        words.fill(0);
        words[enter_offset::FLAGS / 8] = self.flags;
        words[enter_offset::GPRS / 8..enter_offset::GPRS / 8 + GPRS].copy_from_slice(&self.gprs);
        words[enter_offset::GICV3_HCR / 8] = self.gicv3_hcr;
        words[enter_offset::GICV3_LRS / 8..enter_offset::GICV3_LRS / 8 + LIST_REGISTERS]
            .copy_from_slice(&self.gicv3_lrs);
    }
}

/// RmiRecExit as a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecExit {
    /// RmiRecExitReason.
    pub exit_reason: u8,
    /// ESR_EL2, masked.
    pub esr: u64,
    /// FAR_EL2, masked.
    pub far: u64,
    /// HPFAR_EL2.
    pub hpfar: u64,
    /// X0 to X30, masked.
    pub gprs: [u64; GPRS],
    /// ICH_HCR_EL2.
    pub gicv3_hcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub gicv3_lrs: [u64; LIST_REGISTERS],
    /// ICH_MISR_EL2.
    pub gicv3_misr: u64,
    /// ICH_VMCR_EL2.
    pub gicv3_vmcr: u64,
    /// CNTP_CTL_EL0.
    pub cntp_ctl: u64,
    /// CNTP_CVAL_EL0.
    pub cntp_cval: u64,
    /// CNTV_CTL_EL0.
    pub cntv_ctl: u64,
    /// CNTV_CVAL_EL0.
    pub cntv_cval: u64,
    /// First IPA of a RIPAS change.
    pub ripas_base: u64,
    /// End of a RIPAS change.
    pub ripas_top: u64,
    /// RIPAS asked for.
    pub ripas_value: u8,
    /// Immediate of a host call.
    pub imm: u16,
    /// RmiPmuOverflowStatus.
    pub pmu_ovf_status: u8,
}

impl RecExit {
    /// Reads the record from the words of RmiRecExit.
    ///
    /// # Panics
    /// If `words` ends before the last field.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        let at = |offset: usize| words[offset / 8];
        Self {
            exit_reason: at(exit_offset::EXIT_REASON) as u8,
            esr: at(exit_offset::ESR),
            far: at(exit_offset::FAR),
            hpfar: at(exit_offset::HPFAR),
            gprs: core::array::from_fn(|i| at(exit_offset::GPRS + 8 * i)),
            gicv3_hcr: at(exit_offset::GICV3_HCR),
            gicv3_lrs: core::array::from_fn(|i| at(exit_offset::GICV3_LRS + 8 * i)),
            gicv3_misr: at(exit_offset::GICV3_MISR),
            gicv3_vmcr: at(exit_offset::GICV3_VMCR),
            cntp_ctl: at(exit_offset::CNTP_CTL),
            cntp_cval: at(exit_offset::CNTP_CVAL),
            cntv_ctl: at(exit_offset::CNTV_CTL),
            cntv_cval: at(exit_offset::CNTV_CVAL),
            ripas_base: at(exit_offset::RIPAS_BASE),
            ripas_top: at(exit_offset::RIPAS_TOP),
            ripas_value: at(exit_offset::RIPAS_VALUE) as u8,
            imm: at(exit_offset::IMM) as u16,
            pmu_ovf_status: at(exit_offset::PMU_OVF_STATUS) as u8,
        }
    }

    /// Writes the record; everything that is not a field becomes zero.
    pub fn write(&self, words: &mut [u64; EXIT_WORDS]) {
        words.fill(0);
        words[exit_offset::EXIT_REASON / 8] = self.exit_reason.into();
        words[exit_offset::ESR / 8] = self.esr;
        words[exit_offset::FAR / 8] = self.far;
        words[exit_offset::HPFAR / 8] = self.hpfar;
        words[exit_offset::GPRS / 8..exit_offset::GPRS / 8 + GPRS].copy_from_slice(&self.gprs);
        words[exit_offset::GICV3_HCR / 8] = self.gicv3_hcr;
        words[exit_offset::GICV3_LRS / 8..exit_offset::GICV3_LRS / 8 + LIST_REGISTERS]
            .copy_from_slice(&self.gicv3_lrs);
        words[exit_offset::GICV3_MISR / 8] = self.gicv3_misr;
        words[exit_offset::GICV3_VMCR / 8] = self.gicv3_vmcr;
        words[exit_offset::CNTP_CTL / 8] = self.cntp_ctl;
        words[exit_offset::CNTP_CVAL / 8] = self.cntp_cval;
        words[exit_offset::CNTV_CTL / 8] = self.cntv_ctl;
        words[exit_offset::CNTV_CVAL / 8] = self.cntv_cval;
        words[exit_offset::RIPAS_BASE / 8] = self.ripas_base;
        words[exit_offset::RIPAS_TOP / 8] = self.ripas_top;
        words[exit_offset::RIPAS_VALUE / 8] = self.ripas_value.into();
        words[exit_offset::IMM / 8] = self.imm.into();
        words[exit_offset::PMU_OVF_STATUS / 8] = self.pmu_ovf_status.into();
    }
}

// The numbers of the specification's tables, in decimal.
const _: () = {
    assert!(EXIT == 2048 && enter_offset::GPRS == 512 && enter_offset::GICV3_HCR == 768);
    assert!(enter_offset::GICV3_LRS == 776);
    assert!(exit_offset::ESR == 256 && exit_offset::FAR == 264 && exit_offset::HPFAR == 272);
    assert!(
        exit_offset::GPRS == 512 && exit_offset::GICV3_HCR == 768 && exit_offset::GICV3_LRS == 776
    );
    assert!(exit_offset::GICV3_MISR == 904 && exit_offset::GICV3_VMCR == 912);
    assert!(exit_offset::CNTP_CTL == 1024 && exit_offset::CNTP_CVAL == 1032);
    assert!(exit_offset::CNTV_CTL == 1040 && exit_offset::CNTV_CVAL == 1048);
    assert!(exit_offset::RIPAS_BASE == 1280 && exit_offset::RIPAS_TOP == 1288);
    assert!(
        exit_offset::RIPAS_VALUE == 1296
            && exit_offset::IMM == 1536
            && exit_offset::PMU_OVF_STATUS == 1792
    );
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_round_trip() {
        let enter = RecEnter {
            flags: 0x1F,
            gprs: [7; 31],
            gicv3_hcr: 0x40FE,
            gicv3_lrs: [9; 16],
        };
        let mut words = [u64::MAX; ENTER_WORDS];
        enter.write(&mut words);
        assert_eq!(RecEnter::read(&words), enter);

        let exit = RecExit {
            exit_reason: 6,
            esr: 1,
            far: 2,
            hpfar: 3,
            gprs: [4; 31],
            gicv3_hcr: 5,
            gicv3_lrs: [6; 16],
            gicv3_misr: 7,
            gicv3_vmcr: 8,
            cntp_ctl: 9,
            cntp_cval: 10,
            cntv_ctl: 11,
            cntv_cval: 12,
            ripas_base: 13,
            ripas_top: 14,
            ripas_value: 1,
            imm: 0xFFFF,
            pmu_ovf_status: 1,
        };
        let mut words = [u64::MAX; EXIT_WORDS];
        exit.write(&mut words);
        assert_eq!(RecExit::read(&words), exit);
    }
}
