//! One PE: the way into a realm and back.
//!
//! A realm's registers stay in the PE from the first [`Pe::run`] of a REC entry until [`Pe::save`], so that an exit that
//! the RMM answers itself costs general-purpose registers only. Stage 2 stays on meanwhile: translation at EL2 is not
//! affected by it.

use crate::common::assembly::{assembly, operation, routines};
use crate::common::barrier::{dsb_nsh, esb, isb};
use crate::rmm::cpu::Optional;
use crate::rmm::debug::{self, HostDebug};
use crate::rmm::el1::{self, HostRegisters};
use crate::rmm::entry::HCR_MONITOR;
use crate::rmm::gic::HostGic;
use crate::rmm::simd::{FP_ON, HostSimd, SVE_ON};
use crate::rmm::{hash, job, pmu};
use crate::{read_sysreg, write_sysreg};
use aarch64_formats::esr::Esr;
use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::platform::{CpuFeatures, Exception, ProcessingElement, RecContext, Stage2};
use realm_monitor::rec::layout::{
    CNTHCTL_EL2, CPTR_EL2, GPRS, HCR_EL2, MDCR_EL2, PC, PE_PRIVATE, PSTATE, SVE_VECTORS, SysReg,
    VMPIDR_EL2, VSESR_EL2,
};

