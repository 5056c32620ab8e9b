//! What goes into an entry and comes out of an exit besides the reason.

use core::sync::atomic::Ordering;

use cca_abi::rmi::run::{
    EXIT, EXIT_WORDS, GICV3_HCR_ENTER_MASK, GPRS, LIST_REGISTERS, RecExit, exit_offset as at,
};

use crate::supply::GranuleWords;

/// List registers in a record. A monitor uses as many of them as it says in its features.
pub const MAX_LIST_REGISTERS: usize = LIST_REGISTERS;

/// What the host decides of each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The list registers, `ICH_LR<n>_EL2`. HW must be clear; those that the monitor does not have must be zero.
    pub list_registers: [u64; MAX_LIST_REGISTERS],
    /// ICH_HCR_EL2. Only the bits that are the host's to set are passed on.
    pub hcr: u64,
    /// WFI exits.
    pub trap_wfi: bool,
    /// WFE exits.
    pub trap_wfe: bool,
}

impl Entry {
    pub(super) const fn host_hcr(&self) -> u64 {
        self.hcr & GICV3_HCR_ENTER_MASK
    }
}

/// The interrupt controller's CPU interface at an exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GicExit {
    /// The list registers.
    pub list_registers: [u64; MAX_LIST_REGISTERS],
    /// ICH_HCR_EL2: EOIcount and the host's bits.
    pub hcr: u64,
    /// ICH_MISR_EL2.
    pub misr: u64,
    /// ICH_VMCR_EL2: the realm's group enables and priority mask.
    pub vmcr: u64,
}

/// One of a realm's two EL1 timers at an exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    /// CNTx_CTL_EL0.
    pub control: u64,
    /// CNTx_CVAL_EL0, relative to an offset of zero.
    pub compare: u64,
}

impl Timer {
    const ENABLE: u64 = 1 << 0;
    const MASK: u64 = 1 << 1;
    const STATUS: u64 = 1 << 2;

    /// Whether the timer asserts its interrupt: enabled, not masked, condition met.
    #[must_use]
    pub const fn is_asserted(&self) -> bool {
        self.control & (Self::ENABLE | Self::MASK | Self::STATUS) == Self::ENABLE | Self::STATUS
    }

    /// When it will assert its interrupt, as a value of the counter, if it is enabled and not masked.
    #[must_use]
    pub const fn deadline(&self) -> Option<u64> {
        if self.control & (Self::ENABLE | Self::MASK) == Self::ENABLE {
            Some(self.compare)
        } else {
            None
        }
    }
}

/// A realm's EL1 timers at an exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timers {
    /// The physical timer, PPI 30.
    pub physical: Timer,
    /// The virtual timer, PPI 27.
    pub virtual_timer: Timer,
}

/// Where the exit record has fields, as byte offsets and numbers of words.
const FIELDS: [(usize, usize); 9] = [
    (at::EXIT_REASON, 1),
    (at::ESR, 3),
    (at::GPRS, GPRS),
    (at::GICV3_HCR, 3 + LIST_REGISTERS),
    (at::CNTP_CTL, 4),
    (at::RIPAS_BASE, 2),
    (at::RIPAS_VALUE, 1),
    (at::IMM, 1),
    (at::PMU_OVF_STATUS, 1),
];

/// Reads the exit record of a run page, each word once.
pub(super) fn read(page: &GranuleWords) -> RecExit {
    let mut words = [0; EXIT_WORDS];
    for (offset, count) in FIELDS {
        let field = offset / 8..offset / 8 + count;
        for (value, word) in words[field.clone()]
            .iter_mut()
            .zip(&page[EXIT / 8..][field])
        {
            *value = word.load(Ordering::Relaxed);
        }
    }
    RecExit::read(&words)
}

pub(super) fn gic(record: &RecExit) -> GicExit {
    GicExit {
        list_registers: record.gicv3_lrs,
        hcr: record.gicv3_hcr,
        misr: record.gicv3_misr,
        vmcr: record.gicv3_vmcr,
    }
}

pub(super) fn timers(record: &RecExit) -> Timers {
    Timers {
        physical: Timer {
            control: record.cntp_ctl,
            compare: record.cntp_cval,
        },
        virtual_timer: Timer {
            control: record.cntv_ctl,
            compare: record.cntv_cval,
        },
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use core::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn every_field_of_the_exit_record_is_read() {
        let mut numbered = [0; EXIT_WORDS];
        for (value, number) in numbered.iter_mut().zip(1..) {
            *value = number;
        }
        let page: GranuleWords = core::array::from_fn(|word| {
            AtomicU64::new(
                word.checked_sub(EXIT / 8)
                    .map_or(u64::MAX, |word| numbered[word]),
            )
        });
        assert_eq!(read(&page), RecExit::read(&numbered));
    }
}
