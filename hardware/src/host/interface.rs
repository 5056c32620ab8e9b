//! What a hypervisor has in the GIC's virtual CPU interface for machines of its own, and in DISR_EL1, for tests of who keeps
//! it. The interface is off, so nothing is signalled.

use crate::{read_sysreg, write_sysreg};

/// Lists ICH_LR<n>_EL2.
macro_rules! list_registers {
    ($callback:ident) => {
        $callback! {
            0 "s3_4_c12_c12_0" 1 "s3_4_c12_c12_1" 2 "s3_4_c12_c12_2" 3 "s3_4_c12_c12_3"
            4 "s3_4_c12_c12_4" 5 "s3_4_c12_c12_5" 6 "s3_4_c12_c12_6" 7 "s3_4_c12_c12_7"
            8 "s3_4_c12_c13_0" 9 "s3_4_c12_c13_1" 10 "s3_4_c12_c13_2" 11 "s3_4_c12_c13_3"
            12 "s3_4_c12_c13_4" 13 "s3_4_c12_c13_5" 14 "s3_4_c12_c13_6" 15 "s3_4_c12_c13_7"
        }
    };
}

/// Lists ICH_AP0R<n>_EL2 and ICH_AP1R<n>_EL2.
macro_rules! active_registers {
    ($callback:ident) => {
        $callback! {
            0 "s3_4_c12_c8_0" 16 "s3_4_c12_c9_0" 1 "s3_4_c12_c8_1" 17 "s3_4_c12_c9_1"
            2 "s3_4_c12_c8_2" 18 "s3_4_c12_c9_2" 3 "s3_4_c12_c8_3" 19 "s3_4_c12_c9_3"
        }
    };
}

/// How many list registers there are, and how many active priorities registers for each group: ICH_VTR_EL2.
fn count() -> (u64, u64) {
    let vtr = read_sysreg!("s3_4_c12_c11_1");
    let active = match (vtr >> 26 & 7) + 1 {
        7 => 4,
        6 => 2,
        _ => 1,
    };
    ((vtr & 0x1F) + 1, active)
}

fn mixed(seed: u64, n: u64) -> u64 {
    (seed << 16 | n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
}

/// List register `n`: inactive, of some priority and number.
fn list(seed: u64, n: u64) -> u64 {
    let random = mixed(seed, n);
    1 << 60 | (random & 0x1F) << 51 | 1 << 40 | (32 + (random >> 8 & 0x1FF))
}

/// DISR_EL1: as if an SError had been deferred.
fn deferred(seed: u64) -> u64 {
    1 << 31 | mixed(seed, 99) & 0x1FF_FFFF
}

/// Fills the registers with what `seed` says.
pub fn fill_interface(seed: u64) {
    let (lists, actives) = count();
    macro_rules! write_lists {
        ($($n:literal $name:literal)*) => {
            // SAFETY: an interface that is off signals nothing.
            $( if $n < lists { unsafe { write_sysreg!($name, list(seed, $n)) } } )*
        };
    }
    list_registers!(write_lists);
    macro_rules! write_actives {
        ($($n:literal $name:literal)*) => {
            // SAFETY: as above.
            $( if $n % 16 < actives { unsafe { write_sysreg!($name, mixed(seed, 32 + $n) & 0x7FFF_FFFF) } } )*
        };
    }
    active_registers!(write_actives);
    // SAFETY: a place for syndromes. DISR_EL1.
    unsafe { write_sysreg!("s3_0_c12_c1_1", deferred(seed)) };
}

/// Number of registers that are not what [`fill_interface`] with this seed leaves in them.
pub fn interface_differences(seed: u64) -> u64 {
    let (lists, actives) = count();
    let mut differences = 0;
    macro_rules! read_lists {
        ($($n:literal $name:literal)*) => {
            $( if $n < lists { differences += u64::from(read_sysreg!($name) != list(seed, $n)) } )*
        };
    }
    list_registers!(read_lists);
    macro_rules! read_actives {
        ($($n:literal $name:literal)*) => {
            $( if $n % 16 < actives {
                differences += u64::from(read_sysreg!($name) != mixed(seed, 32 + $n) & 0x7FFF_FFFF);
            } )*
        };
    }
    active_registers!(read_actives);
    differences + u64::from(read_sysreg!("s3_0_c12_c1_1") != deferred(seed))
}
