//! The registers of a virtual processing element while it is loaded, and their place in a REC granule.

use realm_monitor::rec::RecContext;
use realm_monitor::rec::layout::{self, SysReg};

/// Everything that the processing element loads from a REC granule before it enters a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// X0 to X30.
    pub(crate) gprs: [u64; 31],
    /// The program counter.
    pub(crate) pc: u64,
    /// PSTATE.
    pub(crate) pstate: u64,
    /// `HCR_EL2`, loaded only.
    pub(crate) hcr: u64,
    /// `MDCR_EL2`, loaded only.
    pub(crate) mdcr: u64,
    /// `CNTHCTL_EL2`, loaded only.
    pub(crate) cnthctl: u64,
    /// `VMPIDR_EL2`, loaded only.
    pub(crate) vmpidr: u64,
    /// The EL1 and EL0 system registers, by [`SysReg`].
    pub(crate) system: [u64; SysReg::COUNT],
    /// The EL1 physical timer.
    pub(crate) physical_timer: Timer,
    /// The EL1 virtual timer.
    pub(crate) virtual_timer: Timer,
    /// The virtual CPU interface.
    pub(crate) interface: Interface,
    /// Which guest program (see [`crate::guests`]) this context belongs to; 0 for none yet.
    pub(crate) owner: u64,
}

/// One EL1 timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timer {
    /// `CNTx_CTL_EL0` without ISTATUS: ENABLE (bit 0) and IMASK (bit 1).
    pub(crate) control: u64,
    /// `CNTx_CVAL_EL0`.
    pub(crate) compare: u64,
}

impl Timer {
    /// `CNTx_CTL_EL0` as it is read: with ISTATUS (bit 2).
    pub(crate) fn status(self, now: u64) -> u64 {
        let fired = self.control & 1 == 1 && now >= self.compare;
        self.control & 3 | u64::from(fired) << 2
    }

    /// Whether the timer's output is asserted.
    pub(crate) fn asserted(self, now: u64) -> bool {
        self.status(now) == 0b101
    }

    /// When the output will be asserted, if nothing changes.
    pub(crate) fn deadline(self) -> Option<u64> {
        (self.control & 3 == 1).then_some(self.compare)
    }
}

/// The virtual CPU interface as the hypervisor registers hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    /// `ICH_HCR_EL2`.
    pub(crate) hcr: u64,
    /// `ICH_VMCR_EL2`.
    pub(crate) vmcr: u64,
    /// `ICH_LR<n>_EL2`.
    pub(crate) lists: [u64; LIST_REGISTERS],
    /// `ICH_AP0R0_EL2`.
    pub(crate) active0: u64,
    /// `ICH_AP1R0_EL2`.
    pub(crate) active1: u64,
}

/// List registers of the simulated GIC, as QEMU has them.
pub(crate) const LIST_REGISTERS: usize = 4;
/// `ICH_VTR_EL2` of the simulated GIC: 4 list registers, 5 priority and 5 preemption bits, 24-bit INTIDs, as QEMU
/// has it.
pub(crate) const ICH_VTR: u64 = 0x90B8_0003;

impl State {
    /// Loads the context of a REC.
    pub(crate) fn load(rec: RecContext<'_>) -> Self {
        let timer = |control, compare| Timer {
            control: rec.get(control) & 3,
            compare: rec.get(compare),
        };
        Self {
            gprs: ::core::array::from_fn(|n| rec.gpr(n)),
            pc: rec.get(layout::PC),
            pstate: rec.get(layout::PSTATE),
            hcr: rec.get(layout::HCR_EL2),
            mdcr: rec.get(layout::MDCR_EL2),
            cnthctl: rec.get(layout::CNTHCTL_EL2),
            vmpidr: rec.get(layout::VMPIDR_EL2),
            system: ::core::array::from_fn(|n| rec.get(layout::SYSREGS + n)),
            physical_timer: timer(layout::CNTP_CTL, layout::CNTP_CVAL),
            virtual_timer: timer(layout::CNTV_CTL, layout::CNTV_CVAL),
            interface: Interface {
                hcr: rec.get(layout::ICH_HCR_EL2),
                vmcr: rec.get(layout::ICH_VMCR_EL2),
                lists: ::core::array::from_fn(|n| rec.get(layout::ICH_LRS + n)),
                active0: rec.get(layout::ICH_AP0R),
                active1: rec.get(layout::ICH_AP1R),
            },
            owner: rec.get(layout::PE_PRIVATE),
        }
    }

    /// Loads what the monitor may change between two runs without asking the processing element to save first.
    pub(crate) fn reload(&mut self, rec: RecContext<'_>) {
        let loaded = Self::load(rec);
        let kept = ::core::mem::replace(self, loaded);
        self.system = kept.system;
        self.interface = kept.interface;
    }

    /// Stores what the monitor finds in the granule as soon as the realm has stopped; `now` is the counter, for the
    /// timers' status.
    pub(crate) fn store_first(&self, rec: RecContext<'_>, now: u64) {
        for (n, value) in self.gprs.iter().enumerate() {
            rec.set_gpr(n, *value);
        }
        rec.set(layout::PC, self.pc);
        rec.set(layout::PSTATE, self.pstate);
        rec.set(layout::PE_PRIVATE, self.owner);
        rec.set(layout::CNTP_CTL, self.physical_timer.status(now));
        rec.set(layout::CNTP_CVAL, self.physical_timer.compare);
        rec.set(layout::CNTV_CTL, self.virtual_timer.status(now));
        rec.set(layout::CNTV_CVAL, self.virtual_timer.compare);
    }

    /// Stores the rest.
    pub(crate) fn store_rest(&self, rec: RecContext<'_>) {
        for (n, value) in self.system.iter().enumerate() {
            rec.set(layout::SYSREGS + n, *value);
        }
        rec.set(layout::ICH_HCR_EL2, self.interface.hcr);
        rec.set(layout::ICH_VMCR_EL2, self.interface.vmcr);
        rec.set(layout::ICH_MISR_EL2, self.interface.maintenance());
        for (n, value) in self.interface.lists.iter().enumerate() {
            rec.set(layout::ICH_LRS + n, *value);
        }
        rec.set(layout::ICH_AP0R, self.interface.active0);
        rec.set(layout::ICH_AP1R, self.interface.active1);
    }

    /// The value of an EL1 or EL0 system register.
    pub(crate) fn system(&self, register: SysReg) -> u64 {
        self.system[register as usize]
    }

    /// Sets an EL1 or EL0 system register.
    pub(crate) fn set_system(&mut self, register: SysReg, value: u64) {
        self.system[register as usize] = value;
    }
}
