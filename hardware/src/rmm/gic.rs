//! The virtual CPU interface of the GIC, exchanged: the list registers that the host has chosen for the realm and the realm's
//! own state of it, and what the host has there for itself.

use crate::common::barrier::isb;
use crate::common::interface::{Registers, active_registers, list_registers};
use crate::{read_sysreg, write_sysreg};
use realm_monitor::platform::RecContext;
use realm_monitor::rec::layout::{
    ICH_AP0R, ICH_AP1R, ICH_HCR_EL2, ICH_LR_COUNT, ICH_LRS, ICH_MISR_EL2, ICH_VMCR_EL2,
};

/// Most active priorities registers of one group.
const ACTIVE_COUNT: usize = 4;

/// The host's list and active priorities registers while a realm's are in the PE. EL3 keeps its ICH_HCR_EL2 and ICH_VMCR_EL2.
#[derive(Debug)]
pub struct HostGic {
    registers: Registers,
    lists: [u64; ICH_LR_COUNT],
    group0: [u64; ACTIVE_COUNT],
    group1: [u64; ACTIVE_COUNT],
}

impl HostGic {
    /// Room for the registers that ICH_VTR_EL2 tells of.
    pub const fn new(ich_vtr: u64) -> Self {
        Self {
            registers: Registers::of(ich_vtr),
            lists: [0; ICH_LR_COUNT],
            group0: [0; ACTIVE_COUNT],
            group1: [0; ACTIVE_COUNT],
        }
    }

    /// Saves the host's registers, loads the realm's, and turns the virtual CPU interface on as ICH_HCR_EL2 of the REC says.
    pub fn give_to(&mut self, rec: RecContext<'_>) {
        macro_rules! lists {
            ($($n:literal $name:literal)*) => {
                $( if self.registers.has_list($n) {
                    self.lists[$n] = read_sysreg!($name);
                    // SAFETY: the virtual CPU interface signals to EL1 only.
                    unsafe { write_sysreg!($name, rec.get(ICH_LRS + $n)) };
                } )*
            };
        }
        list_registers!(lists);
        macro_rules! actives {
            ($($n:literal $group0:literal $group1:literal)*) => {
                $( if self.registers.has_active($n) {
                    self.group0[$n] = read_sysreg!($group0);
                    self.group1[$n] = read_sysreg!($group1);
                    // SAFETY: as above.
                    unsafe {
                        write_sysreg!($group0, rec.get(ICH_AP0R + $n));
                        write_sysreg!($group1, rec.get(ICH_AP1R + $n));
                    }
                } )*
            };
        }
        active_registers!(actives);
        // SAFETY: as above.
        unsafe {
            write_sysreg!("s3_4_c12_c11_7", rec.get(ICH_VMCR_EL2));
            write_sysreg!("s3_4_c12_c11_0", rec.get(ICH_HCR_EL2));
        }
    }

    /// Saves the realm's registers, turns the virtual CPU interface off, and loads the host's.
    pub fn take_from(&self, rec: RecContext<'_>) {
        rec.set(ICH_VMCR_EL2, read_sysreg!("s3_4_c12_c11_7"));
        rec.set(ICH_HCR_EL2, read_sysreg!("s3_4_c12_c11_0"));
        rec.set(ICH_MISR_EL2, read_sysreg!("s3_4_c12_c11_2"));
        // SAFETY: as in `give_to`.
        unsafe { write_sysreg!("s3_4_c12_c11_0", 0) };
        isb();
        macro_rules! lists {
            ($($n:literal $name:literal)*) => {
                $( if self.registers.has_list($n) {
                    rec.set(ICH_LRS + $n, read_sysreg!($name));
                    // SAFETY: as in `give_to`.
                    unsafe { write_sysreg!($name, self.lists[$n]) };
                } )*
            };
        }
        list_registers!(lists);
        macro_rules! actives {
            ($($n:literal $group0:literal $group1:literal)*) => {
                $( if self.registers.has_active($n) {
                    rec.set(ICH_AP0R + $n, read_sysreg!($group0));
                    rec.set(ICH_AP1R + $n, read_sysreg!($group1));
                    // SAFETY: as in `give_to`.
                    unsafe {
                        write_sysreg!($group0, self.group0[$n]);
                        write_sysreg!($group1, self.group1[$n]);
                    }
                } )*
            };
        }
        active_registers!(actives);
    }
}
