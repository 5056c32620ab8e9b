//! The PMU's registers, exchanged for a realm that has the PMU.
//!
//! PMCR_EL0 is exchanged for every realm, with the other registers of EL1: so the host's counters stand still while a realm
//! without PMU runs. Of a realm's counters none counts while the functions here run, because PMCR_EL0.E is clear; of the
//! host's those from MDCR_EL2.HPMN on do not either, because HPME is clear.

use crate::common::barrier::isb;
use crate::{read_sysreg, write_sysreg};
use realm_monitor::platform::RecContext;
use realm_monitor::rec::layout::{MDCR_EL2, PMEVCNTR, PMEVTYPER, PMU_COUNTERS_MAX, PmuReg};

/// MDCR_EL2.TPM: accesses to the PMU are trapped, so the realm has none.
const TPM: u64 = 1 << 6;

/// MDCR_EL2 while no realm is loaded: HPMD and HCCD, neither events nor cycles are counted at EL2; and HPMN, all `counters` are
/// EL1's.
pub const fn mdcr_monitor(counters: u64) -> u64 {
    1 << 17 | 1 << 23 | counters
}

/// Number of event counters of a realm with the PMU.
pub fn counters(rec: RecContext<'_>) -> Option<usize> {
    let mdcr = rec.get(MDCR_EL2);
    (mdcr & TPM == 0).then_some((mdcr & 0x1F) as usize)
}

/// A set of registers.
#[derive(Debug)]
pub struct Registers {
    single: [u64; PmuReg::COUNT],
    counters: [u64; PMU_COUNTERS_MAX],
    types: [u64; PMU_COUNTERS_MAX],
}

impl Registers {
    /// All zero.
    pub const ZERO: Self = Self {
        single: [0; PmuReg::COUNT],
        counters: [0; PMU_COUNTERS_MAX],
        types: [0; PMU_COUNTERS_MAX],
    };

    /// Saves the host's registers as far as the realm has them, and loads the realm's.
    pub fn give_to(&mut self, rec: RecContext<'_>, counters: usize) {
        stop();
        read(
            |register, value| self.single[register as usize] = value,
            &mut self.counters[..counters],
            &mut self.types[..counters],
        );
        let mut values = Self::ZERO;
        for n in 0..counters {
            values.counters[n] = rec.get(PMEVCNTR + n);
            values.types[n] = rec.get(PMEVTYPER + n);
        }
        write(
            |register| rec.get(register.word()),
            &values.counters[..counters],
            &values.types[..counters],
        );
    }

    /// Saves the realm's registers, and loads the host's. PMCR_EL0 has been saved.
    pub fn take_from(&self, rec: RecContext<'_>, counters: usize) {
        stop();
        let mut values = Self::ZERO;
        read(
            |register, value| rec.set(register.word(), value),
            &mut values.counters[..counters],
            &mut values.types[..counters],
        );
        for n in 0..counters {
            rec.set(PMEVCNTR + n, values.counters[n]);
            rec.set(PMEVTYPER + n, values.types[n]);
        }
        write(
            |register| self.single[register as usize],
            &self.counters[..counters],
            &self.types[..counters],
        );
    }
}

/// Clears PMCR_EL0.E.
fn stop() {
    let control = read_sysreg!("pmcr_el0");
    // SAFETY: counters do not affect this program.
    unsafe { write_sysreg!("pmcr_el0", control & !1) };
    isb();
}

/// Lists each register of which there is one; those that are written by setting bits have a second one to clear them.
macro_rules! single {
    ($callback:ident) => {
        $callback! {
            Pmccntr "pmccntr_el0", Pmccfiltr "pmccfiltr_el0", Pmselr "pmselr_el0", Pmuserenr "pmuserenr_el0";
            Pmcnten "pmcntenset_el0" "pmcntenclr_el0", Pminten "pmintenset_el1" "pmintenclr_el1",
            Pmovs "pmovsset_el0" "pmovsclr_el0",
        }
    };
}

fn read(mut single: impl FnMut(PmuReg, u64), counters: &mut [u64], types: &mut [u64]) {
    macro_rules! read_all {
        ($($plain:ident $name:literal),*; $($bits:ident $set:literal $clear:literal),* $(,)?) => {
            $( single(PmuReg::$plain, read_sysreg!($name)); )*
            $( single(PmuReg::$bits, read_sysreg!($set)); )*
        };
    }
    single!(read_all);
    for (n, (counter, kind)) in counters.iter_mut().zip(types).enumerate() {
        // SAFETY: PMSELR_EL0 selects what the next two reads show.
        unsafe { write_sysreg!("pmselr_el0", n) };
        isb();
        *counter = read_sysreg!("pmxevcntr_el0");
        *kind = read_sysreg!("pmxevtyper_el0");
    }
}

fn write(single: impl Fn(PmuReg) -> u64, counters: &[u64], types: &[u64]) {
    for (n, (counter, kind)) in counters.iter().zip(types).enumerate() {
        // SAFETY: counters do not affect this program.
        unsafe { write_sysreg!("pmselr_el0", n) };
        isb();
        // SAFETY: as above.
        unsafe {
            write_sysreg!("pmxevcntr_el0", *counter);
            write_sysreg!("pmxevtyper_el0", *kind);
        }
    }
    macro_rules! write_all {
        ($($plain:ident $name:literal),*; $($bits:ident $set:literal $clear:literal),* $(,)?) => {
            // SAFETY: counters can only make an interrupt pending, and interrupts are masked while the RMM runs.
            unsafe {
                $( write_sysreg!($name, single(PmuReg::$plain)); )*
                $(
                    write_sysreg!($clear, u64::MAX);
                    write_sysreg!($set, single(PmuReg::$bits));
                )*
            }
        };
    }
    single!(write_all);
}
