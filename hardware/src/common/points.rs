//! Contents of the breakpoint, watchpoint and PMU registers that can be told from all others: what tests fill them with,
//! and compare them to. Nothing counts meanwhile, and nothing can match but the realm's own points.

use crate::common::barrier::isb;
use crate::common::debug::debug_points;
use crate::{read_sysreg, write_sysreg};

/// MDSCR_EL1.MDE: breakpoints and watchpoints raise exceptions.
const MDE: u64 = 1 << 15;
/// DBGBCR<n>_EL1.E and DBGWCR<n>_EL1.E.
const ENABLED: u64 = 1;
/// PMCR_EL0.E.
const COUNTING: u64 = 1;
/// PMCR_EL0.LC: the cycle counter has 64 bits.
const LONG_CYCLES: u64 = 1 << 6;
/// The cycle counter in PMCNTENSET_EL0 and its like.
const CYCLES: u64 = 1 << 31;
/// PMEVTYPER<n>_EL0: the event that counts cycles.
const CYCLE_EVENT: u64 = 0x11;

/// Registers of a PE or of a vCPU, from what ID_AA64DFR0_EL1 and PMCR_EL0 say.
struct Have {
    breakpoints: usize,
    watchpoints: usize,
    counters: Option<u64>,
}

impl Have {
    fn read() -> Self {
        let features = read_sysreg!("id_aa64dfr0_el1");
        let field = |shift: u32| (features >> shift & 0xF) as usize;
        let pmu = !matches!(field(8), 0 | 0xF);
        Self {
            breakpoints: field(12) + 1,
            watchpoints: field(20) + 1,
            counters: pmu.then(|| read_sysreg!("pmcr_el0") >> 11 & 0x1F),
        }
    }

    /// The bits of the counters in PMCNTENSET_EL0 and its like.
    fn mask(counters: u64) -> u64 {
        CYCLES | ((1 << counters) - 1)
    }
}

