//! The breakpoint, watchpoint and PMU registers of this PE, for tests of who keeps them.

use crate::common::points;
use crate::{read_sysreg, write_sysreg};

/// Fills the registers with what `seed` says; the points match nothing and nothing counts. The OS lock is shut for every other
/// seed. Returns how many breakpoints, watchpoints and event counters there are.
pub fn fill_registers(seed: u64) -> u64 {
    // SAFETY: a hypervisor of this crate uses none of them. OSLAR_EL1.
    unsafe {
        write_sysreg!("s2_0_c1_c0_4", seed & 1);
        points::fill(seed, false)
    }
}

/// Number of registers that are not what [`fill_registers`] with this seed leaves in them.
pub fn register_differences(seed: u64) -> u64 {
    // OSLSR_EL1.OSLK
    let locked = read_sysreg!("s2_0_c1_c1_4") >> 1 & 1;
    points::differences(seed, false) + (locked ^ seed & 1)
}
