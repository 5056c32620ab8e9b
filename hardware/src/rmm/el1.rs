//! The EL1 and EL0 system registers that a realm shares with the host: saved, exchanged and restored.
//!
//! EL3 does not switch them. They are accessed by their EL12 and EL02 names, which reach the EL1 registers from EL2 with
//! HCR_EL2.E2H set. No ISB is needed between these accesses and the ERET into a realm: nothing at EL2 depends on them.

use crate::rmm::cpu::Optional;
use crate::{read_sysreg, write_sysreg};
use realm_monitor::platform::RecContext;
use realm_monitor::rec::layout::{CNTP_CTL, CNTP_CVAL, CNTV_CTL, CNTV_CVAL, PAUTH, SysReg};

/// Lists each register once: the SysReg (or word index), and its name at EL2.
macro_rules! registers {
    ($callback:ident) => {
        $callback! {
            // SP_EL1, ELR_EL12, SPSR_EL12
            SpEl1 "s3_4_c4_c1_0", ElrEl1 "s3_5_c4_c0_1", SpsrEl1 "s3_5_c4_c0_0",
            TpidrroEl0 "tpidrro_el0", TpidrEl0 "tpidr_el0", CsselrEl1 "csselr_el1",
            // SCTLR_EL12, CPACR_EL12
            SctlrEl1 "s3_5_c1_c0_0", CpacrEl1 "s3_5_c1_c0_2",
            // TTBR0_EL12, TTBR1_EL12, TCR_EL12
            Ttbr0El1 "s3_5_c2_c0_0", Ttbr1El1 "s3_5_c2_c0_1", TcrEl1 "s3_5_c2_c0_2",
            // ESR_EL12, FAR_EL12
            EsrEl1 "s3_5_c5_c2_0", FarEl1 "s3_5_c6_c0_0",
            // MAIR_EL12, VBAR_EL12, CONTEXTIDR_EL12
            MairEl1 "s3_5_c10_c2_0", VbarEl1 "s3_5_c12_c0_0", ContextidrEl1 "s3_5_c13_c0_1",
            // TPIDR_EL1, CNTKCTL_EL12
            TpidrEl1 "tpidr_el1", CntkctlEl1 "s3_5_c14_c1_0",
            ParEl1 "par_el1", MdscrEl1 "mdscr_el1", MdccintEl1 "mdccint_el1",
            // ACTLR_EL1, AFSR0_EL12, AFSR1_EL12, AMAIR_EL12: what is in them the architecture does not say.
            ActlrEl1 "actlr_el1", Afsr0El1 "s3_5_c5_c1_0", Afsr1El1 "s3_5_c5_c1_1", AmairEl1 "s3_5_c10_c3_0",
        }
    };
}

/// The host's values of everything that [`load`] overwrites and EL3 does not keep.
#[derive(Debug, Default)]
pub struct HostRegisters {
    sysregs: [u64; SysReg::COUNT],
    cntp_ctl: u64,
    cntp_cval: u64,
    cntv_ctl: u64,
    cntv_cval: u64,
}

impl HostRegisters {
    /// Reads the host's values.
    pub fn save(&mut self, optional: Optional) {
        macro_rules! read_all {
            ($($register:ident $name:literal),* $(,)?) => {
                $( self.sysregs[SysReg::$register as usize] = read_sysreg!($name); )*
            };
        }
        registers!(read_all);
        if optional.pmu {
            self.sysregs[SysReg::PmcrEl0 as usize] = read_sysreg!("pmcr_el0");
        }
        // CNTP_CTL_EL02, CNTP_CVAL_EL02, CNTV_CTL_EL02, CNTV_CVAL_EL02
        self.cntp_ctl = read_sysreg!("s3_5_c14_c2_1");
        self.cntp_cval = read_sysreg!("s3_5_c14_c2_2");
        self.cntv_ctl = read_sysreg!("s3_5_c14_c3_1");
        self.cntv_cval = read_sysreg!("s3_5_c14_c3_2");
    }

    /// Puts the host's values back.
    pub fn restore(&self, optional: Optional) {
        macro_rules! write_all {
            ($($register:ident $name:literal),* $(,)?) => {
                // SAFETY: EL1 and EL0 registers do not affect this program at EL2.
                unsafe { $( write_sysreg!($name, self.sysregs[SysReg::$register as usize]); )* }
            };
        }
        registers!(write_all);
        if optional.pmu {
            // SAFETY: as above.
            unsafe { write_sysreg!("pmcr_el0", self.sysregs[SysReg::PmcrEl0 as usize]) };
        }
        write_timers(self.cntp_cval, self.cntp_ctl, self.cntv_cval, self.cntv_ctl);
    }
}

