//! Stage 1 of the program: an identity map of the realm's memory and of the shared half.
//!
//! The realm's memory is mapped in the protected half and, behind the program, once more at its shared alias, because
//! any page of it may be shared. The first GiB of the shared half, where the host emulates devices, is device memory.
//! Nothing that can be written is executed, and below each stack lies a page that is not mapped.

use core::ops::Range;

use realm_guest::IpaWidth;

use super::entry;
use crate::common::assembly::{operation, symbol};
use crate::common::barrier;
use crate::write_sysreg;
use aarch64_formats::identity_map::{DEVICE, IdentityMap, MAIR, NORMAL, READ_ONLY, TCR};

const GIB: u64 = 1 << 30;

/// Each half has up to two tables for each of its levels below the root.
static MAP: IdentityMap<12> = IdentityMap::new();

/// Not executed: at EL1, at EL0.
const NO_EXECUTE: u64 = 1 << 53 | 1 << 54;
/// Not executed at EL0.
const NO_EXECUTE_EL0: u64 = 1 << 54;
const CODE: u64 = NORMAL | READ_ONLY | NO_EXECUTE_EL0;
const CONSTANTS: u64 = NORMAL | READ_ONLY | NO_EXECUTE;
const DATA: u64 = NORMAL | NO_EXECUTE;
const REGISTERS: u64 = DEVICE | NO_EXECUTE;

/// `TCR_EL1`: no upper half, 48-bit output.
const TCR_EL1: u64 = TCR | 1 << 23 | 0b101 << 32;
/// `SCTLR_EL1`: RES1 bits, MMU, caches, and nothing that can be written is executed.
const SCTLR: u64 = 0x30D0_0800 | 1 | 1 << 2 | 1 << 12 | 1 << 19;

/// Writes the tables. Called once, by vCPU 0, before any other vCPU runs and before the MMU is on.
pub(super) fn build(memory: Range<u64>, width: IpaWidth) {
    let text_end = symbol!(__text_end);
    let rodata_end = symbol!(__rodata_end);
    let image = entry::image();
    let mut used = 0;
    MAP.add(&mut used, image.start..text_end, CODE);
    MAP.add(&mut used, text_end..rodata_end, CONSTANTS);
    MAP.add(&mut used, rodata_end..entry::stacks().start, DATA);
    for stack in entry::stacks().step_by(entry::STACK_SIZE) {
        MAP.add(
            &mut used,
            stack + entry::GUARD_SIZE..stack + entry::STACK_SIZE as u64,
            DATA,
        );
    }
    if image.end < memory.end {
        MAP.add(&mut used, image.end..memory.end, DATA);
        let alias = width.shared(image.end);
        MAP.add(&mut used, alias..alias + (memory.end - image.end), DATA);
    }
    MAP.add(&mut used, width.shared(0)..width.shared(GIB), REGISTERS);
}

/// Address of the last table on the way to the translation of `address`.
pub(super) fn last_table(address: u64) -> u64 {
    MAP.last_table(address)
}

/// Turns the MMU and the caches of this vCPU on.
pub(super) fn enable() {
    barrier::dsb_ish();
    // SAFETY: the tables map every address that the program uses, code and stack included, to itself, so nothing
    // moves under the running code; their stores are done (DSB above).
    unsafe {
        write_sysreg!("mair_el1", MAIR);
        write_sysreg!("tcr_el1", TCR_EL1);
        write_sysreg!("ttbr0_el1", MAP.root());
        barrier::isb();
        operation!("tlbi vmalle1");
        barrier::dsb_nsh();
        barrier::isb();
        write_sysreg!("sctlr_el1", SCTLR);
    }
    barrier::isb();
}
