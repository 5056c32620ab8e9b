//! The breakpoint, watchpoint and PMU registers of this PE, for tests of who keeps them.

use crate::common::points;

/// Fills the registers with what `seed` says; the points match nothing and nothing counts. Returns how many breakpoints,
/// watchpoints and event counters there are.
pub fn fill_registers(seed: u64) -> u64 {
    // SAFETY: a hypervisor of this crate uses none of them.
    unsafe { points::fill(seed, false) }
}

/// Number of registers that are not what [`fill_registers`] with this seed leaves in them.
pub fn register_differences(seed: u64) -> u64 {
    points::differences(seed, false)
}
