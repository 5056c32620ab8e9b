//! How runs end, on the in-process machine: well, badly, and not at all.

mod support;

use cca_abi::host_calls;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, RunOptions};
use realm_guest::demo::GuestPe;
use realm_host::PageSize;
use realm_vmm::report::Phase;
use realm_vmm::{Outcome, board, gic};
use support::*;

#[test]
fn a_realm_that_switches_itself_off_ends_well() {
    for function in [SYSTEM_OFF, SYSTEM_RESET] {
        let run = if function == SYSTEM_OFF {
            run(
                &machine(2),
                &options(1),
                |guest| {
                    call(guest, &[SYSTEM_OFF]);
                },
                nothing,
            )
        } else {
            run(
                &machine(2),
                &options(1),
                |guest| {
                    call(guest, &[SYSTEM_RESET]);
                },
                nothing,
            )
        };
        assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
        assert_eq!(
            run.phases,
            [
                Phase::Booted,
                Phase::Created,
                Phase::Running,
                Phase::Destroyed
            ]
        );
        assert_eq!(run.rec(0).state, "off");
        assert_eq!(run.rec(0).exits.get("psci"), Some(&1));
        assert_eq!(run.report.rim.len(), 64);
    }
}

#[test]
fn a_realm_that_hangs_or_never_starts_is_given_up_with_a_word_about_each_vcpu() {
    let hanging = run(
        &machine(2),
        &options(3),
        |guest| {
            say(guest, "on my way\nand th");
            call(guest, &[CPU_ON, 1, SECONDARY, 0]);
            wait_for_ever(guest);
        },
        wait_for_ever,
    );
    assert_eq!(hanging.report.outcome, Outcome::Timeout);
    for words in [
        "within 2000 ms",
        "vCPU 0 is waiting",
        "on my way",
        "vCPU 1 is waiting",
        "vCPU 2 is off after 0",
    ] {
        assert!(
            hanging.error().contains(words),
            "{words:?} in {:?}",
            hanging.error()
        );
    }
    assert_eq!(
        hanging.lines,
        [(0, "on my way".into()), (0, "and th".into())],
        "the last line is shown as far as it goes"
    );

    let spinning = run(
        &machine(2),
        &RunOptions {
            time_limit_ms: 50,
            ..options(1)
        },
        |guest| loop {
            let _ = guest.counter();
        },
        nothing,
    );
    assert_eq!(spinning.report.outcome, Outcome::Timeout);
    assert!(
        spinning.error().contains("vCPU 0 is on"),
        "{:?}",
        spinning.error()
    );
}

#[test]
fn a_realm_whose_vcpus_are_all_off_is_dead() {
    let dead = run(
        &machine(2),
        &options(2),
        |guest| {
            call(guest, &[CPU_ON, 1, SECONDARY, 0]);
            call(guest, &[CPU_OFF]);
        },
        |guest| {
            call(guest, &[CPU_OFF]);
        },
    );
    assert_eq!(dead.report.outcome, Outcome::GuestFailed);
    assert!(dead.error().contains("all vCPUs"), "{:?}", dead.error());
    assert_eq!(dead.rec(1).state, "off");
}

#[test]
fn a_realm_that_reports_a_failure_is_quoted() {
    let failed = run(
        &machine(1),
        &options(1),
        |guest| {
            say(guest, "demo: FAILED because");
            guest.write(RAM + 0x2000, u64::from(host_calls::FAILED));
            call(guest, &[HOST_CALL, RAM + 0x2000]);
            wait_for_ever(guest);
        },
        nothing,
    );
    assert_eq!(failed.report.outcome, Outcome::GuestFailed);
    assert!(
        failed.error().contains("demo: FAILED because"),
        "{:?}",
        failed.error()
    );
}

#[test]
fn a_realm_that_reads_another_measurement_ends_the_run() {
    let other = run(
        &machine(1),
        &options(1),
        |guest| {
            guest.write(RAM + 0x2000, u64::from(host_calls::MEASUREMENT));
            call(guest, &[HOST_CALL, RAM + 0x2000]);
            wait_for_ever(guest);
        },
        nothing,
    );
    assert_eq!(other.report.outcome, Outcome::Error);
    assert!(other.error().contains("measurement"), "{:?}", other.error());
}

