//! What a hypervisor has in the GIC's virtual CPU interface for machines of its own, and in DISR_EL1, for tests of who keeps
//! it. The interface is off, so nothing is signalled.

use crate::common::interface::{Registers, active_registers, list_registers};
use crate::{read_sysreg, write_sysreg};

/// Which registers there are: ICH_VTR_EL2.
fn registers() -> Registers {
    Registers::of(read_sysreg!("s3_4_c12_c11_1"))
}

fn mixed(seed: u64, n: u64) -> u64 {
    (seed << 16 | n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

/// List register `n`: inactive, of some priority and number.
fn list(seed: u64, n: u64) -> u64 {
    let random = mixed(seed, n);
    1 << 60 | (random & 0x1F) << 51 | 1 << 40 | (32 + (random >> 8 & 0x1FF))
}

/// Active priorities register `n`, those of group 1 from 16 on.
fn active(seed: u64, n: u64) -> u64 {
    mixed(seed, 32 + n) & 0x7FFF_FFFF
}

/// DISR_EL1: as if an SError had been deferred.
fn deferred(seed: u64) -> u64 {
    1 << 31 | mixed(seed, 99) & 0x1FF_FFFF
}

/// Fills the registers with what `seed` says.
pub fn fill_interface(seed: u64) {
    let registers = registers();
    macro_rules! write_lists {
        ($($n:literal $name:literal)*) => {
            // SAFETY: an interface that is off signals nothing.
            $( if registers.has_list($n) { unsafe { write_sysreg!($name, list(seed, $n)) } } )*
        };
    }
    list_registers!(write_lists);
    macro_rules! write_actives {
        ($($n:literal $group0:literal $group1:literal)*) => {
            $( if registers.has_active($n) {
                // SAFETY: as above.
                unsafe {
                    write_sysreg!($group0, active(seed, $n));
                    write_sysreg!($group1, active(seed, 16 + $n));
                }
            } )*
        };
    }
    active_registers!(write_actives);
    // SAFETY: a place for syndromes. DISR_EL1.
    unsafe { write_sysreg!("s3_0_c12_c1_1", deferred(seed)) };
}

/// Number of registers that are not what [`fill_interface`] with this seed leaves in them.
pub fn interface_differences(seed: u64) -> u64 {
    let registers = registers();
    let mut differences = 0;
    macro_rules! read_lists {
        ($($n:literal $name:literal)*) => {
            $( if registers.has_list($n) { differences += u64::from(read_sysreg!($name) != list(seed, $n)) } )*
        };
    }
    list_registers!(read_lists);
    macro_rules! read_actives {
        ($($n:literal $group0:literal $group1:literal)*) => {
            $( if registers.has_active($n) {
                differences += u64::from(read_sysreg!($group0) != active(seed, $n));
                differences += u64::from(read_sysreg!($group1) != active(seed, 16 + $n));
            } )*
        };
    }
    active_registers!(read_actives);
    differences + u64::from(read_sysreg!("s3_0_c12_c1_1") != deferred(seed))
}
