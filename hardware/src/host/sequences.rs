//! The order of what the hypervisor's ring does to the machine.

use std::string::String;
use std::vec::Vec;

use realm_vmm::HostPe;

use super::gic::Gic;
use super::{count, counters, gic, pe, power, simd, streaming, translation, vectors};
use crate::common::fake;
use crate::common::sequences::{assert_followed, between};

const GICD: u64 = 0x0800_0000;
const GICR: u64 = 0x080A_0000;
/// ICC_SRE_EL2, ICC_EOIR1_EL1, ICC_SGI1R_EL1, ZCR_EL2, SMCR_EL2.
const SRE: &str = "msr s3_4_c12_c9_5";
const EOIR: &str = "msr s3_0_c12_c12_1";
const SGI1R: &str = "msr s3_0_c12_c11_5";
const ZCR: &str = "msr s3_4_c1_c2_0";
const SMCR: &str = "msr s3_4_c1_c2_6";

fn controller() -> Gic {
    Gic::new(GICD, GICR, 0x2_0000).expect("where devices are")
}

/// The descriptor at level 1 of the tables at `root` for an address, if there is one.
fn level_1(root: u64, address: u64) -> u64 {
    let entry = |table: u64, index: u64| {
        // SAFETY: a table of the identity map, which is a static of this program.
        unsafe { *((table & 0xFFFF_FFFF_F000) as *const u64).add(index as usize % 512) }
    };
    match entry(root, address >> 39) {
        0 => 0,
        next => entry(next, address >> 30),
    }
}

#[test]
fn the_mmu_is_turned_on_over_nothing_cached() {
    fake::reset();
    translation::enable();
    assert_eq!(
        fake::outline(),
        [
            "dsb ish",
            "msr mair_el2",
            "msr tcr_el2",
            "msr ttbr0_el2",
            "isb",
            "tlbi alle2",
            "dsb nsh",
            "isb",
            "msr sctlr_el2",
            "isb",
        ]
    );
}

#[test]
fn memory_is_mapped_before_it_is_used() {
    const MEMORY: core::ops::Range<u64> = 0x100_0000_0000..0x101_0000_0000;
    fake::reset();
    translation::enable();
    let root = fake::get("ttbr0_el2");
    fake::log();
    fake::watch(move |event| {
        assert!(
            event != "dsb ish" || level_1(root, MEMORY.start) != 0,
            "stored before"
        );
    });
    translation::map_memory(MEMORY);
    assert_eq!(fake::effects(), ["dsb ish", "isb"]);
}

#[test]
fn the_cpu_interface_takes_each_change_before_the_next() {
    fake::reset();
    assert!(controller().enable_pe());
    let events = fake::effects();
    assert_followed(&events, SRE, "isb");
    assert_eq!(events.last().map(String::as_str), Some("isb"));
}

#[test]
fn an_interrupt_is_acknowledged_and_ended_in_order() {
    fake::reset();
    fake::script("s3_0_c12_c12_0", [27]);
    assert_eq!(gic::acknowledge(), Some(27));
    assert_eq!(fake::log(), ["mrs s3_0_c12_c12_0", "dsb sy"]);
    gic::end(27);
    assert_eq!(fake::outline(), [EOIR, "isb"]);
}

#[test]
fn whoever_is_called_sees_what_was_stored_before() {
    fake::reset();
    gic::kick_others();
    assert_eq!(fake::outline(), ["dsb sy", SGI1R, "isb"]);
    gic::kick(0x1_0203);
    assert_eq!(fake::outline(), ["dsb sy", SGI1R, "isb"]);
}

#[test]
fn a_pe_waits_with_its_timer_set_and_nothing_outstanding() {
    const TIMER: [&str; 3] = ["msr cnthp_cval_el2", "msr cnthp_ctl_el2", "isb"];
    fake::reset();
    let mut pe = pe::Pe::start(&controller(), 9).expect("a redistributor");
    fake::log();
    pe.wait(Some(5));
    let mut expected = Vec::from(TIMER);
    expected.extend(["dsb sy", "wfi"]);
    expected.extend(TIMER);
    assert_eq!(fake::outline(), expected);
    pe.counter();
    assert_eq!(fake::log(), ["isb", "mrs cntpct_el0"]);
    count::counter();
    assert_eq!(fake::log(), ["isb", "mrs cntpct_el0"]);
}

#[test]
fn a_pe_that_is_started_sees_what_was_stored_before() {
    fake::reset();
    fake::answer_calls(|registers| registers.0[0] = 0);
    power::start_pe(1, 1).expect("started");
    assert_eq!(fake::effects(), ["dsb sy", "smc 0xc4000003"]);
    // So does whoever is rung for.
    power::ring(0x8700_0001);
    assert_eq!(fake::effects(), ["dsb sy", "smc 0x87000001"]);
}

#[test]
fn vectors_hold_from_the_next_instruction_on() {
    fake::reset();
    vectors::install();
    assert_eq!(fake::outline(), ["msr vbar_el2", "isb"]);
}

#[test]
fn simd_is_open_before_it_is_used() {
    fake::reset();
    fake::answer("vector_bytes", |_| 32);
    simd::fill_vectors(2, 1);
    assert_eq!(
        fake::outline()[..5],
        ["msr cptr_el2", "isb", ZCR, "isb", "bl vector_bytes"]
    );
}

#[test]
fn streaming_mode_is_open_before_it_is_entered() {
    fake::reset();
    fake::answer("vector_bytes", |_| 16);
    // ID_AA64PFR1_EL1.SME, and SVCR.
    fake::set("id_aa64pfr1_el1", 1 << 24);
    fake::set("s3_3_c4_c2_2", 0b11);
    assert_eq!(streaming::fill_streaming(false, 1), Some(16));
    assert_eq!(
        fake::outline()[..5],
        ["msr cptr_el2", "isb", SMCR, "isb", "bl host_streaming_on"]
    );
    assert!(streaming::leave_streaming(false, 1).is_some());
    assert_eq!(
        between(&fake::log(), "msr cptr_el2", "mrs s3_3_c4_c2_2"),
        ["isb"]
    );
}

#[test]
fn counters_are_selected_before_they_are_accessed() {
    fake::reset();
    fake::set("id_aa64dfr0_el1", 1 << 8);
    fake::set("pmcr_el0", 6 << 11);
    assert!(counters::start_counters());
    let events = fake::effects();
    assert_followed(&events, "msr pmselr_el0", "isb");
    assert_eq!(events.last().map(String::as_str), Some("isb"));
    counters::counters();
    let events = fake::log();
    assert_eq!(events.first().map(String::as_str), Some("isb"));
    assert_followed(&events, "msr pmselr_el0", "isb");
    counters::stop_counters();
    assert_eq!(fake::effects().last().map(String::as_str), Some("isb"));
}

#[test]
fn all_registers_are_open_before_they_are_read_and_closed_after() {
    fake::reset();
    assert_eq!(super::next_readable(0, 1), Some((0, 0)));
    assert_eq!(
        fake::outline(),
        [
            "msr cptr_el2",
            "isb",
            "bl host_encodings",
            "msr cptr_el2",
            "isb"
        ]
    );
}
