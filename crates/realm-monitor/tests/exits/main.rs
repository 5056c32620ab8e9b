//! What the host learns of each kind of REC exit: exactly what the specification says, and zeros beside it. The rig
//! compares the whole record.

mod errors;
#[path = "../rig/mod.rs"]
mod rig;

use cca_abi::rmi::run::{RecEnter, RecExit, enter_flags};
use realm_monitor::platform::Exception;
use realm_monitor::rec::layout::{self, SysReg};
use rig::*;

/// All bits of ISS and IL.
const ALL: u64 = 0x03FF_FFFF;
const DATA_ABORT: u64 = 0x24 << 26;
const INSTRUCTION_ABORT: u64 = 0x20 << 26;
const TRANSLATION_3: u64 = 7;
const PERMISSION_3: u64 = 0xF;
const ISV: u64 = 1 << 24;
const WRITE: u64 = 1 << 6;

/// Runs REC 0 until one exception; the registers of the realm are recognisable.
fn exit_of(rig: &mut Rig, exception: Exception) -> RecExit {
    rig.step(move |rec| {
        for n in 0..31 {
            rec.set_gpr(n, 0xAAAA_BBBB_CCCC_DD00 + n as u64);
        }
        exception
    });
    rig.run()
}

fn data_exit(esr: u64, ipa: u64) -> RecExit {
    RecExit {
        esr,
        hpfar: ipa >> 12 << 4,
        ..RecExit::default()
    }
}

#[test]
fn interrupts_tell_nothing() {
    let mut rig = Rig::active();
    assert_eq!(
        exit_of(&mut rig, Exception::Irq),
        RecExit {
            exit_reason: 1,
            ..RecExit::default()
        }
    );
    assert_eq!(
        exit_of(&mut rig, Exception::Fiq),
        RecExit {
            exit_reason: 2,
            ..RecExit::default()
        }
    );
    assert_eq!(rig.rec(REC0).pc(), ENTRY);
    assert_eq!(rig.rec(REC0).gpr(30), 0xAAAA_BBBB_CCCC_DD1E);
}

#[test]
fn an_emulatable_read_tells_size_and_address() {
    let mut rig = Rig::active();
    let iss = ISV
        | 2 << 22
        | 1 << 21
        | 9 << 16
        | 1 << 15
        | 1 << 14
        | 3 << 11
        | 1 << 10
        | 1 << 9
        | 1 << 8
        | 1 << 7;
    let esr = DATA_ABORT | 1 << 25 | iss | TRANSLATION_3;
    let far = 0xFFFF_8000_1234_5678;
    let exit = exit_of(&mut rig, abort(esr, far, UNPROTECTED + 0x0900_0678));
    assert_eq!(
        exit,
        RecExit {
            far: 0x678,
            ..data_exit(esr & 0xFDC0_9E7F, UNPROTECTED + 0x0900_0678)
        }
    );
    assert_eq!(rig.rec(REC0).pc(), ENTRY);
}

#[test]
fn an_emulatable_write_tells_the_value_in_its_size() {
    let mut rig = Rig::active();
    let of = |size: u64, register: u64| {
        abort(
            DATA_ABORT | ISV | size << 22 | register << 16 | WRITE | PERMISSION_3,
            0x1000,
            UNPROTECTED,
        )
    };
    for (size, value) in [
        (0, 0x05),
        (1, 0xDD05),
        (2, 0xCCCC_DD05),
        (3, 0xAAAA_BBBB_CCCC_DD05),
    ] {
        let exit = exit_of(&mut rig, of(size, 5));
        let mut expected = data_exit(
            DATA_ABORT | ISV | size << 22 | WRITE | PERMISSION_3,
            UNPROTECTED,
        );
        expected.gprs[0] = value;
        assert_eq!(exit, expected);
    }
    assert_eq!(exit_of(&mut rig, of(3, 31)).gprs, [0; 31], "XZR");
}

#[test]
fn an_access_without_syndrome_is_not_emulatable() {
    let mut rig = Rig::active();
    let esr = DATA_ABORT | ALL & !ISV & !0x3F | TRANSLATION_3;
    let exit = exit_of(
        &mut rig,
        abort(esr, 0xFFFF_0000_0000_1234, UNPROTECTED + 0x5000),
    );
    assert_eq!(exit, data_exit(esr & 0xFC00_1E3F, UNPROTECTED + 0x5000));
    // AArch32 code at EL0: the same, even with a syndrome.
    rig.step(|rec| {
        rec.set(layout::PSTATE, 0x10);
        abort(DATA_ABORT | ISV | WRITE | TRANSLATION_3, 0, UNPROTECTED)
    });
    assert_eq!(
        rig.run(),
        data_exit(DATA_ABORT | TRANSLATION_3, UNPROTECTED)
    );
    rig.refused_enter(
        &RecEnter {
            flags: enter_flags::EMUL_MMIO,
            ..RecEnter::default()
        },
        "rec_mmio",
        3,
    );
}

