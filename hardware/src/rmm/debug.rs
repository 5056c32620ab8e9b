//! The breakpoint and watchpoint registers, exchanged for a realm that has debug exceptions enabled.
//!
//! The realm's accesses to these registers are trapped, so there is nothing to be saved of it. Its last breakpoint becomes
//! the PE's last one: the breakpoints that can match contexts are the last ones. What the realm does not have is off.

use crate::common::debug::debug_points;
use crate::{read_sysreg, write_sysreg};
use realm_monitor::platform::{CpuFeatures, RecContext};
use realm_monitor::rec::layout::{
    DBGBCR, DBGBVR, DBGWCR, DBGWVR, DEBUG_MAX, DEBUG_POINTS, OS_UNLOCKED, SysReg,
};

/// MDSCR_EL1.MDE and SS: breakpoint and watchpoint exceptions, or software step.
const MDSCR_ENABLES: u64 = 1 << 15 | 1;
/// DBGBCR<n>_EL1 and DBGWCR<n>_EL1: linked to a context breakpoint.
const LINKED: u64 = 1 << 20;
const LBN_SHIFT: u32 = 16;
const LBN: u64 = 0xF << LBN_SHIFT;
/// DBGBCR<n>_EL1.BT: matches that need EL2 or AArch32.
const OTHER_TYPES: u64 = 3 << 22;
/// OSLSR_EL1.OSLK.
const OSLK: u64 = 1 << 1;

/// Whether a REC can take debug exceptions.
pub fn is_used_by(rec: RecContext<'_>) -> bool {
    rec.sysreg(SysReg::MdscrEl1) & MDSCR_ENABLES != 0
}

/// The registers of a PE, and the host's values of them while a realm's are in the PE.
#[derive(Debug)]
pub struct HostDebug {
    breakpoints: usize,
    watchpoints: usize,
    values: [[u64; 4]; DEBUG_MAX],
    locked: bool,
}

impl HostDebug {
    /// Room for the registers of a PE with these features.
    pub fn new(features: &CpuFeatures) -> Self {
        // The features count as ID_AA64DFR0_EL1 does: minus one.
        let count = |last: u8| (usize::from(last) + 1).min(DEBUG_MAX);
        Self {
            breakpoints: count(features.num_bps),
            watchpoints: count(features.num_wps),
            values: [[0; 4]; DEBUG_MAX],
            locked: false,
        }
    }

    /// Saves the host's registers and loads the realm's.
    pub fn give_to(&mut self, rec: RecContext<'_>) {
        let points = rec.get(DEBUG_POINTS);
        let breakpoint = (points & 0xFF) as usize;
        let watchpoints = (points >> 8 & 0xFF) as usize + 1;
        macro_rules! exchange {
            ($($n:literal $bvr:literal $bcr:literal $wvr:literal $wcr:literal)*) => {
                $(
                    if $n < self.breakpoints {
                        self.values[$n][0] = read_sysreg!($bvr);
                        self.values[$n][1] = read_sysreg!($bcr);
                        let from = if $n + 1 == self.breakpoints {
                            Some(breakpoint)
                        } else {
                            ($n < breakpoint).then_some($n)
                        };
                        let (value, control) = from.map_or((0, 0), |n| {
                            let control = rec.get(DBGBCR + n);
                            let control = if control & OTHER_TYPES == 0 { control } else { 0 };
                            (rec.get(DBGBVR + n), self.relink(control, breakpoint))
                        });
                        // SAFETY: debug exceptions are not taken at EL2.
                        unsafe {
                            write_sysreg!($bvr, value);
                            write_sysreg!($bcr, control);
                        }
                    }
                    if $n < self.watchpoints {
                        self.values[$n][2] = read_sysreg!($wvr);
                        self.values[$n][3] = read_sysreg!($wcr);
                        let (value, control) = if $n < watchpoints {
                            let control = self.relink(rec.get(DBGWCR + $n), breakpoint);
                            (rec.get(DBGWVR + $n), control)
                        } else {
                            (0, 0)
                        };
                        // SAFETY: as above.
                        unsafe {
                            write_sysreg!($wvr, value);
                            write_sysreg!($wcr, control);
                        }
                    }
                )*
            };
        }
        debug_points!(exchange);
        // OSLSR_EL1, OSLAR_EL1
        self.locked = read_sysreg!("s2_0_c1_c1_4") & OSLK != 0;
        // SAFETY: as above.
        unsafe { write_sysreg!("s2_0_c1_c0_4", u64::from(rec.get(OS_UNLOCKED) == 0)) };
    }

    /// Loads the host's registers.
    pub fn restore(&self) {
        macro_rules! write {
            ($($n:literal $bvr:literal $bcr:literal $wvr:literal $wcr:literal)*) => {
                $(
                    let [bvr, bcr, wvr, wcr] = self.values[$n];
                    if $n < self.breakpoints {
                        // SAFETY: as in `give_to`.
                        unsafe {
                            write_sysreg!($bvr, bvr);
                            write_sysreg!($bcr, bcr);
                        }
                    }
                    if $n < self.watchpoints {
                        // SAFETY: as in `give_to`.
                        unsafe {
                            write_sysreg!($wvr, wvr);
                            write_sysreg!($wcr, wcr);
                        }
                    }
                )*
            };
        }
        debug_points!(write);
        // SAFETY: as in `give_to`.
        unsafe { write_sysreg!("s2_0_c1_c0_4", u64::from(self.locked)) };
    }

    /// The control register of a point with its link, if it has one, to the breakpoint that has become of the realm's.
    fn relink(&self, control: u64, last: usize) -> u64 {
        let linked = (control >> LBN_SHIFT & 0xF) as usize;
        if control & LINKED == 0 {
            control & !LBN
        } else if linked == last {
            control & !LBN | (self.breakpoints as u64 - 1) << LBN_SHIFT
        } else if linked < last {
            control
        } else {
            0
        }
    }
}
