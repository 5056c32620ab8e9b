//! What of a PE is the host's and what the realm's, and an SError that is pending at the border, which no emulator makes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::format;
use std::rc::Rc;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::common::fake;
use crate::rmm::per_pe::RMM_PE_AREAS;
use aarch64_formats::esr::class;
use core::sync::atomic::AtomicU64;
use realm_monitor::platform::{Granule, IdRegisters};
use realm_monitor::rec::layout::{
    DBGBCR, DBGBVR, DBGWCR, DBGWVR, DEBUG_POINTS, ICH_AP0R, ICH_AP1R, ICH_LRS, OS_UNLOCKED,
};

const OSLAR: &str = "s2_0_c1_c0_4";
const DISR: &str = "s3_0_c12_c1_1";
/// DISR_EL1 and ESR_EL2 of an SError: unrecoverable.
const DEFERRED: u64 = 1 << 31 | 1 << 10 | 1 << 9 | 0x11;
const SYNDROME: u64 = 0x2F << 26 | 1 << 25 | 1 << 10 | 1 << 9 | 0x11;
/// MDCR_EL2.TPM: the realm has no PMU.
const NO_PMU: u64 = 1 << 6;
const STAGE_2: Stage2 = Stage2 { vttbr: 1, vtcr: 2 };

/// A PE with RAS and pointer authentication, 16 list registers and 2 times 4 active priorities registers, and a REC.
fn pe() -> (Pe, Granule) {
    fake::reset();
    fake::set("tpidr_el2", core::ptr::from_ref(RMM_PE_AREAS.of(0)) as u64);
    let rec = [const { AtomicU64::new(0) }; 512];
    RecContext(&rec).set(MDCR_EL2, NO_PMU);
    (Pe::new(&features()), rec)
}

fn features() -> CpuFeatures {
    let ids = IdRegisters {
        pfr0: 1 << 28,
        isar1: 1 << 4,
        ..IdRegisters::default()
    };
    CpuFeatures {
        pa_bits: 48,
        lpa2: false,
        vmid16: true,
        num_bps: 1,
        num_wps: 1,
        sve_vl: None,
        pmu_counters: None,
        ich_vtr: 6 << 26 | 15,
        gic_extended_ranges: false,
        ids,
    }
}

/// An SError becomes pending when the cell says so, and an ESB defers it.
fn errors() -> Rc<Cell<bool>> {
    let pending = Rc::new(Cell::new(false));
    let seen = pending.clone();
    fake::watch(move |event| {
        if event == "hint #16" && seen.take() {
            fake::set(DISR, DEFERRED);
        }
    });
    pending
}

/// The realm comes back with a synchronous exception.
fn realm_with(esr: u64, during: impl Fn() + 'static) {
    fake::answer("rmm_realm_enter", move |_| {
        during();
        fake::set("esr_el2", esr);
        SYNC
    });
}

fn has_run(log: &[String]) -> bool {
    log.iter().any(|event| event == "bl rmm_realm_enter")
}

#[test]
fn an_error_that_the_host_left_behind_is_not_the_realms() {
    let (mut pe, rec) = pe();
    let pending = errors();
    pending.set(true);
    let exception = pe.run(RecContext(&rec), &STAGE_2);
    assert_eq!(exception, Exception::EarlierSError { esr: SYNDROME });
    assert!(!has_run(&fake::log()));
    // It was one error.
    pe.save(RecContext(&rec));
    realm_with(u64::from(class::SYSREG) << 26, || {});
    let exception = pe.run(RecContext(&rec), &STAGE_2);
    assert!(matches!(exception, Exception::Sync { .. }));
}

#[test]
fn an_error_that_shows_behind_a_realm_is_the_realms() {
    let (mut pe, rec) = pe();
    let context = RecContext(&rec);
    let pending = errors();
    fake::set(DISR, 0x5);
    let realms = pending.clone();
    realm_with(u64::from(class::SYSREG) << 26, move || realms.set(true));
    let exception = pe.run(context, &STAGE_2);
    assert!(matches!(exception, Exception::Sync { .. }));
    pe.save(context);
    assert!(!pending.get(), "the host would take it");
    assert_eq!(fake::get(DISR), 0x5);
    // On its way back the realm gets it, once, on whatever PE.
    fake::log();
    let exception = pe.run(context, &STAGE_2);
    assert_eq!(exception, Exception::SError { esr: SYNDROME });
    assert!(!has_run(&fake::log()));
    pe.save(context);
    realm_with(u64::from(class::SYSREG) << 26, || {});
    let exception = pe.run(context, &STAGE_2);
    assert!(matches!(exception, Exception::Sync { .. }));
}

