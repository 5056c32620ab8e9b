//! The order of what the RMM's ring does to the machine.

mod tlb;

use std::format;
use std::string::String;
use std::vec::Vec;

use core::sync::atomic::AtomicU64;

use realm_monitor::platform::{
    CpuFeatures, Exception, IdRegisters, Platform, ProcessingElement, RecContext, Stage2,
};
use realm_monitor::rec::layout::{HCR_EL2, MDCR_EL2, SVE_VECTORS};

use super::cpu::Optional;
use super::entry::{CPTR_MONITOR, HCR_MONITOR};
use super::machine::Machine;
use super::pe::Pe;
use super::per_pe::{INDEX, RMM_PE_AREAS};
use super::{boot, gic, hash, simd};
use crate::common::fake;
use crate::common::sequences::{assert_followed, between};

/// MDCR_EL2.TPM.
const NO_PMU: u64 = 1 << 6;
/// CNTP_CTL_EL02 and ICH_HCR_EL2.
const CNTP_CTL: &str = "msr s3_5_c14_c2_1";
const ICH_HCR: &str = "msr s3_4_c12_c11_0";
/// ZCR_EL2.
const ZCR: &str = "msr s3_4_c1_c2_0";

/// Becomes PE `n`, which no other test is.
fn become_pe(n: usize) {
    fake::reset();
    let area = (&raw const *RMM_PE_AREAS.of(n)).cast_mut().cast::<u64>();
    // SAFETY: what the entry code does; the area is this test's alone.
    unsafe { area.byte_add(INDEX).write(n as u64) };
    fake::set("tpidr_el2", area as u64);
}

type Words = [AtomicU64; 512];

/// A REC of a realm without SVE and PMU.
fn rec() -> Words {
    let words: Words = [const { AtomicU64::new(0) }; 512];
    RecContext(&words).set(MDCR_EL2, NO_PMU);
    words
}

const STAGE_2: Stage2 = Stage2 {
    vtcr: 0x80,
    vttbr: 0x1_0000_4000_0000,
};

fn is_irq(exception: Exception) -> bool {
    matches!(exception, Exception::Irq)
}

/// A PE whose realms are left by interrupts.
fn pe(n: usize) -> Pe {
    become_pe(n);
    fake::answer("rmm_realm_enter", |_| 1);
    Pe::new(&CpuFeatures::default())
}

#[test]
fn a_realm_is_entered_in_order() {
    let mut pe = pe(1);
    let words = rec();
    let rec = RecContext(&words);
    rec.set(HCR_EL2, 0x8000_0001);
    assert!(is_irq(pe.run(rec, &STAGE_2)));
    let events = fake::effects();
    // The timer masks hold before the timers can assert; stage 2 is there before it is on.
    assert!(between(&events, "msr cnthctl_el2", CNTP_CTL).contains(&"isb".into()));
    assert_eq!(between(&events, ICH_HCR, "msr hcr_el2"), ["isb"]);
    let vttbr = format!("msr vttbr_el2, {:#x}", STAGE_2.vttbr);
    assert!(between(&events, &vttbr, "msr hcr_el2").contains(&"isb".into()));
    // What another REC of the VMID left in this PE goes before the realm runs.
    assert_eq!(
        between(&events, "msr hcr_el2, 0x80000001", "msr cptr_el2"),
        ["isb", "tlbi vmalle1", "dsb nsh"]
    );
    assert_eq!(
        events.last().map(String::as_str),
        Some("bl rmm_realm_enter")
    );
}

#[test]
fn translations_of_another_rec_are_dropped_and_its_own_are_kept() {
    let mut pe = pe(2);
    let (first, second) = (rec(), rec());
    let (first, second) = (RecContext(&first), RecContext(&second));
    let mut drops = |rec: RecContext<'_>| {
        fake::log();
        assert!(is_irq(pe.run(rec, &STAGE_2)));
        pe.save(rec);
        fake::log().contains(&"tlbi vmalle1".into())
    };
    assert!(drops(first));
    assert!(!drops(first), "nothing else ran here");
    assert!(drops(second));
    assert!(drops(first));
    fake::set("mpidr_el1", 7);
    assert!(drops(first), "it ran on another PE before");
}

#[test]
fn stage_2_is_off_before_the_realm_leaves_the_pe() {
    let mut pe = pe(3);
    let words = rec();
    let rec = RecContext(&words);
    pe.run(rec, &STAGE_2);
    fake::log();
    pe.save(rec);
    let events = fake::effects();
    assert_eq!(
        events[..2],
        [&*format!("msr hcr_el2, {HCR_MONITOR:#x}"), "isb"]
    );
    pe.save(rec);
    assert_eq!(fake::log(), Vec::<String>::new(), "a PE is left once");
    pe.counter();
    assert_eq!(fake::log(), ["isb", "mrs cntpct_el0"]);
}

#[test]
fn the_virtual_cpu_interface_is_off_when_its_state_is_saved() {
    fake::reset();
    gic::HostGic::new(3).take_from(RecContext(&rec()));
    assert_followed(&fake::effects(), &format!("{ICH_HCR}, 0x0"), "isb");
}

#[test]
fn traps_hold_before_the_first_call() {
    fake::reset();
    boot::configure(optional(), 0);
    assert_eq!(fake::effects().last().map(String::as_str), Some("isb"));
}

