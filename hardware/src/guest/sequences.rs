//! The order of what the ring of a program in a realm does to its vCPU.

use realm_guest::demo::GuestPe;
use realm_guest::puppet::{GicRegister, PuppetPe};

use super::vcpu::Vcpu;
use super::{translation, vectors};
use crate::common::fake;
use crate::common::sequences::{assert_followed, between};

/// ICC_SRE_EL1, ICC_EOIR1_EL1, ZCR_EL1.
const SRE: &str = "msr s3_0_c12_c12_5";
const EOIR: &str = "msr s3_0_c12_c12_1";
const ZCR: &str = "msr s3_0_c1_c2_0";

fn vcpu(index: usize) -> Vcpu {
    fake::reset();
    let vcpu = Vcpu::start(index);
    fake::log();
    vcpu
}

#[test]
fn the_mmu_is_turned_on_over_nothing_cached() {
    fake::reset();
    translation::enable();
    assert_eq!(
        fake::outline(),
        [
            "dsb ish",
            "msr mair_el1",
            "msr tcr_el1",
            "msr ttbr0_el1",
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            "msr sctlr_el1",
            "isb",
        ]
    );
}

#[test]
fn the_cpu_interface_takes_each_change_before_the_next() {
    fake::reset();
    Vcpu::start(1);
    let events = fake::effects();
    assert_followed(&events, SRE, "isb");
    assert_eq!(events.last().map(std::string::String::as_str), Some("isb"));
    vectors::install();
    assert_eq!(fake::outline(), ["msr vbar_el1", "isb"]);
}

#[test]
fn time_is_read_and_the_timer_set_in_order() {
    let vcpu = vcpu(2);
    vcpu.counter();
    assert_eq!(fake::log(), ["isb", "mrs cntvct_el0"]);
    vcpu.arm_timer(5);
    assert_eq!(
        fake::outline(),
        ["msr cntv_cval_el0", "msr cntv_ctl_el0", "isb"]
    );
    vcpu.disarm_timer();
    assert_eq!(fake::outline(), ["msr cntv_ctl_el0", "isb"]);
}

#[test]
fn an_interrupt_is_taken_in_one_place_and_ended_in_order() {
    let vcpu = vcpu(3);
    // Whatever the host has had the handler's registers filled with.
    for register in ["vbar_el1", "tpidr_el1", "elr_el1", "spsr_el1"] {
        fake::set(register, 0xABC0);
    }
    vcpu.wait_for_interrupt();
    let events = fake::effects();
    let waited = events
        .iter()
        .position(|event| event == "wfi")
        .expect("a wait");
    let [before, after] = [&events[..waited], &events[waited..]];
    for register in ["msr vbar_el1", "msr tpidr_el1"] {
        let own = before.iter().find(|event| event.starts_with(register));
        assert!(own.is_some_and(|own| !own.contains("abc0")), "{before:?}");
    }
    assert_eq!(
        after,
        [
            "wfi",
            "msr daifclr, #2",
            "isb",
            "msr daifset, #2",
            "msr vbar_el1, 0xabc0",
            "msr tpidr_el1, 0xabc0",
            "msr elr_el1, 0xabc0",
            "msr spsr_el1, 0xabc0",
            "isb",
        ]
    );
    vcpu.end_of_interrupt(27);
    assert_eq!(fake::outline(), ["dsb sy", EOIR, "isb"]);
    // ICC_SGI1R_EL1
    vcpu.write_gic(GicRegister::Sgi1, 1);
    assert_eq!(fake::outline(), ["dsb sy", "msr s3_0_c12_c11_5", "isb"]);
}

#[test]
fn the_cycle_counter_counts_before_it_is_looked_at() {
    let vcpu = vcpu(4);
    fake::set("id_aa64dfr0_el1", 1 << 8);
    fake::set("pmovsset_el0", 1 << 31);
    vcpu.overflow_cycles(true);
    assert_eq!(
        between(&fake::log(), "msr pmcr_el0", "mrs pmovsset_el0"),
        ["isb"]
    );
}

#[test]
fn simd_is_open_before_it_is_used() {
    let vcpu = vcpu(5);
    fake::set("id_aa64pfr0_el1", 1 << 32);
    fake::answer("vector_bytes", |_| 16);
    vcpu.fill_vectors(1);
    assert_eq!(
        fake::outline()[..5],
        ["msr cpacr_el1", "isb", ZCR, "isb", "bl vector_bytes"]
    );
}
