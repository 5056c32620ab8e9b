//! Stage 1 of the hypervisor: an identity map of devices, the image and the machine's memory.
//!
//! Mappings are only ever added, so nothing needs to be invalidated. The RMM's memory is left out, and what the host
//! delegates later stays mapped: an access is a granule protection fault, which nobody makes.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::firmware::{DEVICE_TREE, DEVICE_TREE_SIZE};
use spin::mutex::SpinMutex;

use crate::common::barrier;
use crate::{read_sysreg, write_sysreg};

/// Where the machine has its devices.
pub(super) const DEVICES: Range<u64> = 0..DEVICE_TREE;

const ENTRIES: usize = 512;
const PAGE: u64 = 4096;

/// One table of a 4 KiB granule translation.
#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

impl Table {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; ENTRIES])
    }
}

static ROOT: Table = Table::new();

/// Tables below the root; a 2 MiB aligned region needs one for each 512 GiB and at most two more for its ends.
static TABLES: [Table; 48] = [const { Table::new() }; 48];

/// How many of `TABLES` are in use. Held while the map is changed.
static USED: SpinMutex<usize> = SpinMutex::new(0);

/// Valid descriptor.
const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// Address of the next table or of the memory.
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// Access flag, and the bit of the access permissions that is RES1 in a regime of one exception level.
const COMMON: u64 = 1 << 10 | 1 << 6;
const SHAREABLE: u64 = 0b11 << 8;
const READ_ONLY: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 54;
/// Index 1 in `MAIR`.
const DEVICE: u64 = 1 << 2;

/// `MAIR_EL2`: attribute 0 is normal write-back memory, attribute 1 is Device-nGnRE.
const MAIR: u64 = 0x04_FF;
/// `TCR_EL2`: 48-bit addresses, 4 KiB granule, write-back inner-shareable walks, RES1 bits.
const TCR: u64 = 16 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 1 << 23 | 1 << 31;
/// `SCTLR_EL2`: RES1 bits, MMU, caches, and nothing that can be written is executed.
const SCTLR: u64 = 0x30C5_0830 | 1 | 1 << 2 | 1 << 12 | 1 << 19;

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
}

/// The image, its data and its stacks.
pub(super) fn image() -> Range<u64> {
    &raw const __image_start as u64..&raw const __image_end as u64
}

/// Maps what every payload has: devices, the device tree and itself.
pub(super) fn build() {
    let text_end = &raw const __text_end as u64;
    let rodata_end = &raw const __rodata_end as u64;
    let image = image();
    map(DEVICES, COMMON | DEVICE | NO_EXECUTE);
    map_memory(DEVICE_TREE..DEVICE_TREE + DEVICE_TREE_SIZE);
    map(image.start..text_end, COMMON | SHAREABLE | READ_ONLY);
    map(
        text_end..rodata_end,
        COMMON | SHAREABLE | READ_ONLY | NO_EXECUTE,
    );
    map(rodata_end..image.end, COMMON | SHAREABLE | NO_EXECUTE);
}

/// Maps memory for loads and stores. What is mapped already stays as it is.
///
/// # Panics
///
/// If the range has more ends inside of larger blocks than there are tables, or lies beyond 48 bits.
pub(super) fn map_memory(range: Range<u64>) {
    map(
        range.start & !(PAGE - 1)..range.end.next_multiple_of(PAGE),
        COMMON | SHAREABLE | NO_EXECUTE,
    );
    barrier::dsb_ish();
    barrier::isb();
}

fn map(range: Range<u64>, attributes: u64) {
    assert!(
        range.end <= 1 << 48,
        "memory at {:#x} is out of reach",
        range.end
    );
    let mut used = USED.lock();
    fill(&ROOT, 0, 0, &range, attributes, &mut used);
}

/// Enters the part of `range` that lies under `table`, whose first entry maps `base`, with the largest blocks that fit.
fn fill(
    table: &Table,
    level: u32,
    base: u64,
    range: &Range<u64>,
    attributes: u64,
    used: &mut usize,
) {
    let size = 1u64 << (39 - 9 * level);
    for (entry, start) in table.0.iter().zip((base..).step_by(size as usize)) {
        let part = range.start.max(start)..range.end.min(start + size);
        let present = entry.load(Ordering::Relaxed);
        if part.is_empty() || (present != 0 && (level == 3 || present & TABLE_OR_PAGE == 0)) {
            continue;
        }
        if present == 0 && level > 0 && part == (start..start + size) {
            let kind = if level == 3 { TABLE_OR_PAGE } else { 0 };
            entry.store(start | attributes | kind | VALID, Ordering::Relaxed);
            continue;
        }
        let next = TABLES
            .iter()
            .position(|next| next.0.as_ptr() as u64 == present & ADDRESS);
        let next = match next {
            Some(next) if present != 0 => &TABLES[next],
            _ => {
                let next = TABLES.get(*used).expect("no translation table left");
                *used += 1;
                entry.store(
                    next.0.as_ptr() as u64 | TABLE_OR_PAGE | VALID,
                    Ordering::Release,
                );
                next
            }
        };
        fill(next, level + 1, start, &part, attributes, used);
    }
}

/// Turns the MMU and the caches of this PE on.
pub(super) fn enable() {
    let root = ROOT.0.as_ptr() as u64;
    let physical_range = (read_sysreg!("id_aa64mmfr0_el1") & 0xF).min(5);
    barrier::dsb_ish();
    // SAFETY: the tables map every address that the program uses, code and stack included, to itself, so nothing
    // moves under the running code; their stores are done (DSB above).
    unsafe {
        write_sysreg!("mair_el2", MAIR);
        write_sysreg!("tcr_el2", TCR | physical_range << 16);
        write_sysreg!("ttbr0_el2", root);
        core::arch::asm!(
            "isb",
            "tlbi alle2",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
        write_sysreg!("sctlr_el2", SCTLR);
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}
