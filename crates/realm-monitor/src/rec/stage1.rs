//! The level at which a realm's own translation of an address ends, for the one fault whose status tells it.

use core::sync::atomic::Ordering::Relaxed;

use aarch64_formats::esr::{Esr, field};
use cca_abi::GRANULE_SIZE;

use super::layout::SysReg;
use super::running::RunningRec;
use crate::platform::Platform;

const SCTLR_M: u64 = 1;
const SCTLR_EE: u64 = 1 << 25;
const LAST_LEVEL: i8 = 3;

/// Level of the stage 1 entry that gave the address of the access described by an abort: 0 if stage 1 is off. If the
/// tables cannot be read now, or their format is not one with a 4 KiB granule and 48-bit addresses, the level of a
/// page.
pub(super) fn leaf_level<P: Platform>(running: &RunningRec<'_, P>, esr: Esr, far: u64) -> i8 {
    let context = running.context;
    let sctlr = context.sysreg(SysReg::SctlrEl1);
    if sctlr & SCTLR_M == 0 {
        return 0;
    }
    let tcr = context.sysreg(SysReg::TcrEl1);
    let high = far >> 55 & 1 != 0;
    let (size, granule_is_4k, ttbr) = if high {
        (tcr >> 16 & 0x3F, tcr >> 30 & 3 == 2, SysReg::Ttbr1El1)
    } else {
        (tcr & 0x3F, tcr >> 14 & 3 == 0, SysReg::Ttbr0El1)
    };
    if !granule_is_4k || !(16..=39).contains(&size) || sctlr & SCTLR_EE != 0 {
        return LAST_LEVEL;
    }
    // Each level resolves 9 bits above the 12 of the page.
    let mut level = LAST_LEVEL - ((64 - size as i8) - 12 - 1) / 9;
    let mut table = context.sysreg(ttbr) & 0xFFFF_FFFF_FFFE;
    let walk_fault = esr.bits() & field::S1PTW != 0;
    while level < LAST_LEVEL {
        let shift = 12 + 9 * (LAST_LEVEL - level) as u32;
        let bits = if shift + 9 > 64 - size as u32 {
            64 - size as u32 - shift
        } else {
            9
        };
        let index = far >> shift & ((1 << bits) - 1);
        let address = table + 8 * index;
        if walk_fault && !running.is_protected(address) {
            return level;
        }
        let Some(descriptor) = read(running, address) else {
            return LAST_LEVEL;
        };
        if descriptor & 3 != 3 {
            return level;
        }
        table = descriptor & 0xFFFF_FFFF_F000;
        level += 1;
    }
    LAST_LEVEL
}

fn read<P: Platform>(running: &RunningRec<'_, P>, address: u64) -> Option<u64> {
    if !running.is_protected(address) {
        return None;
    }
    let word = (address % GRANULE_SIZE / 8) as usize;
    running
        .with_page(address, |granule| granule[word].load(Relaxed))
        .ok()
}