/// Compare values before controls: a timer must not be on with another one's compare value.
fn write_timers(cntp_cval: u64, cntp_ctl: u64, cntv_cval: u64, cntv_ctl: u64) {
    // SAFETY: the EL1 timers can only make an interrupt pending, and interrupts are masked while the RMM runs.
    unsafe {
        write_sysreg!("s3_5_c14_c2_2", cntp_cval);
        write_sysreg!("s3_5_c14_c3_2", cntv_cval);
        write_sysreg!("s3_5_c14_c2_1", cntp_ctl);
        write_sysreg!("s3_5_c14_c3_1", cntv_ctl);
    }
}

/// APIAKey, APIBKey, APDAKey, APDBKey, APGAKey, low and high.
macro_rules! keys {
    ($callback:ident) => {
        $callback! {
            0 "s3_0_c2_c1_0", 1 "s3_0_c2_c1_1", 2 "s3_0_c2_c1_2", 3 "s3_0_c2_c1_3", 4 "s3_0_c2_c2_0",
            5 "s3_0_c2_c2_1", 6 "s3_0_c2_c2_2", 7 "s3_0_c2_c2_3", 8 "s3_0_c2_c3_0", 9 "s3_0_c2_c3_1",
        }
    };
}

/// Loads the realm's registers, timers included; SP_EL0 is the business of each entry.
pub fn load(rec: RecContext<'_>, optional: Optional) {
    macro_rules! write_all {
        ($($register:ident $name:literal),* $(,)?) => {
            // SAFETY: EL1 and EL0 registers do not affect this program at EL2.
            unsafe { $( write_sysreg!($name, rec.sysreg(SysReg::$register)); )* }
        };
    }
    registers!(write_all);
    if optional.pmu {
        // SAFETY: counters do not affect this program.
        unsafe { write_sysreg!("pmcr_el0", rec.sysreg(SysReg::PmcrEl0)) };
    }
    if optional.ras {
        // SAFETY: VDISR_EL2 is what the realm reads as DISR_EL1.
        unsafe { write_sysreg!("s3_4_c12_c1_1", rec.sysreg(SysReg::DisrEl1)) };
    }
    write_timers(
        rec.get(CNTP_CVAL),
        rec.get(CNTP_CTL),
        rec.get(CNTV_CVAL),
        rec.get(CNTV_CTL),
    );
    if optional.pauth {
        macro_rules! write_keys {
            ($($n:literal $name:literal),* $(,)?) => {
                // SAFETY: the RMM authenticates no pointers; EL3 keeps the host's keys.
                unsafe { $( write_sysreg!($name, rec.get(PAUTH + $n)); )* }
            };
        }
        keys!(write_keys);
    }
}

/// Saves the realm's registers except SP_EL0 and the timers.
pub fn store(rec: RecContext<'_>, optional: Optional) {
    macro_rules! read_all {
        ($($register:ident $name:literal),* $(,)?) => {
            $( rec.set_sysreg(SysReg::$register, read_sysreg!($name)); )*
        };
    }
    registers!(read_all);
    if optional.pmu {
        rec.set_sysreg(SysReg::PmcrEl0, read_sysreg!("pmcr_el0"));
    }
    if optional.ras {
        rec.set_sysreg(SysReg::DisrEl1, read_sysreg!("s3_4_c12_c1_1"));
    }
    if optional.pauth {
        macro_rules! read_keys {
            ($($n:literal $name:literal),* $(,)?) => {
                $( rec.set(PAUTH + $n, read_sysreg!($name)); )*
            };
        }
        keys!(read_keys);
    }
}

/// Saves the realm's timers.
pub fn store_timers(rec: RecContext<'_>) {
    rec.set(CNTP_CTL, read_sysreg!("s3_5_c14_c2_1"));
    rec.set(CNTP_CVAL, read_sysreg!("s3_5_c14_c2_2"));
    rec.set(CNTV_CTL, read_sysreg!("s3_5_c14_c3_1"));
    rec.set(CNTV_CVAL, read_sysreg!("s3_5_c14_c3_2"));
}
