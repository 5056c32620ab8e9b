//! What goes into an entry and comes out of an exit besides the reason.

use cca_abi::rmi::run::{GICV3_HCR_ENTER_MASK, LIST_REGISTERS, RecExit};

/// List registers in a record. A monitor uses as many of them as it says in its features.
pub const MAX_LIST_REGISTERS: usize = LIST_REGISTERS;

/// What the host decides of each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The list registers, ICH_LR<n>_EL2. HW must be clear; those that the monitor does not have must be zero.
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