#[test]
fn a_protected_access_tells_its_page() {
    let mut rig = Rig::active();
    for ipa in [UNPOPULATED, DESTROYED] {
        let esr = DATA_ABORT | ALL & !0x3F | TRANSLATION_3;
        let exit = exit_of(&mut rig, abort(esr, 0xFFFF_0000_0000_1234, ipa + 0x238));
        assert_eq!(exit, data_exit(esr & 0xFC00_1E3F, ipa));
        rig.refused_enter(
            &RecEnter {
                flags: enter_flags::EMUL_MMIO,
                ..RecEnter::default()
            },
            "rec_mmio",
            3,
        );
    }
}

#[test]
fn an_instruction_abort_tells_its_page() {
    let mut rig = Rig::active();
    for ipa in [UNPOPULATED, DESTROYED] {
        let esr = INSTRUCTION_ABORT | ALL & !0x3F | TRANSLATION_3;
        let exit = exit_of(&mut rig, abort(esr, 0xFFFF_0000_0000_1234, ipa));
        assert_eq!(exit, data_exit(esr & 0xFC00_1A3F, ipa));
    }
}

/// Runs REC 0 with an exception that it has to take itself, then up to an interrupt.
fn injected(rig: &mut Rig, exception: Exception) -> (u64, u64) {
    rig.step(move |rec| {
        rec.set(layout::PC, ENTRY + 0x40);
        rec.set(layout::PSTATE, 0x3C5);
        rec.set_sysreg(SysReg::VbarEl1, RAM + 0x1000);
        rec.set_sysreg(SysReg::EsrEl1, 0);
        rec.set_sysreg(SysReg::FarEl1, 0);
        exception
    });
    rig.script([Exception::Irq]);
    assert_eq!(rig.run(), irq());
    let rec = rig.rec(REC0);
    assert_eq!(rec.pc(), RAM + 0x1200);
    assert_eq!(
        (rec.sysreg(SysReg::ElrEl1), rec.sysreg(SysReg::SpsrEl1)),
        (ENTRY + 0x40, 0x3C5)
    );
    (rec.sysreg(SysReg::EsrEl1), rec.sysreg(SysReg::FarEl1))
}

#[test]
fn an_access_to_nothing_is_the_realms_own_abort() {
    let mut rig = Rig::active();
    let external = 1 << 9 | 0x10;
    let cases = [
        (DATA_ABORT | TRANSLATION_3, EMPTY, 0x25 << 26 | external),
        (
            DATA_ABORT | TRANSLATION_3,
            0x4000_0000,
            0x25 << 26 | external,
        ),
        (
            INSTRUCTION_ABORT | 1 << 25 | TRANSLATION_3,
            EMPTY,
            0x21 << 26 | 1 << 25 | external,
        ),
        (
            INSTRUCTION_ABORT | TRANSLATION_3,
            UNPROTECTED,
            0x21 << 26 | external,
        ),
    ];
    for (esr, ipa, expected) in cases {
        assert_eq!(
            injected(&mut rig, abort(esr, 0x12_3456, ipa)),
            (expected, 0x12_3456)
        );
    }
}

#[test]
fn an_address_beyond_the_space_is_an_address_size_fault() {
    let mut rig = Rig::active();
    let beyond = 1 << IPA_BITS;
    let esr = DATA_ABORT | WRITE | TRANSLATION_3;
    assert_eq!(
        injected(&mut rig, abort(esr, beyond, beyond)),
        (0x25 << 26 | WRITE, beyond)
    );
    let esr = INSTRUCTION_ABORT | TRANSLATION_3;
    assert_eq!(
        injected(&mut rig, abort(esr, beyond, beyond)),
        (0x21 << 26, beyond)
    );
}