#[test]
fn a_pe_begins_with_every_trap_and_no_offset() {
    fake::reset();
    let zero = [
        "cntvoff_el2",
        "hstr_el2",
        "s3_4_c12_c11_0",
        "s3_4_c14_c0_6",
        "s3_4_c1_c2_2",
        "s3_4_c1_c1_4",
        "s3_4_c1_c1_5",
        "s3_4_c1_c1_6",
        "s3_4_c3_c1_4",
        "s3_4_c3_c1_5",
    ];
    for register in zero.into_iter().chain(["cnthctl_el2", "mdcr_el2"]) {
        fake::set(register, u64::MAX);
    }
    fake::set("midr_el1", 0x1234);
    let everything = Optional {
        hcx: true,
        fgt: true,
        ecv_offset: true,
        ..optional()
    };
    boot::configure(everything, 3);
    for register in zero {
        assert_eq!(fake::get(register), 0, "{register}");
    }
    assert_eq!(fake::get("vpidr_el2"), 0x1234);
    // EL1PCTEN, EL1PTEN
    assert_eq!(fake::get("cnthctl_el2"), 1 << 10 | 1 << 11);
    // HPMD, HCCD, HPMN
    assert_eq!(fake::get("mdcr_el2"), 1 << 17 | 1 << 23 | 3);
}

#[test]
fn tables_are_published_and_granules_wiped_whole() {
    become_pe(4);
    fake::set("dczid_el0", 4);
    let machine = Machine::new(CpuFeatures::default(), &[], None);
    machine.publish_tables();
    assert_eq!(fake::effects(), ["dsb ishst"]);
    machine.zero_granule(0x4567_8000);
    let blocks: Vec<_> = (0..64)
        .map(|n| format!("dc zva, {:#x}", 0x4567_8000 + 64 * n))
        .collect();
    assert_eq!(fake::effects(), blocks);
}

/// Every optional feature.
fn optional() -> Optional {
    let ids = IdRegisters {
        pfr0: 1 << 32 | 1 << 28,
        pfr1: 1 << 24,
        dfr0: 1 << 8,
        isar1: 1 << 4,
        mmfr0: 1 << 56 | 2 << 60,
        mmfr1: 1 << 40,
        ..IdRegisters::default()
    };
    Optional::of(&ids)
}

#[test]
fn the_length_of_vectors_is_set_before_it_is_used() {
    fake::reset();
    fake::answer("vector_bytes", |_| 64);
    assert_eq!(simd::longest_vectors(), 3);
    assert_eq!(
        fake::outline(),
        [
            "msr cptr_el2",
            "isb",
            ZCR,
            "isb",
            "bl vector_bytes",
            ZCR,
            "isb",
            "msr cptr_el2",
            "isb"
        ]
    );
}

#[test]
fn simd_registers_are_open_while_they_are_exchanged() {
    fake::reset();
    let words = rec();
    let rec = RecContext(&words);
    rec.set(SVE_VECTORS, 0);
    let mut host = simd::HostSimd::new(optional());
    host.give_to(rec);
    assert_eq!(
        fake::outline()[..6],
        [
            "msr cptr_el2",
            "isb",
            "bl rmm_probe_sve",
            ZCR,
            "isb",
            "bl store_z"
        ]
    );
    host.take_from(rec);
    assert_eq!(
        fake::outline()[..6],
        ["msr cptr_el2", "isb", "bl store_v", ZCR, "isb", "bl load_z"]
    );
    assert_eq!(fake::get("cptr_el2"), CPTR_MONITOR, "SIMD is shut again");
}

#[test]
fn hashing_borrows_registers_and_gives_them_back() {
    become_pe(5);
    let (mut state, blocks) = ([0; 8], [[0; 64]]);
    assert!(hash::sha256(optional(), &mut state, &blocks));
    assert_eq!(
        fake::outline(),
        [
            "msr cptr_el2",
            "isb",
            "bl rmm_probe_sve",
            ZCR,
            "isb",
            "bl rmm_hash_store_z",
            "bl rmm_sha256_blocks",
        ]
    );
    hash::give_back();
    assert_eq!(
        fake::outline(),
        ["bl rmm_hash_load_z", ZCR, "msr cptr_el2", "isb"]
    );
    hash::give_back();
    assert_eq!(fake::outline(), Vec::<String>::new(), "once");
    // In streaming mode there is nothing to be had.
    fake::answer("rmm_probe_sve", |_| 1);
    assert!(!hash::sha256(optional(), &mut state, &blocks));
    assert_eq!(
        fake::outline(),
        [
            "msr cptr_el2",
            "isb",
            "bl rmm_probe_sve",
            "msr cptr_el2",
            "isb"
        ]
    );
}

#[test]
fn counters_stand_still_and_are_selected_before_they_are_accessed() {
    let mut pe = pe(6);
    let words = rec();
    let rec = RecContext(&words);
    // Two counters, and no trap.
    rec.set(MDCR_EL2, 2);
    pe.run(rec, &STAGE_2);
    let events = fake::log();
    assert!(between(&events, "msr pmcr_el0", "mrs pmccntr_el0").contains(&"isb".into()));
    for access in ["mrs pmxevcntr_el0", "msr pmxevcntr_el0"] {
        let mut count = 0;
        for (n, event) in events.iter().enumerate() {
            if event.starts_with(access) {
                count += 1;
                assert_eq!(events[n - 1], "isb");
                assert!(events[n - 2].starts_with("msr pmselr_el0"));
            }
        }
        assert_eq!(count, 2, "{access}");
    }
}
