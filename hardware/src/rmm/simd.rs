//! SIMD registers, switched when a realm first touches them.
//!
//! A realm without SVE has V0 to V31, FPCR and FPSR. Each write to a V register clears the rest of the Z register that it
//! is part of, so on a CPU with SVE the host's Z registers are saved whole. Predicates and FFR stay in place: the realm
//! cannot reach them. A realm with SVE has Z, P and FFR of its own, of the length that ZCR_EL2 is set to meanwhile.
//!
//! The host's are saved and loaded at the longest length, whatever it has chosen in ZCR_EL2: so nothing of a realm is left
//! in the part that the host would see if it chose longer vectors later, and what was there of its own comes back.
//!
//! A host may call while it is in SME's streaming mode, which is not the realm's business: what streaming mode keeps in
//! Z, P and FFR is saved, streaming mode left, and entered again for the host. Whether the host is in streaming mode is
//! found out by an SVE instruction, which is trapped then as long as SME is shut: SVCR itself must not be touched where
//! EL3 keeps SME to itself. ZA stays in place.

use crate::common::barrier::isb;
use crate::rmm::cpu::Optional;
use crate::rmm::entry::CPTR_MONITOR;
use crate::{read_sysreg, write_sysreg};
use core::arch::global_asm;
use realm_monitor::platform::RecContext;
use realm_monitor::rec::layout::{AUX, FPCR, FPSR, SIMD, SVE_VECTORS, ZCR_EL1};

/// CPTR_EL2 bits that let FP and Advanced SIMD through.
pub const FP_ON: u64 = 3 << 20;
/// CPTR_EL2 bits that let SVE through.
pub const SVE_ON: u64 = 3 << 16;
const SME_ON: u64 = 3 << 24;

/// Bytes of a Z register of the longest vectors (2048 bits).
const Z_BYTES: usize = 256;
/// ZCR_EL2.LEN of those.
const LONGEST: u64 = 15;

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

    // X0 = 16 vectors, X1 = 16 more.
