//! Exceptions that the monitor makes a realm take at EL1.

use aarch64_formats::esr::{self, Esr, class, fault, field};

use super::layout::{PC, PSTATE, SysReg};
use crate::platform::RecContext;

const MODE: u64 = 0x1F;
const MODE_EL1T: u64 = 0x04;
const MODE_EL1H: u64 = 0x05;
const AARCH32: u64 = 1 << 4;
const DAIF: u64 = 0xF << 6;
const SSBS: u64 = 1 << 12;
const PAN: u64 = 1 << 22;
const DIT: u64 = 1 << 24;

const SCTLR_SPAN: u64 = 1 << 23;
const SCTLR_DSSBS: u64 = 1 << 44;

/// Makes the realm take a synchronous external abort on the access described by the syndrome of an abort
/// taken to EL2.
pub(super) fn external_abort(rec: RecContext<'_>, cause: Esr, far: u64) {
    abort(rec, cause, field::EA | fault::EXTERNAL, far);
}

/// Makes the realm take an abort with a fault status of the monitor's choice, on the access described by the
/// syndrome of an abort taken to EL2.
pub(super) fn abort(rec: RecContext<'_>, cause: Esr, status: u64, far: u64) {
    let from_el0 = rec.get(PSTATE) & MODE == 0 || rec.get(PSTATE) & AARCH32 != 0;
    let instruction = cause.class() == class::INSTRUCTION_ABORT_LOWER;
    let class = match (instruction, from_el0) {
        (true, true) => class::INSTRUCTION_ABORT_LOWER,
        (true, false) => class::INSTRUCTION_ABORT_SAME,
        (false, true) => class::DATA_ABORT_LOWER,
        (false, false) => class::DATA_ABORT_SAME,
    };
    let kept = if instruction {
        field::IL
    } else {
        field::IL | field::WNR
    };
    rec.set_sysreg(SysReg::FarEl1, far);
    take(rec, Esr::new(class, cause.bits() & kept | status));
}

/// Makes the realm take the exception of an undefined instruction at its PC.
pub(super) fn undefined(rec: RecContext<'_>) {
    take(rec, esr::UNDEFINED);
}

fn take(rec: RecContext<'_>, syndrome: Esr) {
    let old = rec.get(PSTATE);
    let vector = if old & AARCH32 != 0 {
        0x600
    } else {
        match old & MODE {
            MODE_EL1T => 0x000,
            MODE_EL1H => 0x200,
            _ => 0x400,
        }
    };
    let sctlr = rec.sysreg(SysReg::SctlrEl1);
    let mut new = MODE_EL1H | DAIF | old & (DIT | PAN);
    if sctlr & SCTLR_SPAN == 0 {
        new |= PAN;
    }
    if sctlr & SCTLR_DSSBS != 0 {
        new |= SSBS;
    }
    rec.set_sysreg(SysReg::EsrEl1, syndrome.bits());
    rec.set_sysreg(SysReg::ElrEl1, rec.get(PC));
    rec.set_sysreg(SysReg::SpsrEl1, old);
    rec.set(PC, rec.sysreg(SysReg::VbarEl1).wrapping_add(vector));
    rec.set(PSTATE, new);
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn with(pstate: u64, sctlr: u64, body: impl FnOnce(RecContext<'_>)) {
        let words = [const { AtomicU64::new(0) }; 512];
        let rec = RecContext(&words);
        rec.set(PC, 0x4000_1234);
        rec.set(PSTATE, pstate);
        rec.set_sysreg(SysReg::SctlrEl1, sctlr);
        rec.set_sysreg(SysReg::VbarEl1, 0x4001_0000);
        body(rec);
    }

    #[test]
    fn the_vector_follows_the_interrupted_mode() {
        for (pstate, vector) in [
            (MODE_EL1T, 0),
            (MODE_EL1H, 0x200),
            (0, 0x400),
            (0x10, 0x600),
        ] {
            with(pstate | 0x6000_0000, SCTLR_SPAN, |rec| {
                undefined(rec);
                assert_eq!(rec.get(PC), 0x4001_0000 + vector);
                assert_eq!(rec.get(PSTATE), 0x3C5);
                assert_eq!(rec.sysreg(SysReg::SpsrEl1), pstate | 0x6000_0000);
                assert_eq!(rec.sysreg(SysReg::ElrEl1), 0x4000_1234);
                assert_eq!(rec.sysreg(SysReg::EsrEl1), 0x0200_0000);
                assert_eq!(rec.sysreg(SysReg::FarEl1), 0);
            });
        }
    }

    #[test]
    fn protections_of_the_new_state_follow_sctlr() {
        with(MODE_EL1H | DIT, SCTLR_DSSBS, |rec| {
            undefined(rec);
            assert_eq!(rec.get(PSTATE), 0x3C5 | PAN | SSBS | DIT);
        });
        with(MODE_EL1H | PAN, SCTLR_SPAN, |rec| {
            undefined(rec);
            assert_eq!(rec.get(PSTATE), 0x3C5 | PAN);
        });
    }

    #[test]
    fn an_external_abort_shows_the_realm_no_stage_2_information() {
        let cause = Esr::new(class::DATA_ABORT_LOWER, 0x3FF_FFFF);
        with(MODE_EL1H, 0, |rec| {
            external_abort(rec, cause, 0xFFFF_0000_1234_5678);
            assert_eq!(
                rec.sysreg(SysReg::EsrEl1),
                0x25 << 26 | 1 << 25 | 1 << 9 | 1 << 6 | 0x10
            );
            assert_eq!(rec.sysreg(SysReg::FarEl1), 0xFFFF_0000_1234_5678);
        });
        with(0, 0, |rec| {
            external_abort(rec, Esr::new(class::INSTRUCTION_ABORT_LOWER, 0x3FF_FFFF), 4);
            assert_eq!(
                rec.sysreg(SysReg::EsrEl1),
                0x20 << 26 | 1 << 25 | 1 << 9 | 0x10
            );
        });
    }
}
