//! Self-hosted debug of a realm: the registers whose accesses are trapped (RMM specification 1.0-rel0, A5; Arm
//! architecture reference manual).
//!
//! The realm has as many breakpoints and watchpoints as its parameters say. The monitor keeps the values in the REC, and
//! the processing element loads them only while MDSCR_EL1 enables debug exceptions; so a realm that does not debug pays
//! nothing for them. Registers of the debug communications channel and of external debug read as zero and ignore writes.

use aarch64_formats::esr::SystemRegister;

use super::id_registers::RealmFeatures;
use super::system_register::Response;
use crate::platform::RecContext;
use crate::rec::layout::{DBGBCR, DBGBVR, DBGWCR, DBGWVR, OS_UNLOCKED, SysReg};

const MDSCR: SystemRegister = SystemRegister::new(2, 0, 0, 2, 2);
const OSLAR: SystemRegister = SystemRegister::new(2, 0, 1, 0, 4);
const OSLSR: SystemRegister = SystemRegister::new(2, 0, 1, 1, 4);

/// MDSCR_EL1.{SS, TDCC, KDE, MDE}; the rest belongs to external debug.
const MDSCR_FIELDS: u64 = 1 | 1 << 12 | 1 << 13 | 1 << 15;
/// DBGBVR<n>_EL1: an instruction address or a context.
const BVR_FIELDS: u64 = u64::MAX;
/// DBGWVR<n>_EL1: the address of a word.
const WVR_FIELDS: u64 = !3;
/// DBGBCR<n>_EL1.{E, PMC, BAS, LBN, BT}. A realm has nothing above EL1 and no other Security state to match.
const BCR_FIELDS: u64 = 1 | 3 << 1 | 0xF << 5 | 0xF << 16 | 0xF << 20;
/// DBGWCR<n>_EL1.{E, PAC, LSC, BAS, LBN, WT, MASK}.
const WCR_FIELDS: u64 = 1 | 3 << 1 | 3 << 3 | 0xFF << 5 | 0xF << 16 | 1 << 20 | 0x1F << 24;

/// OSLSR_EL1: the OS lock is implemented (OSLM = 0b10), and whether it is locked.
const OSLM: u64 = 1 << 3;
const OSLK: u64 = 1 << 1;

/// Whether a register belongs to the debug architecture that the realm has.
pub(super) const fn is_debug_register(register: SystemRegister) -> bool {
    register.op0() == 2 && matches!(register.op1(), 0 | 3)
}

/// Carries out an access to such a register: a write of `value`, or a read.
pub(super) fn access(
    context: RecContext<'_>,
    register: SystemRegister,
    value: Option<u64>,
    realm: RealmFeatures,
) -> Response {
    match (register, value) {
        (MDSCR, _) => stored(context, SysReg::MdscrEl1.word(), MDSCR_FIELDS, value),
        (OSLAR, Some(value)) => {
            context.set(OS_UNLOCKED, !value & 1);
            Response::Ignored
        }
        (OSLSR, None) => Response::Value(if context.get(OS_UNLOCKED) == 0 {
            OSLM | OSLK
        } else {
            OSLM
        }),
        (OSLAR, None) | (OSLSR, Some(_)) => Response::Undefined,
        _ => match point(register) {
            Some((n, breakpoint, _, _)) if n > count(realm, breakpoint) => Response::Undefined,
            Some((n, _, words, fields)) => stored(context, words + n, fields, value),
            None if value.is_some() => Response::Ignored,
            None => Response::Value(0),
        },
    }
}

/// Number of breakpoints or watchpoints, minus one.
const fn count(realm: RealmFeatures, breakpoint: bool) -> usize {
    if breakpoint {
        realm.num_bps as usize
    } else {
        realm.num_wps as usize
    }
}

/// The number of a breakpoint or watchpoint whose register this is, which of both, where its kind of register is in the
/// REC, and which bits it has.
const fn point(register: SystemRegister) -> Option<(usize, bool, usize, u64)> {
    if register.op1() != 0 || register.crn() != 0 {
        return None;
    }
    let n = register.crm() as usize;
    match register.op2() {
        4 => Some((n, true, DBGBVR, BVR_FIELDS)),
        5 => Some((n, true, DBGBCR, BCR_FIELDS)),
        6 => Some((n, false, DBGWVR, WVR_FIELDS)),
        7 => Some((n, false, DBGWCR, WCR_FIELDS)),
        _ => None,
    }
}

