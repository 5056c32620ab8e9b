//! SIMD registers, switched when a realm first touches them.
//!
//! A realm here has V0 to V31, FPCR and FPSR but no SVE. Each write to a V register clears the rest of the Z register
//! that it is part of, so on a CPU with SVE the host's Z registers are saved whole, at the vector length that the host
//! has chosen in ZCR_EL2 (which is left alone). Predicates and FFR stay in place: the realm cannot reach them.

use crate::common::barrier::isb;
use crate::rmm::entry::CPTR_MONITOR;
use crate::{read_sysreg, write_sysreg};
use core::arch::global_asm;
use realm_monitor::platform::RecContext;
use realm_monitor::rec::layout::{FPCR, FPSR, SIMD};

/// CPTR_EL2 bits that let FP and Advanced SIMD through.
pub const FP_ON: u64 = 3 << 20;
const SVE_ON: u64 = 3 << 16;

/// Bytes of a Z register of the longest vectors (2048 bits).
const Z_BYTES: usize = 256;

global_asm!(
    r#"
    .pushsection .text.rmm_simd, "ax"
    .arch_extension fp
    .arch_extension simd
    .arch_extension sve

    // X0 = 512 bytes, 16-byte aligned.
rmm_store_v:
    stp     q0, q1, [x0, #0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    ret
rmm_load_v:
    ldp     q0, q1, [x0, #0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    ret

    // X0 = 32 vectors.
rmm_store_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    str     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    str     z\n, [x0, #\n, mul vl]
    .endr
    ret
rmm_load_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    ldr     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ldr     z\n, [x0, #\n, mul vl]
    .endr
    ret
    .arch_extension nosve
    .popsection
    "#
);

unsafe extern "C" {
    fn rmm_store_v(to: *mut u64);
    fn rmm_load_v(from: *const u64);
    fn rmm_store_z(to: *mut u8);
    fn rmm_load_z(from: *const u8);
}

/// The host's SIMD registers while a realm's are in the PE.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct HostSimd {
    registers: [u8; 32 * Z_BYTES],
    fpcr: u64,
    fpsr: u64,
    sve: bool,
}

impl HostSimd {
    /// Room for the registers of a CPU with or without SVE.
    pub const fn new(sve: bool) -> Self {
        Self {
            registers: [0; 32 * Z_BYTES],
            fpcr: 0,
            fpsr: 0,
            sve,
        }
    }

    /// Opens CPTR_EL2 for what follows.
    fn open(&self) {
        let sve = if self.sve { SVE_ON } else { 0 };
        // SAFETY: lets EL2 access registers that compiled code does not use.
        unsafe { write_sysreg!("cptr_el2", CPTR_MONITOR | FP_ON | sve) };
        isb();
    }

    /// Takes the host's registers out of the PE and puts the realm's in.
    pub fn give_to(&mut self, rec: RecContext<'_>) {
        self.open();
        // FPCR and FPSR.
        self.fpcr = read_sysreg!("s3_3_c4_c4_0");
        self.fpsr = read_sysreg!("s3_3_c4_c4_1");
        let to = self.registers.as_mut_ptr();
        // SAFETY: the buffer holds 32 vectors of the longest kind, aligned; compiled code uses no SIMD register.
        unsafe {
            if self.sve {
                rmm_store_z(to);
            } else {
                rmm_store_v(to.cast());
            }
        }
        // SAFETY: the words of the REC from SIMD on are 512 bytes at a multiple of 16, mapped, and this PE's alone.
        unsafe {
            rmm_load_v(rec.0[SIMD].as_ptr());
            write_sysreg!("s3_3_c4_c4_0", rec.get(FPCR));
            write_sysreg!("s3_3_c4_c4_1", rec.get(FPSR));
        }
    }

    /// Takes the realm's registers out of the PE and puts the host's back.
    pub fn take_from(&mut self, rec: RecContext<'_>) {
        self.open();
        rec.set(FPCR, read_sysreg!("s3_3_c4_c4_0"));
        rec.set(FPSR, read_sysreg!("s3_3_c4_c4_1"));
        let from = self.registers.as_ptr();
        // SAFETY: as in `give_to`.
        unsafe {
            rmm_store_v(rec.0[SIMD].as_ptr());
            if self.sve {
                rmm_load_z(from);
            } else {
                rmm_load_v(from.cast());
            }
            write_sysreg!("s3_3_c4_c4_0", self.fpcr);
            write_sysreg!("s3_3_c4_c4_1", self.fpsr);
            write_sysreg!("cptr_el2", CPTR_MONITOR);
        }
    }
}
