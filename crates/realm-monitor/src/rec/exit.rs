//! Why a REC comes back to the host, and what the host gets to know (RMM specification 1.0-rel0, A4.3).

use cca_abi::rmi::Ripas;
use cca_abi::rmi::run::{EXIT_WORDS, ExitReason, GICV3_HCR_EXIT_MASK, exit_offset};

use super::layout::{PmuReg, SysReg};
use super::{control, layout};
use crate::platform::RecContext;

/// What a synchronous exit shows of the exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Syndrome {
    /// ESR_EL2, with everything masked that is not the host's business.
    pub(crate) esr: u64,
    /// Offset of the access in its page.
    pub(crate) far: u64,
    /// HPFAR_EL2.
    pub(crate) hpfar: u64,
    /// The value that the realm writes, or its timeout: gprs\[0\].
    pub(crate) value: u64,
}

/// A reason to go back to the host, with what it concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// WFI or WFE, an abort, a register that the host emulates.
    Sync(Syndrome),
    /// A physical IRQ is pending, or the output of a timer changed.
    Irq,
    /// A physical FIQ is pending.
    Fiq,
    /// An SError, with its masked syndrome.
    SError {
        /// ESR_EL2, masked.
        esr: u64,
    },
    /// A PSCI call.
    Psci {
        /// Function identifier as the realm called it.
        function: u64,
        /// MPIDR of the processor that the call names; 0 if it names none.
        target: u64,
    },
    /// The realm asks for a change of RIPAS.
    RipasChange {
        /// First IPA.
        base: u64,
        /// End of the range.
        top: u64,
        /// What the range shall become.
        ripas: Ripas,
    },
    /// A host call, whose arguments are at [`layout::HOST_CALL_GPRS`].
    HostCall {
        /// Immediate.
        imm: u16,
    },
}

impl Exit {
    /// Fills in the exit record, which is all zero: what belongs to this exit, and of the REC what every exit reports.
    pub(crate) fn record(&self, rec: RecContext<'_>, words: &mut [u64; EXIT_WORDS]) {
        let mut set = |offset: usize, value| words[offset / 8] = value;
        let reason = match *self {
            Self::Sync(syndrome) => {
                set(exit_offset::ESR, syndrome.esr);
                set(exit_offset::FAR, syndrome.far);
                set(exit_offset::HPFAR, syndrome.hpfar);
                set(exit_offset::GPRS, syndrome.value);
                ExitReason::Sync
            }
            Self::Irq => ExitReason::Irq,
            Self::Fiq => ExitReason::Fiq,
            Self::SError { esr } => {
                set(exit_offset::ESR, esr);
                ExitReason::SError
            }
            Self::Psci { function, target } => {
                set(exit_offset::GPRS, function);
                set(exit_offset::GPRS + 8, target);
                ExitReason::Psci
            }
            Self::RipasChange { base, top, ripas } => {
                set(exit_offset::RIPAS_BASE, base);
                set(exit_offset::RIPAS_TOP, top);
                set(exit_offset::RIPAS_VALUE, ripas as u64);
                ExitReason::RipasChange
            }
            Self::HostCall { imm } => {
                set(exit_offset::IMM, imm.into());
                for n in 0..layout::GPR_COUNT {
                    set(
                        exit_offset::GPRS + 8 * n,
                        rec.get(layout::HOST_CALL_GPRS + n),
                    );
                }
                ExitReason::HostCall
            }
        };
        set(exit_offset::EXIT_REASON, reason as u64);

        set(
            exit_offset::GICV3_HCR,
            rec.get(layout::ICH_HCR_EL2) & GICV3_HCR_EXIT_MASK,
        );
        for n in 0..layout::ICH_LR_COUNT {
            set(exit_offset::GICV3_LRS + 8 * n, rec.get(layout::ICH_LRS + n));
        }
        set(exit_offset::GICV3_MISR, rec.get(layout::ICH_MISR_EL2));
        set(exit_offset::GICV3_VMCR, rec.get(layout::ICH_VMCR_EL2));
        set(exit_offset::CNTP_CTL, rec.get(layout::CNTP_CTL));
        set(exit_offset::CNTP_CVAL, rec.get(layout::CNTP_CVAL));
        set(exit_offset::CNTV_CTL, rec.get(layout::CNTV_CTL));
        set(exit_offset::CNTV_CVAL, rec.get(layout::CNTV_CVAL));
        set(exit_offset::PMU_OVF_STATUS, pmu_overflow(rec).into());
    }
}

/// Whether the PMU of a realm that has one asserts its interrupt: it is on, and a counter that is on and is to interrupt
/// has overflowed.
fn pmu_overflow(rec: RecContext<'_>) -> bool {
    const ENABLE: u64 = 1;
    let get = |register: PmuReg| rec.get(register.word());
    control::pmu_counters(rec.get(layout::MDCR_EL2)).is_some()
        && rec.sysreg(SysReg::PmcrEl0) & ENABLE != 0
        && get(PmuReg::Pmovs) & get(PmuReg::Pminten) & get(PmuReg::Pmcnten) != 0
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn overflow(
        counters: Option<u8>,
        pmcr: u64,
        [enabled, interrupts, overflowed]: [u64; 3],
    ) -> u64 {
        let words = [const { AtomicU64::new(0) }; 512];
        let rec = RecContext(&words);
        rec.set(layout::MDCR_EL2, control::mdcr(counters));
        rec.set_sysreg(SysReg::PmcrEl0, pmcr);
        rec.set(PmuReg::Pmcnten.word(), enabled);
        rec.set(PmuReg::Pminten.word(), interrupts);
        rec.set(PmuReg::Pmovs.word(), overflowed);
        let mut record = [0; EXIT_WORDS];
        Exit::Irq.record(rec, &mut record);
        record[exit_offset::PMU_OVF_STATUS / 8]
    }

    #[test]
    fn an_overflow_is_reported_while_the_pmu_asserts_its_interrupt() {
        let cycles = 1 << 31;
        assert_eq!(overflow(Some(4), 1, [cycles | 1, cycles, cycles]), 1);
        assert_eq!(overflow(Some(0), 1, [cycles; 3]), 1);
        assert_eq!(overflow(Some(4), 0, [cycles; 3]), 0, "the PMU is off");
        assert_eq!(overflow(Some(4), 1, [1, 3, 2]), 0, "the counter is off");
        assert_eq!(overflow(Some(4), 1, [3, 1, 2]), 0, "no interrupt wanted");
        assert_eq!(overflow(Some(4), 1, [3, 3, 4]), 0, "others overflowed");
        assert_eq!(overflow(None, 1, [cycles; 3]), 0, "no PMU");
    }
}