#[test]
fn what_the_host_has_in_disr_is_no_error() {
    let (mut pe, rec) = pe();
    fake::set(DISR, DEFERRED);
    realm_with(u64::from(class::SYSREG) << 26, || {
        assert_eq!(fake::get(DISR), 0);
    });
    let exception = pe.run(RecContext(&rec), &STAGE_2);
    assert!(matches!(exception, Exception::Sync { .. }));
    pe.save(RecContext(&rec));
    assert_eq!(fake::get(DISR), DEFERRED);
}

/// What EL3 keeps for the host: the RMM may leave anything there.
fn is_kept_by_el3(register: &str) -> bool {
    [
        "hcr_el2",
        "mdcr_el2",
        "cptr_el2",
        "cnthctl_el2",
        "vtcr_el2",
        "vttbr_el2",
        "vmpidr_el2",
        "s3_4_c12_c1_1",
        "s3_4_c5_c2_3",
        "s3_4_c12_c11_0",
        "s3_4_c12_c11_7",
    ]
    .contains(&register)
        || register.starts_with("s3_0_c2_c")
}

/// The registers that are written in a log.
fn written(log: &[String]) -> BTreeSet<String> {
    log.iter()
        .filter_map(|event| event.strip_prefix("msr ")?.split_once(','))
        .map(|(register, _)| register.to_string())
        .collect()
}

#[test]
fn the_host_finds_every_register_again() {
    let visit = |prepare: &dyn Fn()| {
        let (mut pe, rec) = pe();
        let context = RecContext(&rec);
        for word in ICH_LRS..ICH_LRS + 16 {
            context.set(word, 0xA000 + word as u64);
        }
        for word in (ICH_AP0R..ICH_AP0R + 4).chain(ICH_AP1R..ICH_AP1R + 4) {
            context.set(word, 0xB000 + word as u64);
        }
        prepare();
        realm_with(u64::from(class::SYSREG) << 26, || {});
        pe.run(context, &STAGE_2);
        pe.save(context);
        fake::log()
    };
    let registers: Vec<_> = written(&visit(&|| {}))
        .into_iter()
        .filter(|register| !is_kept_by_el3(register))
        .collect();
    assert!(registers.len() > 50, "{registers:?}");
    let canary = |n: usize| 0xC0DE_0000 + n as u64;
    visit(&|| {
        for (n, register) in registers.iter().enumerate() {
            fake::set(register, canary(n));
        }
    });
    for (n, register) in registers.iter().enumerate() {
        assert_eq!(fake::get(register), canary(n), "{register}");
    }
}

#[test]
fn the_realm_finds_its_virtual_interface_again_and_the_host_its_own() {
    let (mut pe, rec) = pe();
    let context = RecContext(&rec);
    let registers: Vec<(String, usize)> = (0..16)
        .map(|n| (format!("s3_4_c12_c{}_{}", 12 + n / 8, n % 8), ICH_LRS + n))
        .chain((0..4).map(|n| (format!("s3_4_c12_c8_{n}"), ICH_AP0R + n)))
        .chain((0..4).map(|n| (format!("s3_4_c12_c9_{n}"), ICH_AP1R + n)))
        .collect();
    for (n, (register, word)) in registers.iter().enumerate() {
        fake::set(register, 0xAAAA_0000 + n as u64);
        context.set(*word, 0x5555_0000 + n as u64);
    }
    let inside = registers.clone();
    realm_with(u64::from(class::SYSREG) << 26, move || {
        for (n, (register, _)) in inside.iter().enumerate() {
            assert_eq!(fake::get(register), 0x5555_0000 + n as u64, "{register}");
            fake::set(register, 0x7777_0000 + n as u64);
        }
    });
    pe.run(context, &STAGE_2);
    pe.save(context);
    for (n, (register, word)) in registers.iter().enumerate() {
        assert_eq!(fake::get(register), 0xAAAA_0000 + n as u64, "{register}");
        assert_eq!(context.get(*word), 0x7777_0000 + n as u64, "{register}");
    }
}