fn stored(context: RecContext<'_>, word: usize, fields: u64, value: Option<u64>) -> Response {
    match value {
        Some(value) => {
            context.set(word, value & fields);
            Response::Ignored
        }
        None => Response::Value(context.get(word)),
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicU64;

    use super::*;

    const REALM: RealmFeatures = RealmFeatures {
        num_bps: 2,
        num_wps: 1,
        sve: false,
        pmu: false,
    };

    /// Writes all ones to a register and reads it back.
    fn write_and_read(crn: u32, crm: u32, op2: u32) -> (Response, Response) {
        let words = [const { AtomicU64::new(0) }; 512];
        let register = SystemRegister::new(2, 0, crn, crm, op2);
        let rec = RecContext(&words);
        let written = access(rec, register, Some(u64::MAX), REALM);
        (written, access(rec, register, None, REALM))
    }

    #[test]
    fn a_realm_has_the_points_of_its_parameters() {
        for n in 0..16 {
            let exists = |value, last: u32| {
                if n <= last {
                    (Response::Ignored, Response::Value(value))
                } else {
                    (Response::Undefined, Response::Undefined)
                }
            };
            assert_eq!(write_and_read(0, n, 4), exists(u64::MAX, 2), "DBGBVR{n}");
            assert_eq!(write_and_read(0, n, 5), exists(0xFF_01E7, 2), "DBGBCR{n}");
            assert_eq!(write_and_read(0, n, 6), exists(!3, 1), "DBGWVR{n}");
            assert_eq!(write_and_read(0, n, 7), exists(0x1F1F_1FFF, 1), "DBGWCR{n}");
        }
    }

    #[test]
    fn points_do_not_share_words() {
        let words = [const { AtomicU64::new(0) }; 512];
        let rec = RecContext(&words);
        // A value that every one of the registers can hold.
        let all = (0..2).flat_map(|n| (4..8).map(move |op2| (n, op2)));
        let registers = all.map(|(n, op2)| SystemRegister::new(2, 0, 0, n, op2));
        for (value, register) in (0..).map(|n| n << 16).zip(registers.clone()) {
            access(rec, register, Some(value), REALM);
        }
        for (value, register) in (0..).map(|n| n << 16).zip(registers) {
            let read = access(rec, register, None, REALM);
            assert_eq!(read, Response::Value(value), "{register:?}");
        }
    }

    #[test]
    fn the_os_lock_is_locked_until_the_realm_opens_it() {
        let words = [const { AtomicU64::new(0) }; 512];
        let rec = RecContext(&words);
        let status = || access(rec, OSLSR, None, REALM);
        assert_eq!(status(), Response::Value(0b1010));
        assert_eq!(access(rec, OSLAR, Some(0), REALM), Response::Ignored);
        assert_eq!(status(), Response::Value(0b1000));
        assert_eq!(access(rec, OSLAR, Some(1), REALM), Response::Ignored);
        assert_eq!(status(), Response::Value(0b1010));
        assert_eq!(access(rec, OSLAR, None, REALM), Response::Undefined);
        assert_eq!(access(rec, OSLSR, Some(0), REALM), Response::Undefined);
    }

    #[test]
    fn external_debug_reads_as_zero_and_ignores_writes() {
        // MDCCINT_EL1, OSDTRRX_EL1, OSECCR_EL1, MDRAR_EL1, DBGPRCR_EL1, DBGCLAIMSET_EL1, DBGAUTHSTATUS_EL1.
        for (crn, crm, op2) in [
            (0, 2, 0),
            (0, 0, 2),
            (0, 6, 2),
            (1, 0, 0),
            (1, 4, 4),
            (7, 8, 6),
            (7, 14, 6),
        ] {
            assert_eq!(
                write_and_read(crn, crm, op2),
                (Response::Ignored, Response::Value(0)),
                "crn {crn} crm {crm} op2 {op2}"
            );
        }
    }

    #[test]
    fn mdscr_is_kept_for_the_processing_element() {
        assert_eq!(
            write_and_read(0, 2, 2),
            (Response::Ignored, Response::Value(0xB001))
        );
    }
}
