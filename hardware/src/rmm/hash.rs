//! SHA-256 and SHA-512 with the instructions that a CPU has for them, if it has them.
//!
//! The instructions work on V registers, which belong to the host, or to a realm that is loaded. The first block that is
//! hashed after the RMM got control puts aside those that are used; [`give_back`] restores them before control leaves
//! the RMM or [`crate::rmm::simd`] looks at them. As each write to a V register clears the rest of the Z register that it
//! is part of, Z registers are put aside on a CPU with SVE, at the longest length, as [`crate::rmm::simd`] does. While a
//! host is in SME's streaming mode the instructions are not to be had, and compiled code computes.

use crate::common::assembly::{assembly, routines};
use crate::common::barrier::isb;
use crate::common::per_pe::{Padded, PerPe};
use crate::rmm::cpu::Optional;
use crate::rmm::entry::CPTR_MONITOR;
use crate::rmm::simd::{FP_ON, SVE_ON};
use crate::rmm::{MAX_PES, per_pe};
use crate::{read_sysreg, write_sysreg};
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering::Relaxed;
use realm_monitor::platform::IdRegisters;

/// Which of the algorithms the CPU has instructions for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accelerated {
    /// FEAT_SHA256.
    pub sha256: bool,
    /// FEAT_SHA512.
    pub sha512: bool,
}

impl Accelerated {
    /// From ID_AA64ISAR0_EL1.SHA2.
    pub const fn of(ids: &IdRegisters) -> Self {
        let sha2 = ids.isar0 >> 12 & 0xF;
        Self {
            sha256: sha2 >= 1,
            sha512: sha2 >= 2,
        }
    }
}

/// Registers that the routines use: V0 to V9, V16 to V31.
const REGISTERS: usize = 26;
/// Bytes of a Z register of the longest vectors (2048 bits).
const Z_BYTES: usize = 256;
/// ZCR_EL2.LEN of those.
const LONGEST: u64 = 15;

assembly!(include_str!("hash.s"));

routines! {
    // Of `crate::rmm::simd`: not zero in streaming mode, while SVE is open and SME is shut.
    fn rmm_probe_sve() -> u64;
    fn rmm_hash_store_v(to: *mut u8);
    fn rmm_hash_load_v(from: *const u8);
    fn rmm_hash_store_z(to: *mut u8);
    fn rmm_hash_load_z(from: *const u8);
    fn rmm_sha256_blocks(state: *mut [u32; 8], blocks: *const [u8; 64], count: usize);
    fn rmm_sha512_blocks(state: *mut [u64; 8], blocks: *const [u8; 128], count: usize);
}

/// What [`give_back`] has to restore.
#[repr(C, align(16))]
#[derive(Debug)]
struct Borrowed {
    registers: [u8; REGISTERS * Z_BYTES],
    /// CPTR_EL2.
    cptr: u64,
    /// ZCR_EL2, on a CPU with SVE.
    zcr: u64,
    sve: bool,
}

#[repr(transparent)]
#[derive(Debug)]
struct Cell(UnsafeCell<Borrowed>);

// SAFETY: each PE accesses its own value only, and never twice at a time: nothing here is reentered.
unsafe impl Sync for Cell {}

static BORROWED: PerPe<Cell, MAX_PES> = PerPe::new(
    [const {
        Padded(Cell(UnsafeCell::new(Borrowed {
            registers: [0; REGISTERS * Z_BYTES],
            cptr: 0,
            zcr: 0,
            sve: false,
        })))
    }; MAX_PES],
);

fn with_borrowed<R>(action: impl FnOnce(&mut Borrowed) -> R) -> R {
    // SAFETY: this PE's own, and no `action` calls this function.
    action(unsafe { &mut *BORROWED.of(per_pe::index()).0.get() })
}

/// Takes the registers, unless that has been done. `false` if that is not possible now.
fn borrow(optional: Optional) -> bool {
    let borrowed = per_pe::registers_borrowed();
    if borrowed.load(Relaxed) {
        return true;
    }
    with_borrowed(|state| {
        let cptr = read_sysreg!("cptr_el2");
        let sve = if optional.sve { SVE_ON } else { 0 };
        // SAFETY: lets EL2 access registers that compiled code does not use.
        unsafe { write_sysreg!("cptr_el2", CPTR_MONITOR | FP_ON | sve) };
        isb();
        // SAFETY: the probe changes X0 only, also if it is trapped.
        if optional.sve && optional.sme && unsafe { rmm_probe_sve() } != 0 {
            // SAFETY: as it was.
            unsafe { write_sysreg!("cptr_el2", cptr) };
            isb();
            return false;
        }
        let to = state.registers.as_mut_ptr();
        if optional.sve {
            state.zcr = read_sysreg!("s3_4_c1_c2_0");
        }
        // SAFETY: room for the registers at the longest vector length.
        unsafe {
            if optional.sve {
                write_sysreg!("s3_4_c1_c2_0", LONGEST);
                isb();
                rmm_hash_store_z(to);
            } else {
                rmm_hash_store_v(to);
            }
        }
        state.cptr = cptr;
        state.sve = optional.sve;
        borrowed.store(true, Relaxed);
        true
    })
}

/// Restores what hashing took.
#[inline]
pub fn give_back() {
    if per_pe::registers_borrowed().load(Relaxed) {
        restore();
    }
}

#[cold]
fn restore() {
    with_borrowed(|state| {
        let from = state.registers.as_ptr();
        // SAFETY: the registers as they were, and CPTR_EL2, which `borrow` has opened, after them.
        unsafe {
            if state.sve {
                rmm_hash_load_z(from);
                write_sysreg!("s3_4_c1_c2_0", state.zcr);
            } else {
                rmm_hash_load_v(from);
            }
            write_sysreg!("cptr_el2", state.cptr);
        }
        isb();
    });
    per_pe::registers_borrowed().store(false, Relaxed);
}

/// The compression function of SHA-256 over `blocks`. `false` if the registers are not to be had: nothing was done.
pub fn sha256(optional: Optional, state: &mut [u32; 8], blocks: &[[u8; 64]]) -> bool {
    let may = borrow(optional);
    if may {
        // SAFETY: reads `count` blocks, changes the state and registers that `borrow` has taken.
        unsafe { rmm_sha256_blocks(state, blocks.as_ptr(), blocks.len()) };
    }
    may
}

/// The compression function of SHA-512 over `blocks`. `false` if the registers are not to be had: nothing was done.
pub fn sha512(optional: Optional, state: &mut [u64; 8], blocks: &[[u8; 128]]) -> bool {
    let may = borrow(optional);
    if may {
        // SAFETY: as in `sha256`.
        unsafe { rmm_sha512_blocks(state, blocks.as_ptr(), blocks.len()) };
    }
    may
}
