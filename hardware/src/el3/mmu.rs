//! Stage 1 translation of EL3: a flat map of the little memory that the root monitor touches.
//!
//! Bits 5 (NS) and 11 (NSE) of a descriptor choose the physical address space.

use super::entry::SCTLR_OFF;
use super::layout::{DEVICE_TREE, DEVICES, FLASH, RMM, SECURE_RAM};
use crate::common::assembly::{operation, symbol};
use crate::common::barrier::{dsb_sy, isb};
use crate::write_sysreg;
use core::sync::atomic::{AtomicU64, Ordering};
use root_monitor::memory::Range;

const PAGE: u64 = 4 << 10;
const BLOCK: u64 = 2 << 20;
const GIB: u64 = 1 << 30;

const VALID_BLOCK: u64 = 0b01;
const VALID_TABLE_OR_PAGE: u64 = 0b11;
const ATTR_DEVICE: u64 = 1 << 2;
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
const ROOT_DEVICE: u64 = ROOT_DATA | ATTR_DEVICE;
const NON_SECURE_DATA: u64 = COMMON | NS | NO_EXECUTE;
const REALM_DATA: u64 = COMMON | NSE | NS | NO_EXECUTE;

/// Attribute 0: normal memory, write-back; attribute 1: device, nGnRE.
const MAIR: u64 = 0x04FF;
/// 39 bits of address, inner shareable write-back walks, 4 KiB pages, 40 bits of output, RES1 bits.
const TCR: u64 = 25 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 0b010 << 16 | 1 << 23 | 1 << 31;
/// SCTLR_EL3.M, C, I and WXN.
const SCTLR_ON: u64 = SCTLR_OFF | 1 | 1 << 2 | 1 << 19;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn set(&self, index: u64, descriptor: u64) {
        self.0[index as usize % 512].store(descriptor, Ordering::Relaxed);
    }
}

static LEVEL_1: Table = Table::new();
/// Level 2 of the first and of the second GiB.
static LEVEL_2: [Table; 2] = [Table::new(), Table::new()];
/// Level 3 where pages of one block differ: the image, the start of DRAM, the end of the RMM's memory.
static LEVEL_3: [Table; 3] = [Table::new(), Table::new(), Table::new()];
const LEVEL_3_BASES: [u64; 3] = [SECURE_RAM.base, DEVICE_TREE.base, RMM.end() / BLOCK * BLOCK];

/// Builds the tables. Once, on the primary PE, with the MMU off.
pub(super) fn build() {
    let text_end = symbol!(__text_end);
    let rodata_end = symbol!(__rodata_end);
    for (gib, table) in LEVEL_2.iter().enumerate() {
        LEVEL_1.set(gib as u64, table.address() | VALID_TABLE_OR_PAGE);
    }
    map(FLASH, ROOT_CONSTANTS);
    map(DEVICES, ROOT_DEVICE);
    map(SECURE_RAM, ROOT_DATA);
    map(Range::between(SECURE_RAM.base, text_end), ROOT_CODE);
    map(Range::between(text_end, rodata_end), ROOT_CONSTANTS);
    map(DEVICE_TREE, NON_SECURE_DATA);
    map(RMM, REALM_DATA);
    dsb_sy();
}

/// Maps a range of whole pages, in pages where there is a level 3 table and else in blocks.
fn map(range: Range, attributes: u64) {
    let mut at = range.base;
    while at < range.end() {
        let level_2 = &LEVEL_2[(at / GIB) as usize];
        match LEVEL_3_BASES
            .iter()
            .position(|&base| base == at / BLOCK * BLOCK)
        {
            Some(index) => {
                let level_3 = &LEVEL_3[index];
                level_2.set(at / BLOCK, level_3.address() | VALID_TABLE_OR_PAGE);
                level_3.set(at / PAGE, at | attributes | VALID_TABLE_OR_PAGE);
                at += PAGE;
            }
            None => {
                level_2.set(at / BLOCK, at | attributes | VALID_BLOCK);
                at += BLOCK;
            }
        }
    }
}

/// Turns the MMU and the caches of this PE on.
///
/// # Safety
///
/// The tables must be built and the granule protection check on.
pub(super) unsafe fn enable() {
    dsb_sy();
    // SAFETY: the map is flat and covers code, data and stack with the rights they need, so nothing moves.
    unsafe {
        write_sysreg!("mair_el3", MAIR);
        write_sysreg!("tcr_el3", TCR);
        write_sysreg!("ttbr0_el3", LEVEL_1.address());
        isb();
        operation!("tlbi alle3");
        dsb_sy();
        isb();
        write_sysreg!("sctlr_el3", SCTLR_ON);
    }
    isb();
}