#[test]
fn an_address_size_fault_names_the_level_of_the_realms_translation() {
    let mut rig = Rig::active();
    let far = 0x0000_0012_3456_7000;
    // Three tables in three pages: levels 1, 2 and 3 of a 39-bit space.
    let entries = [(0, (RAM + 0x1000) | 3), (1, (RAM + 0x2000) | 3)];
    for (n, entry) in entries {
        let index = far >> (30 - 9 * n) & 0x1FF;
        rig.host_page(DATA + 0x1000 * n)[index as usize]
            .store(entry, std::sync::atomic::Ordering::Relaxed);
    }
    let set_up = |rig: &mut Rig| {
        rig.step(|rec| {
            rec.set_sysreg(SysReg::SctlrEl1, 1);
            rec.set_sysreg(SysReg::TcrEl1, 25);
            rec.set_sysreg(SysReg::Ttbr0El1, RAM);
            Exception::Irq
        });
        rig.run();
    };
    set_up(&mut rig);
    let fault = abort(DATA_ABORT | 0x4, far, 1 << IPA_BITS);
    assert_eq!(injected(&mut rig, fault).0, 0x25 << 26 | 3);
    // A block at level 2.
    let index = far >> 21 & 0x1FF;
    rig.host_page(DATA + 0x1000)[index as usize]
        .store(1 << IPA_BITS | 1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(injected(&mut rig, fault).0, 0x25 << 26 | 2);
    // A block at level 1.
    let index = far >> 30 & 0x1FF;
    rig.host_page(DATA)[index as usize]
        .store(1 << IPA_BITS | 1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(injected(&mut rig, fault).0, 0x25 << 26 | 1);
}

#[test]
fn a_granule_taken_away_from_an_unprotected_mapping_is_the_realms_business() {
    let mut rig = Rig::active();
    let esr = DATA_ABORT | ISV | 0x28;
    assert_eq!(
        injected(&mut rig, abort(esr, 0x77, UNPROTECTED)),
        (0x25 << 26 | 0x28, 0x77)
    );
}

#[test]
fn external_aborts_go_to_the_host_and_if_recoverable_to_the_realm() {
    let mut rig = Rig::active();
    let esr = DATA_ABORT | ALL & !0x3F & !(3 << 11) | 0x10;
    let expected = RecExit {
        esr: esr & 0xFC00_1E3F,
        ..RecExit::default()
    };
    assert_eq!(exit_of(&mut rig, abort(esr, 0x99, RAM)), expected);
    let rec = rig.rec(REC0);
    assert_eq!(
        rec.sysreg(SysReg::EsrEl1),
        0x25 << 26 | 1 << 25 | WRITE | 1 << 9 | 0x10
    );
    assert_eq!(rec.sysreg(SysReg::FarEl1), 0x99);

    let pc = rec.pc();
    let restartable = INSTRUCTION_ABORT | 3 << 11 | 0x17;
    let expected = RecExit {
        esr: restartable,
        ..RecExit::default()
    };
    assert_eq!(exit_of(&mut rig, abort(restartable, 0x99, RAM)), expected);
    assert_eq!(rig.rec(REC0).pc(), pc);
}

#[test]
fn an_uncontainable_abort_goes_to_the_realm_and_stops_nobody() {
    let mut rig = Rig::active();
    for kind in [1, 2] {
        let esr = DATA_ABORT | kind << 11 | 1 << 9 | 0x10;
        let expected = RecExit {
            esr,
            ..RecExit::default()
        };
        assert_eq!(exit_of(&mut rig, abort(esr, 0x99, RAM)), expected);
        assert_eq!(rig.rec(REC0).sysreg(SysReg::FarEl1), 0x99);
        rig.rec(REC0).set_sysreg(SysReg::FarEl1, 0);
    }
}

#[test]
fn waiting_exits_if_the_host_wants_it() {
    let mut rig = Rig::active();
    let enter = RecEnter {
        flags: enter_flags::TRAP_WFI | enter_flags::TRAP_WFE,
        ..RecEnter::default()
    };
    for (instruction, value) in [(0, 0), (1, 0), (2, 0x777), (3, 0x777)] {
        let before = rig.rec(REC0).pc();
        rig.step(move |rec| {
            assert_eq!(rec.get(layout::HCR_EL2) >> 13 & 3, 3);
            rec.set_gpr(7, 0x777);
            sync(1 << 26 | 1 << 25 | 1 << 24 | 0xE << 20 | 7 << 5 | 1 << 2 | instruction)
        });
        let mut expected = RecExit {
            esr: 1 << 26 | instruction,
            ..RecExit::default()
        };
        expected.gprs[0] = value;
        assert_eq!(rig.enter(REC0, &enter), expected);
        assert_eq!(rig.rec(REC0).pc(), before + 4);
    }
    rig.step(|rec| {
        assert_eq!(rec.get(layout::HCR_EL2) >> 13 & 3, 0, "for one run only");
        Exception::Irq
    });
    rig.run();
}

#[test]
fn sgis_are_generated_by_the_host() {
    let mut rig = Rig::active();
    let before = rig.rec(REC0).pc();
    let esr = 0x18 << 26 | 1 << 25 | 0x3A_3016 | 3 << 5;
    let exit = exit_of(&mut rig, sync(esr));
    let mut expected = RecExit {
        esr,
        ..RecExit::default()
    };
    expected.gprs[0] = 0xAAAA_BBBB_CCCC_DD03;
    assert_eq!(exit, expected);
    assert_eq!(rig.rec(REC0).pc(), before + 4);
}

#[test]
fn identification_registers_are_read_without_the_host() {
    let mut rig = Rig::active();
    let before = rig.rec(REC0).pc();
    // MRS X4, ID_AA64PFR0_EL1; MRS X5, ID_AA64DFR0_EL1; MRS XZR, the same.
    let mrs = |crm: u64, rt: u64| sync(0x18 << 26 | 3 << 20 | rt << 5 | crm << 1 | 1);
    rig.script([mrs(4, 4), mrs(5, 5), mrs(5, 31), Exception::Irq]);
    assert_eq!(rig.run(), irq());
    let rec = rig.rec(REC0);
    assert_eq!((rec.gpr(4), rec.gpr(5)), (0x1101_0000_1111_0011, 0x10_100A));
    assert_eq!(rec.pc(), before + 12);
}

#[test]
fn what_the_realm_does_not_have_is_undefined() {
    let mut rig = Rig::active();
    let hvc = 0x16 << 26 | 1 << 25;
    let sve = 0x19 << 26;
    let sme = 0x1D << 26;
    let implementation_defined = 0x18 << 26 | 3 << 20 | 15 << 10 | 1;
    for esr in [hvc, sve, sme, implementation_defined] {
        assert_eq!(injected(&mut rig, sync(esr)), (0x0200_0000, 0));
    }
}

#[test]
fn the_interrupt_controller_is_the_hosts_and_the_realms() {
    let mut rig = Rig::active();
    let mut enter = RecEnter {
        gicv3_hcr: 0x40FE,
        ..RecEnter::default()
    };
    enter.gicv3_lrs[0] = 1 << 62 | 27;
    enter.gicv3_lrs[3] = 1 << 62 | 1 << 60 | 0xA0 << 48 | 30;
    enter.gicv3_lrs[4] = u64::MAX;
    rig.step(move |rec| {
        assert_eq!(rec.get(layout::ICH_HCR_EL2), 0x40FE | 1 | 1 << 8 | 1 << 15);
        assert_eq!(rec.get(layout::ICH_LRS), enter.gicv3_lrs[0]);
        assert_eq!(rec.get(layout::ICH_LRS + 3), enter.gicv3_lrs[3]);
        assert_eq!(
            rec.get(layout::ICH_LRS + 4),
            0,
            "there are four list registers"
        );
        rec.set(layout::ICH_HCR_EL2, rec.get(layout::ICH_HCR_EL2) | 3 << 27);
        rec.set(layout::ICH_LRS, 2 << 62 | 27);
        rec.set(layout::ICH_VMCR_EL2, 0x4C00_0000);
        rec.set(layout::ICH_MISR_EL2, 5);
        Exception::Irq
    });
    let mut expected = irq();
    expected.gicv3_hcr = 3 << 27 | 0x40FE;
    expected.gicv3_lrs[0] = 2 << 62 | 27;
    expected.gicv3_lrs[3] = enter.gicv3_lrs[3];
    expected.gicv3_vmcr = 0x4C00_0000;
    expected.gicv3_misr = 5;
    assert_eq!(rig.enter(REC0, &enter), expected);
}

#[test]
fn the_realm_runs_under_its_own_controls() {
    let mut rig = Rig::active();
    rig.step(|rec| {
        assert_eq!(
            rec.get(layout::HCR_EL2),
            0x4324_800C_043F | 1 << 9 | 3 << 20 | 3 << 35
        );
        // Without PMU: TPMCR, TPM; and TDA, TDOSA, TDRA, HPMD, HCCD, MTPME.
        assert_eq!(
            rec.get(layout::MDCR_EL2),
            0x60 | 0xE00 | 1 << 17 | 1 << 23 | 1 << 28
        );
        assert_eq!(rec.get(layout::CPTR_EL2), 1 << 28 | 1 << 30);
        assert_eq!(rec.get(layout::CNTHCTL_EL2), 3 << 10);
        assert_eq!(rec.get(layout::VMPIDR_EL2), 1 << 31);
        Exception::Irq
    });
    rig.run();
    let stage2 = rig.pe.last_stage2.unwrap();
    assert_eq!(stage2.vttbr, ROOT | 1 << 48);
    assert_eq!(stage2.vtcr & 0x3F, 64 - u64::from(IPA_BITS));
}