#[test]
fn an_unknown_host_call_is_refused_and_does_no_harm() {
    let run = run(
        &machine(1),
        &options(1),
        |guest| {
            // Immediate 77, and a look at a page that is not shared.
            for (immediate, argument) in [
                (77, 0),
                (u64::from(host_calls::SHARED_PAGE), ALIAS | (RAM + 0x5000)),
            ] {
                guest.write(RAM + 0x2000, immediate);
                guest.write(RAM + 0x2008, argument);
                assert_eq!(call(guest, &[HOST_CALL, RAM + 0x2000]), 0);
                assert_eq!(guest.read(RAM + 0x2008), host_calls::REFUSED);
            }
            call(guest, &[SYSTEM_OFF]);
        },
        nothing,
    );
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

#[test]
fn what_is_not_there_aborts_and_private_memory_has_no_alias() {
    let run = run(
        &machine(1),
        &options(1),
        |guest| {
            for ipa in [
                ALIAS | board::VIRTIO,
                ALIAS | (board::REDISTRIBUTORS + gic::REDISTRIBUTOR_SIZE),
                ALIAS | (board::UART + board::UART_SIZE),
                ALIAS | RAM,
                ALIAS | (RAM + (8 << 20)),
                ALIAS,
            ] {
                let taken = guest.load(ipa, 8).expect_err("nothing there");
                assert_eq!(
                    taken.esr & 0x3F,
                    0x10,
                    "a synchronous external abort at {ipa:#x}"
                );
            }
            call(guest, &[SYSTEM_OFF]);
        },
        nothing,
    );
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

#[test]
fn memory_that_is_not_there_is_not_promised() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        ..Config::default()
    });
    let big = RunOptions {
        memory: 256 << 20,
        time_limit_ms: 0,
        ..options(1)
    };
    let run = run(&machine, &big, |_| panic!("it runs"), nothing);
    assert_eq!(run.report.outcome, Outcome::Error);
    let refusal = "the machine cannot promise the realm its memory";
    assert!(run.error().starts_with(refusal), "{:?}", run.error());
}

#[test]
fn a_realm_that_uses_much_of_its_memory_gets_it_in_blocks() {
    const MEMORY: u64 = 16 << 20;
    const BLOCK: u64 = 2 << 20;
    let options = RunOptions {
        memory: MEMORY,
        ..options(1)
    };
    let touch_all = |guest: &GuestCpu| {
        for page in (RAM..RAM + MEMORY).step_by(0x1000) {
            guest.write(page, page);
        }
        for page in (RAM..RAM + MEMORY).step_by(0x1000) {
            assert_eq!(guest.read(page), page);
        }
        call(guest, &[SYSTEM_OFF]);
    };
    let run = run(&machine(1), &options, touch_all, nothing);
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
    // The first page has the image. In the first two blocks of memory pages were added one by one; the other six came as one each.
    let pages = 2 * BLOCK / 0x1000 - 1;
    let blocks = (MEMORY - 2 * BLOCK) / BLOCK;
    assert_eq!(run.rec(0).exits["sync-data-abort"], pages + blocks);
}

#[test]
fn a_bad_configuration_is_named_and_costs_nothing() {
    let bad: [(RunOptions<'_>, &str); 6] = [
        (
            RunOptions {
                vcpus: 0,
                ..options(1)
            },
            "at least one vCPU",
        ),
        (
            RunOptions {
                image: &[],
                ..options(1)
            },
            "image is empty",
        ),
        (
            RunOptions {
                memory: 4096,
                image: &[1; 8192],
                ..options(1)
            },
            "does not fit",
        ),
        (
            RunOptions {
                memory: (8 << 20) + 1,
                ..options(1)
            },
            "no size",
        ),
        (
            RunOptions {
                memory: 1 << 39,
                ..options(1)
            },
            "no size",
        ),
        (
            RunOptions {
                vcpus: 1 << 16,
                ..options(1)
            },
            "65536 vCPUs are too many",
        ),
    ];
    for (options, words) in bad {
        let run = run(&machine(1), &options, nothing, nothing);
        assert_eq!(run.report.outcome, Outcome::Error);
        assert!(
            run.error().contains(words),
            "{words:?} in {:?}",
            run.error()
        );
        assert_eq!(run.phases, [Phase::Booted]);
        assert!(run.report.recs.is_empty());
    }
}

#[test]
fn large_host_pages_end_as_well() {
    for page_size in [PageSize::Size16K, PageSize::Size64K] {
        let machine = Machine::new(Config {
            pes: 2,
            dram_bytes: 128 << 20,
            page_size,
            ..Config::default()
        });
        let run = run(
            &machine,
            &options(4),
            |guest| {
                call(guest, &[SYSTEM_OFF]);
            },
            nothing,
        );
        assert_eq!(run.report.outcome, Outcome::Ok);
    }
}