assembly!(
    r#"
    .pushsection .text.rmm_realm, "ax"
    // Enters the realm whose REC granule X0 points to; returns the kind of the exception that ended it, with the
    // general registers, PC and PSTATE back in the granule.
rmm_realm_enter:
    stp     x19, x20, [sp, #-112]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    str     x0, [sp, #96]
    ldp     x1, x2, [x0, #{pc}]
    ldr     x3, [x0, #{sp_el0}]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    msr     sp_el0, x3
    ldp     x2, x3, [x0, #({gprs} + 16)]
    ldp     x4, x5, [x0, #({gprs} + 32)]
    ldp     x6, x7, [x0, #({gprs} + 48)]
    ldp     x8, x9, [x0, #({gprs} + 64)]
    ldp     x10, x11, [x0, #({gprs} + 80)]
    ldp     x12, x13, [x0, #({gprs} + 96)]
    ldp     x14, x15, [x0, #({gprs} + 112)]
    ldp     x16, x17, [x0, #({gprs} + 128)]
    ldp     x18, x19, [x0, #({gprs} + 144)]
    ldp     x20, x21, [x0, #({gprs} + 160)]
    ldp     x22, x23, [x0, #({gprs} + 176)]
    ldp     x24, x25, [x0, #({gprs} + 192)]
    ldp     x26, x27, [x0, #({gprs} + 208)]
    ldp     x28, x29, [x0, #({gprs} + 224)]
    ldr     x30, [x0, #({gprs} + 240)]
    ldp     x0, x1, [x0, #{gprs}]
    eret
    // Nothing behind an ERET may be executed, not even speculatively.
    dsb     nsh
    isb

    // From the vectors: the realm's X0 and X1 are on the stack, X0 is the kind of the exception.
    .global rmm_realm_exit
rmm_realm_exit:
    ldr     x1, [sp, #(16 + 96)]
    stp     x2, x3, [x1, #({gprs} + 16)]
    stp     x4, x5, [x1, #({gprs} + 32)]
    stp     x6, x7, [x1, #({gprs} + 48)]
    stp     x8, x9, [x1, #({gprs} + 64)]
    stp     x10, x11, [x1, #({gprs} + 80)]
    stp     x12, x13, [x1, #({gprs} + 96)]
    stp     x14, x15, [x1, #({gprs} + 112)]
    stp     x16, x17, [x1, #({gprs} + 128)]
    stp     x18, x19, [x1, #({gprs} + 144)]
    stp     x20, x21, [x1, #({gprs} + 160)]
    stp     x22, x23, [x1, #({gprs} + 176)]
    stp     x24, x25, [x1, #({gprs} + 192)]
    stp     x26, x27, [x1, #({gprs} + 208)]
    stp     x28, x29, [x1, #({gprs} + 224)]
    str     x30, [x1, #({gprs} + 240)]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x1, #{gprs}]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x2, x3, [x1, #{pc}]
    mrs     x2, sp_el0
    str     x2, [x1, #{sp_el0}]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     x19, x20, [sp], #112
    ret
    .popsection
    "#,
    gprs = const GPRS * 8,
    pc = const PC * 8,
    sp_el0 = const SysReg::SpEl0.word() * 8,
);

const _: () = assert!(PSTATE == PC + 1);

routines! {
    fn rmm_realm_enter(rec: *mut u64) -> u64;
}

// Kinds of exception as the vectors number them.
const SYNC: u64 = 0;
const IRQ: u64 = 1;
const FIQ: u64 = 2;

/// Of a REC's private words: the PE that it ran on last, and the syndrome of an SError that it has still to hear of, or 0.
const LAST_PE: usize = PE_PRIVATE;
const DEFERRED_ERROR: usize = PE_PRIVATE + 1;

/// HCR_EL2: a virtual SError is pending.
const VSE: u64 = 1 << 8;

/// Exception class of a trapped FP or Advanced SIMD access.
const EC_FP: u64 = 0x07;
/// Exception class of a trapped SVE access.
const EC_SVE: u64 = 0x19;
/// Exception class of a trapped SME access, or of what streaming mode does not allow.
const EC_SME: u64 = 0x1D;

/// A PE. Exactly one value exists per PE, owned by its service loop.
#[derive(Debug)]
pub struct Pe {
    optional: Optional,
    /// MDCR_EL2.HPMN: all counters are EL1's.
    counters: u64,
    /// Whether a realm's EL1 registers and virtual CPU interface are in the PE.
    loaded: bool,
    /// Whether a realm's SIMD registers are in the PE.
    simd_loaded: bool,
    /// Whether a realm's breakpoints and watchpoints are in the PE.
    debug_loaded: bool,
    /// Address of the REC that ran here last; 0 if none did.
    last_rec: usize,
    /// Whether the PE may hold stage 1 translations that are not those of the REC that is loaded.
    stale: bool,
    host: HostRegisters,
    host_gic: HostGic,
    host_simd: HostSimd,
    host_debug: HostDebug,
    host_pmu: pmu::Registers,
    /// The host's DISR_EL1.
    host_disr: u64,
}

impl Pe {
    /// This PE, nothing loaded.
    pub fn new(features: &CpuFeatures) -> Self {
        let optional = Optional::of(&features.ids);
        Self {
            optional,
            counters: features.pmu_counters.unwrap_or(0).into(),
            loaded: false,
            simd_loaded: false,
            debug_loaded: false,
            last_rec: 0,
            stale: false,
            host: HostRegisters::default(),
            host_gic: HostGic::new(features.ich_vtr),
            host_simd: HostSimd::new(optional),
            host_debug: HostDebug::new(features),
            host_pmu: pmu::Registers::ZERO,
            host_disr: 0,
        }
    }

    fn load(&mut self, rec: RecContext<'_>, stage2: &Stage2) {
        self.host.save(self.optional);
        let pmu = pmu::counters(rec);
        if let Some(counters) = pmu {
            self.host_pmu.give_to(rec, counters);
        }
        let counters = if pmu.is_some() { 0 } else { self.counters };
        // SAFETY: all of these configure EL1 and EL0 only, debug and performance monitors included. Stage 2 is still off:
        // HCR_EL2 is the RMM's.
        unsafe {
            write_sysreg!("mdcr_el2", rec.get(MDCR_EL2) | counters);
            write_sysreg!("cnthctl_el2", rec.get(CNTHCTL_EL2));
            write_sysreg!("vtcr_el2", stage2.vtcr);
            write_sysreg!("vttbr_el2", stage2.vttbr);
            write_sysreg!("vmpidr_el2", rec.get(VMPIDR_EL2));
        }
        if debug::is_used_by(rec) {
            self.host_debug.give_to(rec);
            self.debug_loaded = true;
        }
        // The timer masks must hold before the timers can assert.
        isb();
        el1::load(rec, self.optional);
        self.host_gic.give_to(rec);
        isb();
        // The RECs of a realm share its VMID, but each is a processor with translations of its own. What one of them
        // left in this PE, or this one before it ran on another PE, must not be used.
        let (this_pe, this_rec) = (read_sysreg!("mpidr_el1"), rec.0.as_ptr().addr());
        self.stale = self.last_rec != this_rec || rec.get(LAST_PE) != this_pe;
        self.last_rec = this_rec;
        rec.set(LAST_PE, this_pe);
        self.loaded = true;
    }
}

impl Pe {
    /// An SError that is pending, which the PE forgets: its syndrome. Whatever is in DISR_EL1 is lost.
    fn pending_error(&self) -> Option<u64> {
        // SAFETY: a place for deferred errors.
        unsafe { write_sysreg!("s3_0_c12_c1_1", 0) };
        esb();
        Esr::deferred(read_sysreg!("s3_0_c12_c1_1")).map(Esr::bits)
    }

    /// What a realm must not be entered for: SErrors are masked while the RMM runs, and not taken at EL3. So one that the host
    /// leaves behind is found here, before the realm could take the blame.
    fn error_before(&mut self, rec: RecContext<'_>) -> Option<Exception> {
        if !self.optional.ras {
            return None;
        }
        let own = rec.get(DEFERRED_ERROR);
        if own != 0 {
            rec.set(DEFERRED_ERROR, 0);
            return Some(Exception::SError { esr: own });
        }
        self.host_disr = read_sysreg!("s3_0_c12_c1_1");
        let esr = self.pending_error()?;
        self.restore_disr();
        Some(Exception::EarlierSError { esr })
    }

    /// Keeps an SError of the realm, which has been left, from the host: the next run begins with it.
    fn error_behind(&self, rec: RecContext<'_>) {
        if self.optional.ras {
            if let Some(esr) = self.pending_error() {
                rec.set(DEFERRED_ERROR, esr);
            }
            self.restore_disr();
        }
    }

    fn restore_disr(&self) {
        // SAFETY: what the host had there.
        unsafe { write_sysreg!("s3_0_c12_c1_1", self.host_disr) };
    }

    /// Whether a synchronous exception of a realm without SIMD loaded asks for it.
    fn wants_simd(&self, rec: RecContext<'_>, esr: u64) -> bool {
        match esr >> 26 & 0x3F {
            EC_FP => true,
            EC_SVE => rec.get(SVE_VECTORS) != 0,
            EC_SME => self.host_simd.is_in_streaming_mode(),
            _ => false,
        }
    }
}

impl ProcessingElement for Pe {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        hash::give_back();
        if self.loaded {
            // SAFETY: EL1 timers only. What the monitor changes besides these and general registers it changes after
            // `save`.
            unsafe { write_sysreg!("cnthctl_el2", rec.get(CNTHCTL_EL2)) };
        } else {
            if let Some(error) = self.error_before(rec) {
                return error;
            }
            self.load(rec, stage2);
            // In the host's streaming mode a realm's SVE instruction is an SME exception, and that is the realm's own where
            // it has SME shut. So the realm must not find the PE in that mode.
            if rec.get(SVE_VECTORS) != 0 && self.host_simd.is_in_streaming_mode() {
                self.host_simd.give_to(rec);
                self.simd_loaded = true;
            }
            if self.optional.ras {
                // SAFETY: the syndrome of a virtual SError of the realm. VSESR_EL2.
                unsafe { write_sysreg!("s3_4_c5_c2_3", rec.get(VSESR_EL2)) };
            }
            // SAFETY: the realm's HCR_EL2, under which EL2 runs as before (E2H is set in both; interrupts are masked).
            unsafe { write_sysreg!("hcr_el2", rec.get(HCR_EL2)) };
            if self.stale {
                isb();
                // SAFETY: with the realm's HCR_EL2 and VTTBR_EL2 this drops translations of its VMID on this PE.
                unsafe { operation!("tlbi vmalle1") };
                dsb_nsh();
                self.stale = false;
            }
        }
        let exception = loop {
            let simd = match (self.simd_loaded, rec.get(SVE_VECTORS)) {
                (false, _) => 0,
                (true, 0) => FP_ON,
                (true, _) => FP_ON | SVE_ON,
            };
            // SAFETY: traps for lower exception levels, and for SIMD at EL2, which compiled code does not use.
            unsafe { write_sysreg!("cptr_el2", rec.get(CPTR_EL2) | simd) };
            // SAFETY: the REC is this PE's alone while it runs (atomics only, so what others do is not undefined
            // behaviour). The realm cannot reach the RMM's memory: stage 2 maps only granules that the monitor gave it.
            let kind = unsafe { rmm_realm_enter(rec.0[GPRS].as_ptr()) };
            let esr = read_sysreg!("esr_el2");
            match kind {
                SYNC if !self.simd_loaded && self.wants_simd(rec, esr) => {
                    self.host_simd.give_to(rec);
                    self.simd_loaded = true;
                }
                SYNC => {
                    break Exception::Sync {
                        esr,
                        far: read_sysreg!("far_el2"),
                        hpfar: read_sysreg!("hpfar_el2"),
                    };
                }
                IRQ => break Exception::Irq,
                FIQ => break Exception::Fiq,
                _ => break Exception::SError { esr },
            }
        };
        // A virtual SError that the realm has taken must not be injected again.
        if rec.get(HCR_EL2) & VSE != 0 && read_sysreg!("hcr_el2") & VSE == 0 {
            rec.set(HCR_EL2, rec.get(HCR_EL2) & !VSE);
        }
        el1::store_timers(rec);
        exception
    }

    fn save(&mut self, rec: RecContext<'_>) {
        if !self.loaded {
            return;
        }
        hash::give_back();
        // SAFETY: back to the RMM's own; stage 2 is off before the realm's stage 1 registers go.
        unsafe { write_sysreg!("hcr_el2", HCR_MONITOR) };
        isb();
        self.host_gic.take_from(rec);
        el1::store(rec, self.optional);
        if let Some(counters) = pmu::counters(rec) {
            self.host_pmu.take_from(rec, counters);
        }
        if self.debug_loaded {
            self.host_debug.restore();
            self.debug_loaded = false;
        }
        // SAFETY: the host's counters do not count what the RMM does.
        unsafe { write_sysreg!("mdcr_el2", pmu::mdcr_monitor(self.counters)) };
        self.host.restore(self.optional);
        self.error_behind(rec);
        if self.simd_loaded {
            self.host_simd.take_from(rec);
            self.simd_loaded = false;
        }
        self.loaded = false;
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        job::start(place, signing)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        job::resume(place)
    }

    fn interrupt_pending(&self) -> bool {
        read_sysreg!("isr_el1") != 0
    }

    fn counter(&self) -> u64 {
        isb();
        read_sysreg!("cntpct_el0")
    }
}

#[cfg(test)]
#[path = "pe_tests.rs"]
mod tests;
