//! SIMD registers, switched when a realm first touches them, or at once if the realm has SVE and the host is in streaming
//! mode.
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

use crate::common::assembly::{assembly, routines};
use crate::common::barrier::isb;
use crate::common::simd;
use crate::rmm::cpu::Optional;
use crate::rmm::entry::CPTR_MONITOR;
use crate::{read_sysreg, write_sysreg};
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

assembly!(
    r#"
    .pushsection .text.rmm_simd, "ax"
    .arch_extension fp
    .arch_extension simd
    .arch_extension sve

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

routines! {
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
    // SAFETY: SVE is open.
    let bytes = unsafe { simd::vector_bytes() };
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

    /// Whether the PE is in the host's streaming mode: no realm's registers are loaded.
    pub fn is_in_streaming_mode(&self) -> bool {
        if !(self.sve && self.sme) {
            return false;
        }
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
                simd::store_z(lower, upper);
            } else {
                simd::store_v(lower.cast());
            }
            if streaming {
                simd::store_p(predicates, 0);
                let ffr = u64::from(rmm_probe_ffr() == 0);
                if ffr != 0 {
                    // The probe has spent P0.
                    simd::load_p(predicates, 0);
                    simd::store_p(predicates, ffr);
                }
                rmm_streaming_off();
                self.streaming = Some(Streaming { ffr });
            } else if vectors != 0 {
                simd::store_p(predicates, 1);
            }
        }
        if vectors == 0 {
            // SAFETY: the words of the REC from SIMD on are 512 bytes at a multiple of 16, mapped, and this PE's alone.
            unsafe { simd::load_v(rec.0[SIMD].as_ptr()) };
        } else {
            // ZCR_EL12
            self.zcr_el1 = read_sysreg!("s3_5_c1_c2_0");
            set_length(vectors - 1);
            let realm = RealmVectors::of(rec, vectors);
            // SAFETY: the REC and its auxiliary granules have the room, mapped, and are this PE's alone. ZCR_EL12 does
            // not concern EL2.
            unsafe {
                simd::load_p(realm.predicates, 1);
                simd::load_z(realm.lower, realm.upper);
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
            unsafe { simd::store_v(rec.0[SIMD].as_ptr()) };
        } else {
            // ZCR_EL12
            rec.set(ZCR_EL1, read_sysreg!("s3_5_c1_c2_0"));
            let realm = RealmVectors::of(rec, vectors);
            // SAFETY: as in `give_to`; ZCR_EL2 is still the realm's.
            unsafe {
                simd::store_z(realm.lower, realm.upper);
                simd::store_p(realm.predicates, 1);
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
                simd::load_p(predicates, ffr);
            } else if vectors != 0 {
                simd::load_p(predicates, 1);
            }
            if self.sve {
                simd::load_z(lower, upper);
                write_sysreg!("s3_4_c1_c2_0", self.zcr_el2);
            } else {
                simd::load_v(lower.cast());
            }
            write_sysreg!("s3_3_c4_c4_0", self.fpcr);
            write_sysreg!("s3_3_c4_c4_1", self.fpsr);
            write_sysreg!("cptr_el2", CPTR_MONITOR);
        }
    }
}
