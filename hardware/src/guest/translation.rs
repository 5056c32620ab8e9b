//! Stage 1 of the program: an identity map in blocks of 1 GiB.
//!
//! The realm's memory is mapped as normal memory, in the protected half and once more at its shared alias, because any
//! page of it may be shared. The first GiB of the shared half, where the host emulates devices, is device memory.

use core::sync::atomic::{AtomicU64, Ordering};

use realm_guest::IpaWidth;

use crate::common::barrier;
use crate::write_sysreg;

const GIB: u64 = 1 << 30;
const ENTRIES: usize = 512;

/// One table of a 4 KiB granule translation.
#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }
}

/// Level 0: 512 GiB an entry.
static LEVEL0: Table = Table::new();
/// Level 1, 1 GiB an entry: one table for the protected half and one for the shared half (which may be the same).
static LEVEL1: [Table; 2] = [const { Table::new() }; 2];

/// Valid descriptor of a next-level table.
const TABLE: u64 = 0b11;
/// Valid block, access flag set.
const BLOCK: u64 = 1 | 1 << 10;
/// Inner shareable.
const SHAREABLE: u64 = 0b11 << 8;
/// Never executed.
const NO_EXECUTE: u64 = 1 << 53 | 1 << 54;
/// Not executed at EL0.
const NO_EXECUTE_EL0: u64 = 1 << 54;
/// Index of device memory in `MAIR`.
const DEVICE: u64 = 1 << 2;

/// `MAIR_EL1`: attribute 0 is normal write-back memory, attribute 1 is Device-nGnRE.
const MAIR: u64 = 0x04_FF;
/// `TCR_EL1`: 48-bit addresses in the lower half, 4 KiB granule, write-back walks, no upper half, 48-bit output.
const TCR: u64 = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 1 << 23 | 0b101 << 32;
/// `SCTLR_EL1` reset value of the RES1 bits, with the MMU and the caches on.
const SCTLR: u64 = 0x30D0_0800 | 1 | 1 << 2 | 1 << 12;

/// Writes the tables. Called once, by vCPU 0, before any other vCPU runs and before the MMU is on.
pub(super) fn build(memory_base: u64, memory_size: u64, width: IpaWidth) {
    let memory = memory_base / GIB..(memory_base + memory_size).div_ceil(GIB);
    for gib in memory {
        let address = gib * GIB;
        map(address, address | BLOCK | SHAREABLE | NO_EXECUTE_EL0);
        let alias = width.shared(address);
        map(alias, alias | BLOCK | SHAREABLE | NO_EXECUTE);
    }
    let devices = width.shared(0);
    map(devices, devices | BLOCK | DEVICE | NO_EXECUTE);
}

/// Enters one block into the map. Addresses beyond the two halves' first 512 GiB are left out.
fn map(address: u64, descriptor: u64) {
    let top = (address >> 39) as usize;
    let Some(entry) = LEVEL0.0.get(top) else {
        return;
    };
    let slot = usize::from(top != 0);
    let table = &LEVEL1[slot];
    let link = table.0.as_ptr() as u64 | TABLE;
    let present = entry.load(Ordering::Relaxed);
    if present == 0 {
        entry.store(link, Ordering::Relaxed);
    } else if present != link {
        return;
    }
    table.0[(address / GIB) as usize % ENTRIES].store(descriptor, Ordering::Relaxed);
}

/// Turns the MMU and the caches of this vCPU on.
pub(super) fn enable() {
    let root = LEVEL0.0.as_ptr() as u64;
    barrier::dsb_ish();
    // SAFETY: the tables map every address that the program uses, code and stack included, to itself, so nothing
    // moves under the running code; they are complete and their stores are done (DSB above).
    unsafe {
        write_sysreg!("mair_el1", MAIR);
        write_sysreg!("tcr_el1", TCR);
        write_sysreg!("ttbr0_el1", root);
        core::arch::asm!(
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
        write_sysreg!("sctlr_el1", SCTLR);
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}