rmm_store_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    str     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    str     z\n, [x1, #(\n - 16), mul vl]
    .endr
    ret
rmm_load_z:
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    ldr     z\n, [x0, #\n, mul vl]
    .endr
    .irp    n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ldr     z\n, [x1, #(\n - 16), mul vl]
    .endr
    ret
rmm_vector_bytes:
    rdvl    x0, #1
    ret

    // X0 = 17 predicates: P0 to P15 (and FFR where there is access to it: X1 is not zero).
rmm_store_p:
    str     p0, [x0, #0, mul vl]
    str     p1, [x0, #1, mul vl]
    str     p2, [x0, #2, mul vl]
    str     p3, [x0, #3, mul vl]
    str     p4, [x0, #4, mul vl]
    str     p5, [x0, #5, mul vl]
    str     p6, [x0, #6, mul vl]
    str     p7, [x0, #7, mul vl]
    str     p8, [x0, #8, mul vl]
    str     p9, [x0, #9, mul vl]
    str     p10, [x0, #10, mul vl]
    str     p11, [x0, #11, mul vl]
    str     p12, [x0, #12, mul vl]
    str     p13, [x0, #13, mul vl]
    str     p14, [x0, #14, mul vl]
    str     p15, [x0, #15, mul vl]
    cbz     x1, 1f
    rdffr   p0.b
    str     p0, [x0, #16, mul vl]
1:  ret
rmm_load_p:
    cbz     x1, 1f
    ldr     p0, [x0, #16, mul vl]
    wrffr   p0.b
1:  ldr     p0, [x0, #0, mul vl]
    ldr     p1, [x0, #1, mul vl]
    ldr     p2, [x0, #2, mul vl]
    ldr     p3, [x0, #3, mul vl]
    ldr     p4, [x0, #4, mul vl]
    ldr     p5, [x0, #5, mul vl]
    ldr     p6, [x0, #6, mul vl]
    ldr     p7, [x0, #7, mul vl]
    ldr     p8, [x0, #8, mul vl]
    ldr     p9, [x0, #9, mul vl]
    ldr     p10, [x0, #10, mul vl]
    ldr     p11, [x0, #11, mul vl]
    ldr     p12, [x0, #12, mul vl]
    ldr     p13, [x0, #13, mul vl]
    ldr     p14, [x0, #14, mul vl]
    ldr     p15, [x0, #15, mul vl]
    ret

    // Probes: X0 = 0 if the instruction is allowed, 1 if it took the SME exception (see the vectors).
rmm_probe_begin:
rmm_probe_sve:
    rdvl    x0, #1
    mov     x0, #0
    ret
rmm_probe_ffr:
    rdffr   p0.b
    mov     x0, #0
    ret
rmm_probe_end:
rmm_probe_refused:
    mov     x0, #1
    ret

rmm_streaming_off:
    .inst   0xd503427f              // SMSTOP SM
    ret
rmm_streaming_on:
    .inst   0xd503437f              // SMSTART SM
    ret
    .arch_extension nosve
    .popsection
    "#
);

unsafe extern "C" {
    fn rmm_store_v(to: *mut u64);
    fn rmm_load_v(from: *const u64);
    fn rmm_store_z(lower: *mut u8, upper: *mut u8);
    fn rmm_load_z(lower: *const u8, upper: *const u8);
    fn rmm_store_p(to: *mut u8, ffr: u64);
    fn rmm_load_p(from: *const u8, ffr: u64);
    fn rmm_vector_bytes() -> u64;
    fn rmm_probe_sve() -> u64;
    fn rmm_probe_ffr() -> u64;
    fn rmm_streaming_off();
    fn rmm_streaming_on();
}

/// Opens CPTR_EL2 for FP and Advanced SIMD and what else is named.
fn open(also: u64) {
    // SAFETY: lets EL2 access registers that compiled code does not use.
    unsafe { write_sysreg!("cptr_el2", CPTR_MONITOR | FP_ON | also) };
    isb();
}

/// Sets ZCR_EL2: vectors of `(length + 1) * 128` bits, or of the longest length below that the CPU has.
fn set_length(length: u64) {
    // SAFETY: compiled code uses no SVE register.
    unsafe { write_sysreg!("s3_4_c1_c2_0", length) };
    isb();
}

/// The length of the longest vectors in units of 128 bits, minus one, of a CPU that has SVE. Not in streaming mode.
pub fn longest_vectors() -> u8 {
    open(SVE_ON);
    let before = read_sysreg!("s3_4_c1_c2_0");
    set_length(LONGEST);
    // SAFETY: reads the vector length; SVE is open.
    let bytes = unsafe { rmm_vector_bytes() };
    set_length(before);
    // SAFETY: SIMD is trapped again.
    unsafe { write_sysreg!("cptr_el2", CPTR_MONITOR) };
    isb();
    (bytes / 16 - 1) as u8
}

/// The host's SIMD registers while a realm's are in the PE.
#[repr(C, align(16))]
#[derive(Debug)]
pub struct HostSimd {
    registers: [[u8; 16 * Z_BYTES]; 2],
    predicates: [u8; 17 * Z_BYTES / 8],
    fpcr: u64,
    fpsr: u64,
    zcr_el1: u64,
    zcr_el2: u64,
    sve: bool,
    sme: bool,
    streaming: Option<Streaming>,
}

/// The host was in streaming mode.
#[derive(Clone, Copy, Debug)]
struct Streaming {
    /// Not zero if FFR exists for it in streaming mode (FA64).
    ffr: u64,
}

/// Where a realm with SVE has its registers.
struct RealmVectors {
    /// Z0 to Z15.
    lower: *mut u8,
    /// Z16 to Z31.
    upper: *mut u8,
    /// P0 to P15 and FFR.
    predicates: *mut u8,
}

impl RealmVectors {
    /// As the layout of a REC says, for vectors of `vectors` * 128 bits.
    fn of(rec: RecContext<'_>, vectors: u64) -> Self {
        let half = 16 * 16 * vectors as usize;
        let first: *mut u8 = rec.0[SIMD].as_ptr().cast();
        if vectors == 1 {
            return Self {
                lower: first,
                upper: first.wrapping_add(half),
                predicates: first.wrapping_add(2 * half),
            };
        }
        let auxiliary = |n: usize| rec.get(AUX + n) as *mut u8;
        let lower = auxiliary(0);
        Self {
            lower,
            upper: if 2 * half <= 4096 {
                lower.wrapping_add(half)
            } else {
                auxiliary(1)
            },
            predicates: first,
        }
    }
}

impl HostSimd {
    /// Room for the registers of a CPU with these features.
    pub const fn new(optional: Optional) -> Self {
        Self {
            registers: [[0; 16 * Z_BYTES]; 2],
            predicates: [0; 17 * Z_BYTES / 8],
            fpcr: 0,
            fpsr: 0,
            zcr_el1: 0,
            zcr_el2: 0,
            sve: optional.sve,
            sme: optional.sme,
            streaming: None,
        }
    }

    /// Opens CPTR_EL2 for what follows.
    fn open(&self, sme: u64) {
        open(if self.sve { SVE_ON } else { 0 } | sme);
    }

    /// Whether the host is in streaming mode; SIMD is open, SME is shut.
    fn is_streaming(&self) -> bool {
        // SAFETY: the probe changes X0 only, also if it is trapped.
        self.sve && self.sme && unsafe { rmm_probe_sve() } != 0
    }

    /// Whether an SME exception of a realm that has no SIMD loaded is the host's streaming mode showing through.
    pub fn explains_sme_exception(&self) -> bool {
        self.open(0);
        self.is_streaming()
    }

    /// Takes the host's registers out of the PE and puts the realm's in.
    pub fn give_to(&mut self, rec: RecContext<'_>) {
        let vectors = rec.get(SVE_VECTORS);
        self.open(0);
        let streaming = self.is_streaming();
        if streaming {
            self.open(SME_ON);
        }
        // FPCR and FPSR.
        self.fpcr = read_sysreg!("s3_3_c4_c4_0");
        self.fpsr = read_sysreg!("s3_3_c4_c4_1");
        if self.sve {
            self.zcr_el2 = read_sysreg!("s3_4_c1_c2_0");
            set_length(LONGEST);
        }
        let [lower, upper] = &mut self.registers;
        let (lower, upper) = (lower.as_mut_ptr(), upper.as_mut_ptr());
        let predicates = self.predicates.as_mut_ptr();
        // SAFETY: the buffers hold 32 vectors and 17 predicates of the longest kind, aligned; compiled code uses no
        // SIMD register.
        unsafe {
            if self.sve {
                rmm_store_z(lower, upper);
            } else {
                rmm_store_v(lower.cast());
            }
            if streaming {
                rmm_store_p(predicates, 0);
                let ffr = u64::from(rmm_probe_ffr() == 0);
                if ffr != 0 {
                    // The probe has spent P0.
                    rmm_load_p(predicates, 0);
                    rmm_store_p(predicates, ffr);
                }
                rmm_streaming_off();
                self.streaming = Some(Streaming { ffr });
            } else if vectors != 0 {
                rmm_store_p(predicates, 1);
            }
        }
        if vectors == 0 {
            // SAFETY: the words of the REC from SIMD on are 512 bytes at a multiple of 16, mapped, and this PE's alone.
            unsafe { rmm_load_v(rec.0[SIMD].as_ptr()) };
        } else {
            // ZCR_EL12
            self.zcr_el1 = read_sysreg!("s3_5_c1_c2_0");
            set_length(vectors - 1);
            let realm = RealmVectors::of(rec, vectors);
            // SAFETY: the REC and its auxiliary granules have the room, mapped, and are this PE's alone. ZCR_EL12 does
            // not concern EL2.
            unsafe {
                rmm_load_p(realm.predicates, 1);
                rmm_load_z(realm.lower, realm.upper);
                write_sysreg!("s3_5_c1_c2_0", rec.get(ZCR_EL1));
            }
        }
        // SAFETY: compiled code uses neither.
        unsafe {
            write_sysreg!("s3_3_c4_c4_0", rec.get(FPCR));
            write_sysreg!("s3_3_c4_c4_1", rec.get(FPSR));
        }
    }

    /// Takes the realm's registers out of the PE and puts the host's back.
    pub fn take_from(&mut self, rec: RecContext<'_>) {
        let vectors = rec.get(SVE_VECTORS);
        self.open(if self.streaming.is_some() { SME_ON } else { 0 });
        rec.set(FPCR, read_sysreg!("s3_3_c4_c4_0"));
        rec.set(FPSR, read_sysreg!("s3_3_c4_c4_1"));
        if vectors == 0 {
            // SAFETY: as in `give_to`.
            unsafe { rmm_store_v(rec.0[SIMD].as_ptr()) };
        } else {
            // ZCR_EL12
            rec.set(ZCR_EL1, read_sysreg!("s3_5_c1_c2_0"));
            let realm = RealmVectors::of(rec, vectors);
            // SAFETY: as in `give_to`; ZCR_EL2 is still the realm's.
            unsafe {
                rmm_store_z(realm.lower, realm.upper);
                rmm_store_p(realm.predicates, 1);
                write_sysreg!("s3_5_c1_c2_0", self.zcr_el1);
            }
        }
        if self.sve {
            set_length(LONGEST);
        }
        let [lower, upper] = &self.registers;
        let (lower, upper) = (lower.as_ptr(), upper.as_ptr());
        let predicates = self.predicates.as_ptr();
        // SAFETY: as in `give_to`.
        unsafe {
            if let Some(Streaming { ffr }) = self.streaming.take() {
                rmm_streaming_on();
                rmm_load_p(predicates, ffr);
            } else if vectors != 0 {
                rmm_load_p(predicates, 1);
            }
            if self.sve {
                rmm_load_z(lower, upper);
                write_sysreg!("s3_4_c1_c2_0", self.zcr_el2);
            } else {
                rmm_load_v(lower.cast());
            }
            write_sysreg!("s3_3_c4_c4_0", self.fpcr);
            write_sysreg!("s3_3_c4_c4_1", self.fpsr);
            write_sysreg!("cptr_el2", CPTR_MONITOR);
        }
    }
}