/// What register `n` has, in a set that `seed` tells from others.
fn mixed(seed: u64, n: usize) -> u64 {
    let product = (seed << 16 | n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    product ^ product >> 29
}

/// DBGBVR, DBGBCR, DBGWVR and DBGWCR of point `n`: addresses at which nothing of this project lies.
fn point(seed: u64, n: usize, enabled: u64) -> [u64; 4] {
    const ADDRESS: u64 = 0x3FFF_FFFF_FFF8;
    const HIGH: u64 = 0x4000_0000_0000;
    let random: [u64; 4] = core::array::from_fn(|i| mixed(seed, 4 * n + i));
    let mode = |random: u64| (random & 1 | 2) << 1;
    [
        HIGH | random[0] & ADDRESS,
        0xF << 5 | mode(random[1]) | enabled,
        HIGH | random[2] & ADDRESS,
        0xFF << 5 | (random[3] >> 8 & 1 | 2) << 3 | mode(random[3]) | enabled,
    ]
}

/// Event counter `n`: its value, below 2^31, and its event with filter.
fn counter(seed: u64, n: u64) -> (u64, u64) {
    let random = mixed(seed, 100 + n as usize);
    (random >> 32 & 0x7FFF_FFFF, random & 3 << 30 | CYCLE_EVENT)
}

/// Fills the registers: returns how many breakpoints, watchpoints and counters there are. With `enabled` the points may
/// match, and the vCPU may take exceptions for that.
///
/// # Safety
/// Nothing else uses the registers, at this exception level or below.
pub unsafe fn fill(seed: u64, enabled: bool) -> u64 {
    let have = Have::read();
    let enable = if enabled { ENABLED } else { 0 };
    if enabled {
        let control = read_sysreg!("mdscr_el1") | MDE;
        // SAFETY: no point matches an address of the program, so nothing happens.
        unsafe { write_sysreg!("mdscr_el1", control) };
    }
    macro_rules! write {
        ($($n:literal $bvr:literal $bcr:literal $wvr:literal $wcr:literal)*) => {
            $(
                let [bvr, bcr, wvr, wcr] = point(seed, $n, enable);
                if $n < have.breakpoints {
                    // SAFETY: says the caller; nothing runs at these addresses.
                    unsafe {
                        write_sysreg!($bvr, bvr);
                        write_sysreg!($bcr, bcr);
                    }
                }
                if $n < have.watchpoints {
                    // SAFETY: says the caller; there is no memory at these addresses.
                    unsafe {
                        write_sysreg!($wvr, wvr);
                        write_sysreg!($wcr, wcr);
                    }
                }
            )*
        };
    }
    debug_points!(write);
    if let Some(counters) = have.counters {
        let control = read_sysreg!("pmcr_el0") & !COUNTING | LONG_CYCLES;
        // SAFETY: says the caller; without PMCR_EL0.E nothing counts and nothing is signalled.
        unsafe {
            write_sysreg!("pmcr_el0", control);
            isb();
            for n in 0..counters {
                let (value, kind) = counter(seed, n);
                write_sysreg!("pmselr_el0", n);
                isb();
                write_sysreg!("pmxevcntr_el0", value);
                write_sysreg!("pmxevtyper_el0", kind);
            }
            write_sysreg!("pmccntr_el0", mixed(seed, 200));
            write_sysreg!("pmccfiltr_el0", mixed(seed, 201) & 3 << 30);
            let mask = Have::mask(counters);
            write_sysreg!("pmcntenclr_el0", u64::MAX);
            write_sysreg!("pmcntenset_el0", mixed(seed, 202) & mask);
            write_sysreg!("pmintenclr_el1", u64::MAX);
            write_sysreg!("pmintenset_el1", mixed(seed, 203) & mask);
            write_sysreg!("pmovsclr_el0", u64::MAX);
            write_sysreg!("pmovsset_el0", mixed(seed, 204) & mask);
            write_sysreg!("pmuserenr_el0", mixed(seed, 205) & 0xF);
            write_sysreg!("pmselr_el0", selected(seed, counters));
        }
    }
    isb();
    (have.breakpoints + have.watchpoints) as u64 + have.counters.unwrap_or(0)
}

/// PMSELR_EL0: one of the event counters, or the cycle counter.
fn selected(seed: u64, counters: u64) -> u64 {
    let n = mixed(seed, 206) % (counters + 1);
    if n == counters { 31 } else { n }
}

/// Number of registers that are not what [`fill`] with these arguments leaves in them.
pub fn differences(seed: u64, enabled: bool) -> u64 {
    let have = Have::read();
    let enable = if enabled { ENABLED } else { 0 };
    let mut count = 0;
    let mut compare = |is: u64, must: u64| count += u64::from(is != must);
    macro_rules! read {
        ($($n:literal $bvr:literal $bcr:literal $wvr:literal $wcr:literal)*) => {
            $(
                let [bvr, bcr, wvr, wcr] = point(seed, $n, enable);
                if $n < have.breakpoints {
                    compare(read_sysreg!($bvr), bvr);
                    compare(read_sysreg!($bcr), bcr);
                }
                if $n < have.watchpoints {
                    compare(read_sysreg!($wvr), wvr);
                    compare(read_sysreg!($wcr), wcr);
                }
            )*
        };
    }
    debug_points!(read);
    if let Some(counters) = have.counters {
        // What is selected comes first: reading the counters changes it.
        let select = selected(seed, counters);
        compare(read_sysreg!("pmselr_el0"), select);
        for n in 0..counters {
            // SAFETY: selects what the next two reads show.
            unsafe { write_sysreg!("pmselr_el0", n) };
            isb();
            let (value, kind) = counter(seed, n);
            compare(read_sysreg!("pmxevcntr_el0"), value);
            compare(read_sysreg!("pmxevtyper_el0"), kind);
        }
        // SAFETY: selects what was selected before.
        unsafe { write_sysreg!("pmselr_el0", select) };
        let mask = Have::mask(counters);
        let named = [
            read_sysreg!("pmccntr_el0"),
            read_sysreg!("pmccfiltr_el0"),
            read_sysreg!("pmcntenset_el0"),
            read_sysreg!("pmintenset_el1"),
            read_sysreg!("pmovsset_el0"),
            read_sysreg!("pmuserenr_el0"),
        ];
        let masks = [u64::MAX, 3 << 30, mask, mask, mask, 0xF];
        for (n, (is, mask)) in named.into_iter().zip(masks).enumerate() {
            compare(is, mixed(seed, 200 + n) & mask);
        }
        compare(read_sysreg!("pmcr_el0") & COUNTING, 0);
    }
    count
}
