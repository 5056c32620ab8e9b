//! Counters of this PE that count cycles wherever their filters let them, for tests of where they do.

use crate::common::barrier::isb;
use crate::{read_sysreg, write_sysreg};

/// PMCR_EL0: E, P (event counters to zero), C (the cycle counter too), LC (it has 64 bits).
const START: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 6;
/// The cycle counter, and the first event counter of each range.
const ENABLED: u64 = 1 << 31 | 0b11;
/// PMEVTYPER<n>_EL0: the event that counts cycles.
const CYCLE_EVENT: u64 = 0x11;
/// PMCCFILTR_EL0, PMEVTYPER<n>_EL0: NSH, EL2 as well.
const EL2: u64 = 1 << 27;
/// M is equal to P: EL3 as well, and RLH unequal to NSH: Realm EL2 as well, which is what zeros say.
const EVERYWHERE: u64 = EL2;
/// MDCR_EL2: HPME, and HPMN = 1: the first range has one event counter, the second one all others.
const TWO_RANGES: u64 = 1 << 7 | 1;
const RANGES: u64 = 1 << 7 | 0x1F;

/// Starts the counters at zero. `false`, and nothing is done, if there are less than two event counters.
pub fn start_counters() -> bool {
    let version = read_sysreg!("id_aa64dfr0_el1") >> 8 & 0xF;
    if matches!(version, 0 | 0xF) || read_sysreg!("pmcr_el0") >> 11 & 0x1F < 2 {
        return false;
    }
    let mdcr = read_sysreg!("mdcr_el2") & !RANGES | TWO_RANGES;
    // SAFETY: counters only count; their interrupts are off.
    unsafe {
        write_sysreg!("mdcr_el2", mdcr);
        write_sysreg!("pmintenclr_el1", u64::MAX);
        write_sysreg!("pmccfiltr_el0", EVERYWHERE);
        for n in 0..2 {
            write_sysreg!("pmselr_el0", n);
            isb();
            write_sysreg!("pmxevtyper_el0", EVERYWHERE | CYCLE_EVENT);
            write_sysreg!("pmxevcntr_el0", 0);
        }
        write_sysreg!("pmcntenset_el0", ENABLED);
        write_sysreg!("pmcr_el0", START);
    }
    isb();
    true
}

/// The cycle counter, and the event counters of the first and of the second range.
pub fn counters() -> [u64; 3] {
    isb();
    let event = |n: u64| {
        // SAFETY: selects what the next read shows.
        unsafe { write_sysreg!("pmselr_el0", n) };
        isb();
        read_sysreg!("pmxevcntr_el0") & 0xFFFF_FFFF
    };
    [read_sysreg!("pmccntr_el0"), event(0), event(1)]
}

/// Stops the counters, and gives all of them back to the first range.
pub fn stop_counters() {
    let counters = read_sysreg!("pmcr_el0") >> 11 & 0x1F;
    let mdcr = read_sysreg!("mdcr_el2") & !RANGES | counters;
    // SAFETY: as in `start_counters`.
    unsafe {
        write_sysreg!("pmcr_el0", 0);
        write_sysreg!("pmcntenclr_el0", u64::MAX);
        write_sysreg!("mdcr_el2", mdcr);
    }
    isb();
}
