//! The order of what the root monitor does to the machine: protection table, stage 1, interrupts, power, world switch.

use std::format;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::vec::Vec;

use aarch64_formats::gpt::AddressSpace;
use core::sync::atomic::{AtomicU64, Ordering};

use super::context::Context;
use super::layout::{OwnBlock, SECURE_GPIO, SECURE_RAM};
use super::{gic, handler, job, mmu, power, protection, remains, switch};
use crate::common::fake;
use crate::common::sequences::between;

/// TLBI PAALLOS, TLBI RPALOS and DC CIPAPA.
const TLBI_PAALLOS: &str = "sys #6, c8, c1, #4";
const TLBI_RPALOS: &str = "sys #6, c8, c4, #7";
const DC_CIPAPA: &str = "sys #6, c7, c14, #1";
/// GPTBR_EL3 and GPCCR_EL3.
const GPTBR: &str = "msr s3_6_c2_c1_4";
const GPCCR: &str = "msr s3_6_c2_c1_6";
/// What forgets all protection, between the stores before it and everything behind it.
const FORGET: [&str; 4] = ["dsb sy", TLBI_PAALLOS, "dsb sy", "isb"];

#[test]
fn all_protection_is_forgotten_between_barriers() {
    fake::reset();
    protection::invalidate_all();
    assert_eq!(fake::log(), FORGET);
}

#[test]
fn a_granule_is_forgotten_after_its_store_and_completely() {
    fake::reset();
    protection::invalidate_granule(0x4567_8000);
    let [store, tlbi, complete] = fake::log().try_into().expect("three instructions");
    assert_eq!((&*store, &*complete), ("dsb oshst", "dsb osh"));
    // 4 KiB at that address (SIZE is 0).
    assert_eq!(tlbi, format!("{TLBI_RPALOS}, {:#x}", 0x4567_8000u64 >> 12));
}

#[test]
fn every_line_of_a_granule_is_cleaned_in_its_alias() {
    for line in [64, 512] {
        fake::reset();
        fake::set("ctr_el0", u64::from((line / 4u64).trailing_zeros()) << 16);
        protection::clean_granule(AddressSpace::Realm, 0x4567_8000);
        let first = 0x4567_8000 | AddressSpace::Realm.bits();
        let mut expected: Vec<String> = (0..4096 / line)
            .map(|n| format!("{DC_CIPAPA}, {:#x}", first + n * line))
            .collect();
        expected.push("dsb osh".into());
        assert_eq!(fake::effects(), expected);
    }
}

#[test]
fn the_protection_check_is_turned_on_over_nothing_cached() {
    fake::reset();
    // SAFETY: a fake.
    unsafe { protection::enable() };
    let mut expected = Vec::from(["dsb sy", GPTBR, GPCCR, "isb"]);
    expected.extend(FORGET);
    expected.extend([GPCCR, "isb"]);
    expected.extend(FORGET);
    assert_eq!(fake::outline(), expected);
}

#[test]
fn the_mmu_is_turned_on_over_nothing_cached() {
    fake::reset();
    // SAFETY: a fake.
    unsafe { mmu::enable() };
    for (register, value) in [
        ("mair_el3", 0xBB_04FF),
        ("tcr_el3", 0x8082_3510),
        ("sctlr_el3", 0x30CD_183D),
    ] {
        assert_eq!(fake::get(register), value, "{register}");
    }
    assert_eq!(
        fake::outline(),
        [
            "dsb sy",
            "msr mair_el3",
            "msr tcr_el3",
            "msr ttbr0_el3",
            "isb",
            "tlbi alle3",
            "dsb sy",
            "isb",
            "msr sctlr_el3",
            "isb",
        ]
    );
}

#[test]
fn the_tables_are_complete_before_anybody_walks_them() {
    fake::reset();
    fake::set_symbol("__text_end", SECURE_RAM.base + 0x2_0000);
    fake::set_symbol("__rodata_end", SECURE_RAM.base + 0x3_0000);
    mmu::build().expect("enough tables");
    assert_eq!(fake::effects().last().map(String::as_str), Some("dsb sy"));
}

