//! Stage 1 of the hypervisor: an identity map of devices, the image and the machine's memory.
//!
//! Nothing that can be written is executed, and below each stack lies a page that is not mapped. The RMM's memory is
//! left out; what the host delegates later stays mapped: an access is a granule protection fault, which nobody makes.

use core::ops::Range;

use cca_abi::firmware::{DEVICE_TREE, DEVICE_TREE_SIZE};
use spin::mutex::SpinMutex;

use super::entry;
use crate::common::assembly::{operation, symbol};
use crate::common::barrier;
use crate::{read_sysreg, write_sysreg};
use aarch64_formats::identity_map::{DEVICE, IdentityMap, MAIR, NORMAL, READ_ONLY, TCR};

/// Where the machine has its devices.
pub(super) const DEVICES: Range<u64> = 0..DEVICE_TREE;

/// A region that is aligned to 2 MiB needs one table for each 512 GiB and at most two more for its ends.
static MAP: IdentityMap<48> = IdentityMap::new();

/// How many tables of the map are in use. Held while it is changed.
static USED: SpinMutex<usize> = SpinMutex::new(0);

/// The access permission bit that is RES1 in a regime of one exception level.
const RES1: u64 = 1 << 6;
const NO_EXECUTE: u64 = 1 << 54;
const CODE: u64 = NORMAL | RES1 | READ_ONLY;
const CONSTANTS: u64 = CODE | NO_EXECUTE;
const DATA: u64 = NORMAL | RES1 | NO_EXECUTE;
const REGISTERS: u64 = DEVICE | RES1 | NO_EXECUTE;

/// RES1 bits of `TCR_EL2`.
const TCR_RES1: u64 = 1 << 23 | 1 << 31;
/// `SCTLR_EL2`: RES1 bits, MMU, caches, and nothing that can be written is executed.
const SCTLR: u64 = 0x30C5_0830 | 1 | 1 << 2 | 1 << 12 | 1 << 19;

/// The image, its data and its stacks.
pub(super) fn image() -> Range<u64> {
    symbol!(__image_start)..symbol!(__image_end)
}

/// Maps what every payload has (devices, the device tree and itself) and turns the MMU of this PE on. For the first PE.
pub(super) fn start() {
    let text_end = symbol!(__text_end);
    let rodata_end = symbol!(__rodata_end);
    let mut used = 0;
    MAP.add(&mut used, DEVICES, REGISTERS);
    MAP.add(
        &mut used,
        DEVICE_TREE..DEVICE_TREE + DEVICE_TREE_SIZE,
        CONSTANTS,
    );
    MAP.add(&mut used, image().start..text_end, CODE);
    MAP.add(&mut used, text_end..rodata_end, CONSTANTS);
    MAP.add(&mut used, rodata_end..entry::stacks().start, DATA);
    for stack in entry::stacks().step_by(entry::STACK_SIZE) {
        MAP.add(
            &mut used,
            stack + entry::GUARD_SIZE..stack + entry::STACK_SIZE as u64,
            DATA,
        );
    }
    enable();
    // Not before: locks want the MMU on.
    *USED.lock() = used;
}

/// Maps memory for loads and stores. What is mapped already stays as it is.
///
/// # Panics
///
/// If the range has more ends inside of larger blocks than there are tables, or lies beyond 48 bits.
pub(super) fn map_memory(range: Range<u64>) {
    map(range, DATA);
}

/// Maps registers of devices outside of [`DEVICES`].
///
/// # Panics
///
/// As [`map_memory`].
pub(super) fn map_registers(range: Range<u64>) {
    map(range, REGISTERS);
}

fn map(range: Range<u64>, attributes: u64) {
    MAP.add(&mut USED.lock(), range, attributes);
    barrier::dsb_ish();
    barrier::isb();
}

/// Turns the MMU and the caches of this PE on.
pub(super) fn enable() {
    let physical_range = (read_sysreg!("id_aa64mmfr0_el1") & 0xF).min(5);
    barrier::dsb_ish();
    // SAFETY: the tables map every address that the program uses, code and stack included, to itself, so nothing
    // moves under the running code; their stores are done (DSB above).
    unsafe {
        write_sysreg!("mair_el2", MAIR);
        write_sysreg!("tcr_el2", TCR | TCR_RES1 | physical_range << 16);
        write_sysreg!("ttbr0_el2", MAP.root());
        barrier::isb();
        operation!("tlbi alle2");
        barrier::dsb_nsh();
        barrier::isb();
        write_sysreg!("sctlr_el2", SCTLR);
    }
    barrier::isb();
}
