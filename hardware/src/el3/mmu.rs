//! Stage 1 translation of EL3: a flat map of the little memory that the root monitor touches.
//!
//! Bits 5 (NS) and 11 (NSE) of a descriptor choose the physical address space.

use super::entry::{self, SCTLR_OFF};
use super::job;
use super::layout::{DEVICE_TREE, DEVICES, FLASH, GUARD_BYTES, MAX_PES, RMM, SECURE_RAM};
use super::protection;
use crate::common::assembly::{operation, symbol};
use crate::common::barrier::{dsb_sy, isb};
use crate::write_sysreg;
use aarch64_formats::stage1::{Pool, PoolExhausted};
use core::cell::UnsafeCell;
use root_monitor::memory::Range;

const ATTR_DEVICE: u64 = 1 << 2;
const ATTR_WRITE_THROUGH: u64 = 2 << 2;
const NS: u64 = 1 << 5;
/// AP[1] is RES1 in a regime without EL0.
const AP_RES1: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 0b11 << 8;
const ACCESS: u64 = 1 << 10;
const NSE: u64 = 1 << 11;
const NO_EXECUTE: u64 = 1 << 54;

const COMMON: u64 = ACCESS | AP_RES1 | INNER_SHAREABLE;
const ROOT_CODE: u64 = COMMON | NSE | READ_ONLY;
const ROOT_CONSTANTS: u64 = ROOT_CODE | NO_EXECUTE;
const ROOT_DATA: u64 = COMMON | NSE | NO_EXECUTE;
const ROOT_KEPT: u64 = ROOT_DATA | ATTR_WRITE_THROUGH;
const ROOT_DEVICE: u64 = ROOT_DATA | ATTR_DEVICE;
const NON_SECURE_DATA: u64 = COMMON | NS | NO_EXECUTE;
const REALM_DATA: u64 = COMMON | NSE | NS | NO_EXECUTE;

/// Attribute 0: normal memory, write-back; attribute 1: device, nGnRE; attribute 2: normal memory, write-through.
const MAIR: u64 = 0xBB_04FF;
/// 48 bits of address, inner shareable write-back walks, 4 KiB pages, 40 bits of output, RES1 bits.
const TCR: u64 = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 0b010 << 16 | 1 << 23 | 1 << 31;
/// SCTLR_EL3.M, C, I and WXN.
const SCTLR_ON: u64 = SCTLR_OFF | 1 | 1 << 2 | 1 << 19;

/// Two levels above, level 2 of the first and of the second GiB, and level 3 where pages of one block differ: code, stacks,
/// the start of DRAM, the end of the RMM's memory.
const TABLES_IN_POOL: usize = 12;

/// Number of the level 0 table in the pool.
const ROOT: usize = 0;

struct Tables(UnsafeCell<Pool<TABLES_IN_POOL>>);

// SAFETY: written by the primary PE at boot, before any other PE runs; afterwards constant.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(UnsafeCell::new(Pool::new()));

/// Builds the tables. Once, on the primary PE, with the MMU off.
///
/// # Errors
///
/// [`PoolExhausted`].
pub(super) fn build() -> Result<(), PoolExhausted> {
    let text_end = symbol!(__text_end);
    let rodata_end = symbol!(__rodata_end);
    // SAFETY: the only PE that runs, and no walker uses the tables yet.
    let pool = unsafe { &mut *TABLES.0.get() };
    let root = pool.take()?;
    for (range, attributes) in [
        (FLASH, ROOT_CONSTANTS),
        (DEVICES, ROOT_DEVICE),
        (SECURE_RAM, ROOT_DATA),
        (protection::kept(), ROOT_KEPT),
        (Range::between(SECURE_RAM.base, text_end), ROOT_CODE),
        (Range::between(text_end, rodata_end), ROOT_CONSTANTS),
        (DEVICE_TREE, NON_SECURE_DATA),
        (RMM, REALM_DATA),
    ] {
        pool.map(root, range.base, range.base, range.size, attributes)?;
    }
    // A stack that overflows faults at once, before it reaches anybody's memory.
    for pe in 0..MAX_PES {
        pool.unmap(root, entry::guard_of(pe), GUARD_BYTES as u64)?;
    }
    pool.unmap(root, job::guard(), GUARD_BYTES as u64)?;
    dsb_sy();
    Ok(())
}

/// Turns the MMU and the caches of this PE on.
///
/// # Safety
///
/// The tables must be built and the granule protection check on.
pub(super) unsafe fn enable() {
    // SAFETY: constant since `build`.
    let root = unsafe { &*TABLES.0.get() }.address(ROOT);
    dsb_sy();
    // SAFETY: the map is flat and covers code, data and stack with the rights they need, so nothing moves.
    unsafe {
        write_sysreg!("mair_el3", MAIR);
        write_sysreg!("tcr_el3", TCR);
        write_sysreg!("ttbr0_el3", root);
        isb();
        operation!("tlbi alle3");
        dsb_sy();
        isb();
        write_sysreg!("sctlr_el3", SCTLR_ON);
    }
    isb();
}