#[test]
fn the_cpu_interface_takes_each_change_before_the_next() {
    fake::reset();
    fake::set("scr_el3", 0x100);
    gic::set_up_pe();
    let events = fake::effects();
    let first = events.iter().position(|event| event.starts_with("msr "));
    assert_eq!(
        events[first.expect("registers are written")..],
        [
            "msr s3_6_c12_c12_5, 0xf", // ICC_SRE_EL3
            "isb",
            "msr s3_0_c12_c12_5, 0x7", // ICC_SRE_EL1, Secure
            "msr scr_el3, 0x101",      // NS says which of the banked registers is meant.
            "isb",
            "msr s3_4_c12_c9_5, 0xf",  // ICC_SRE_EL2
            "msr s3_0_c12_c12_5, 0x7", // ICC_SRE_EL1, Non-secure
            "isb",
            "msr scr_el3, 0x104", // FIQ
            "isb",
            "msr s3_6_c12_c12_4, 0x0", // ICC_CTLR_EL3
            "msr s3_0_c12_c8_3, 0x0",  // ICC_BPR0_EL1
            "msr s3_6_c12_c12_7, 0x0", // ICC_IGRPEN1_EL3
            "msr s3_0_c4_c6_0, 0xff",  // ICC_PMR_EL1
            "msr s3_0_c12_c12_6, 0x1", // ICC_IGRPEN0_EL1
            "isb",
        ]
    );
    gic::leave();
    assert_eq!(
        fake::effects(),
        [
            "msr s3_6_c12_c12_7, 0x0", // ICC_IGRPEN1_EL3
            "msr s3_4_c12_c11_0, 0x0", // ICH_HCR_EL2
            "msr hcr_el2, 0x0",
            "isb",
        ]
    );
}

#[test]
fn an_interrupt_of_el3_is_acknowledged_and_ended_in_order() {
    fake::reset();
    // ICC_IAR0_EL1 and ICC_EOIR0_EL1.
    fake::script("s3_0_c12_c8_0", [8]);
    assert_eq!(gic::acknowledge(), Some(8));
    assert_eq!(fake::log(), ["mrs s3_0_c12_c8_0", "dsb sy"]);
    gic::end(8);
    assert_eq!(fake::effects(), ["msr s3_0_c12_c8_1, 0x8", "isb"]);
}

#[test]
fn whoever_is_called_finds_what_was_stored_before() {
    fake::reset();
    power::wake(3);
    // ICC_SGI0R_EL1.
    assert_eq!(fake::outline(), ["dsb sy", "msr s3_0_c12_c11_7", "isb"]);
    fake::set("ctr_el0", 4 << 16);
    fake::watch(|event| {
        if let Some(address) = event.strip_prefix("dc civac, 0x") {
            let address = usize::from_str_radix(address, 16).expect("an address");
            // SAFETY: a word that is a static of this program.
            let word = unsafe { &*(address as *const AtomicU64) };
            assert_eq!(
                word.load(Ordering::Relaxed),
                1,
                "stored before it is cleaned"
            );
        }
    });
    power::admit_secondaries();
    assert_eq!(fake::outline(), ["dc civac", "dsb sy", "sev"]);
}

#[test]
fn a_pe_that_is_off_sleeps_with_nothing_outstanding() {
    fake::reset();
    // There is no interrupt of EL3 (ICC_IAR0_EL1), until one wakes the PE.
    fake::set("s3_0_c12_c8_0", 1023);
    fake::watch(|event| {
        if event == "wfi" {
            power::wake(5);
        }
    });
    power::sleep_until_on(5);
    let events = fake::outline();
    let sleep = events
        .iter()
        .position(|event| event == "wfi")
        .expect("sleeps");
    assert_eq!(
        events[sleep - 5..sleep],
        ["dsb sy", "dsb sy", "dsb sy", "msr s3_0_c12_c11_7", "isb"]
    );
}