#[test]
fn a_realm_runs_under_what_its_rec_says() {
    let (mut pe, rec) = pe();
    let context = RecContext(&rec);
    let registers = [
        ("cptr_el2", CPTR_EL2),
        ("hcr_el2", HCR_EL2),
        ("cnthctl_el2", CNTHCTL_EL2),
        ("vmpidr_el2", VMPIDR_EL2),
        ("s3_4_c5_c2_3", VSESR_EL2),
    ];
    for (n, (_, word)) in (0..).zip(registers) {
        context.set(word, 0x5555_0000 + n);
    }
    realm_with(u64::from(class::SYSREG) << 26, move || {
        for (n, (register, _)) in (0..).zip(registers) {
            assert_eq!(fake::get(register), 0x5555_0000 + n, "{register}");
        }
    });
    pe.run(context, &STAGE_2);
    // What masks the timers' interrupts changes while the realm is loaded.
    context.set(CNTHCTL_EL2, 0x7777_0000);
    realm_with(u64::from(class::SYSREG) << 26, || {
        assert_eq!(fake::get("cnthctl_el2"), 0x7777_0000);
    });
    pe.run(context, &STAGE_2);
}

#[test]
fn registers_that_no_run_can_tell_are_exchanged() {
    let registers = [
        (SysReg::ActlrEl1, "actlr_el1"),
        (SysReg::Afsr0El1, "s3_5_c5_c1_0"),
        (SysReg::Afsr1El1, "s3_5_c5_c1_1"),
        (SysReg::AmairEl1, "s3_5_c10_c3_0"),
        (SysReg::MdccintEl1, "mdccint_el1"),
    ];
    let (mut pe, rec) = pe();
    let context = RecContext(&rec);
    for (n, (word, register)) in (0..).zip(registers) {
        fake::set(register, 0xAAAA_0000 + n);
        context.set_sysreg(word, 0x5555_0000 + n);
    }
    realm_with(u64::from(class::SYSREG) << 26, move || {
        for (n, (_, register)) in (0..).zip(registers) {
            assert_eq!(fake::get(register), 0x5555_0000 + n, "{register}");
            fake::set(register, 0x7777_0000 + n);
        }
    });
    pe.run(context, &STAGE_2);
    pe.save(context);
    for (n, (word, register)) in (0..).zip(registers) {
        assert_eq!(fake::get(register), 0xAAAA_0000 + n, "{register}");
        assert_eq!(context.sysreg(word), 0x7777_0000 + n, "{register}");
    }
}

#[test]
fn the_realm_has_its_own_points_and_the_host_its_own_again() {
    const POINTS: u64 = 16;
    let (_, rec) = pe();
    let features = CpuFeatures {
        num_bps: POINTS as u8 - 1,
        num_wps: POINTS as u8 - 1,
        ..features()
    };
    let mut pe = Pe::new(&features);
    let context = RecContext(&rec);
    // Debug exceptions are on, and so are all points that the realm can have.
    context.set_sysreg(SysReg::MdscrEl1, 1 << 15);
    context.set(DEBUG_POINTS, (POINTS - 1) << 8 | (POINTS - 1));
    context.set(OS_UNLOCKED, 1);
    let words = [DBGBVR, DBGBCR, DBGWVR, DBGWCR];
    let registers: Vec<(String, usize)> = (0..POINTS as usize)
        .flat_map(|n| {
            let name = move |op2| format!("s2_0_c0_c{n}_{op2}");
            (4..)
                .zip(words)
                .map(move |(op2, word)| (name(op2), word + n))
        })
        .collect();
    // Nothing in the way of links and types: bits below 16, different in each.
    for (n, (register, word)) in (0..).zip(&registers) {
        fake::set(register, 0xA000 + n);
        context.set(*word, 0x5000 + n);
    }
    // The host has locked its OS lock.
    fake::set("s2_0_c1_c1_4", 1 << 1);
    fake::set(OSLAR, 1);
    let inside = registers.clone();
    realm_with(u64::from(class::SYSREG) << 26, move || {
        for (n, (register, _)) in (0..).zip(&inside) {
            assert_eq!(fake::get(register), 0x5000 + n, "{register}");
        }
        assert_eq!(fake::get(OSLAR), 0);
    });
    pe.run(context, &STAGE_2);
    pe.save(context);
    for (n, (register, _)) in (0..).zip(&registers) {
        assert_eq!(fake::get(register), 0xA000 + n, "{register}");
    }
    assert_eq!(fake::get(OSLAR), 1);
}