#[test]
fn a_pin_rises_edge_by_edge() {
    fake::reset();
    let stopped = catch_unwind(AssertUnwindSafe(|| power::system_off()));
    assert!(stopped.is_err());
    let direction = format!("str 0x1, [{:#x}]", SECURE_GPIO + 0x400);
    let [low, high] = [0, 1].map(|value| format!("str {value:#x}, [{:#x}]", SECURE_GPIO + 4));
    assert_eq!(
        fake::effects()[..7],
        [
            &*direction,
            "dsb sy",
            &*low,
            "dsb sy",
            &*high,
            "dsb sy",
            "wfi"
        ]
    );
}

#[test]
fn standby_waits_with_interrupts_routed_to_el3_and_nothing_outstanding() {
    fake::reset();
    fake::set("scr_el3", 0x100);
    handler::standby();
    assert_eq!(
        fake::effects(),
        [
            "msr scr_el3, 0x106",
            "isb",
            "dsb sy",
            "wfi",
            "msr scr_el3, 0x100",
            "isb"
        ]
    );
}

#[test]
fn vectors_hold_from_the_next_instruction_on() {
    fake::reset();
    switch::use_boot_vectors();
    assert_eq!(fake::outline(), ["msr vbar_el3", "isb"]);
}

const STATELESS: [&str; 5] = [
    "actlr_el2",
    "afsr0_el2",
    "afsr1_el2",
    "amair_el2",
    "hacr_el2",
];

#[test]
fn a_register_that_keeps_a_value_is_found_after_a_barrier() {
    fake::reset();
    fake::set("s3_4_c12_c9_5", 0xF);
    // Hardware that drops what is written, as of the next context synchronization.
    fake::watch(|event| {
        if event == "isb" {
            STATELESS.iter().for_each(|register| fake::set(register, 0));
        }
    });
    switch::assert_stateless();
    let events = fake::outline();
    for register in STATELESS {
        let write = format!("msr {register}");
        assert_eq!(between(&events, &write, &write), ["isb"]);
    }
}

#[test]
fn a_switch_saves_before_it_loads() {
    fake::reset();
    let (mut normal, mut realm, mut on_demand) = (Context::default(), Context::default(), 0);
    let forward = AtomicU64::new(0);
    let mut block = OwnBlock {
        normal: &mut normal,
        realm: &mut realm,
        on_demand: &mut on_demand,
        forward: &forward,
        pe: 0,
    };
    let [save, load] = ["bl el3_save", "bl el3_load"];
    let [save_on_demand, load_on_demand] = ["bl el3_save_on_demand", "bl el3_load_on_demand"];
    switch::to_realm(&mut block);
    assert_eq!(
        fake::outline(),
        [save, save_on_demand, load, load_on_demand, "msr scr_el3"]
    );
    switch::to_normal(&mut block);
    assert_eq!(
        fake::outline(),
        [save, save_on_demand, load_on_demand, load]
    );
    // What the Realm world has not used is still the normal world's.
    switch::to_normal(&mut block);
    assert_eq!(fake::outline(), [save, load]);
}

#[test]
fn the_mark_of_realms_is_in_memory_before_there_are_any_and_goes_after_the_wipe() {
    fake::reset();
    remains::mark();
    assert_eq!(fake::effects(), ["dsb sy"]);
    remains::mark();
    assert_eq!(fake::effects(), Vec::<String>::new(), "once");
    // There is no table of an earlier life.
    fake::set_symbol("__free_start", SECURE_RAM.base);
    assert!(remains::wipe().is_err());
    assert_eq!(fake::effects(), ["dsb sy", "dsb sy"]);
}

#[test]
fn a_signature_is_open_to_the_interrupts_of_all_worlds() {
    fake::reset();
    fake::set("scr_el3", 0x100);
    job::with_interrupts(|| ());
    assert_eq!(
        fake::effects(),
        ["msr scr_el3, 0x106", "isb", "msr scr_el3, 0x100", "isb"]
    );
}
