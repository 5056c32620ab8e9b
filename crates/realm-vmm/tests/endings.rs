//! How runs end, on the in-process machine: well, badly, and not at all.

use std::sync::{Arc, Mutex};

use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, names};
use machine::{Config, Machine, RunOptions, Time};
use realm_guest::demo::GuestPe;
use realm_host::PageSize;
use realm_vmm::report::{Phase, RecReport};
use realm_vmm::{Console, Event, Outcome, Report, calls};

const RAM: u64 = 0x4000_0000;
const ALIAS: u64 = 1 << 39;
const UART: u64 = ALIAS | 0x0900_0000;
const SECONDARY: u64 = RAM + 0x1000;
const CPU_OFF: u64 = 0x8400_0002;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_RESET: u64 = 0x8400_0009;
const CPU_ON: u64 = 0xC400_0003;
const CPU_SUSPEND: u64 = 0xC400_0001;
const HOST_CALL: u64 = 0xC400_0199;

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<(usize, String)>>,
    phases: Mutex<Vec<Phase>>,
    reports: Mutex<Vec<Report>>,
}

impl Console for Log {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Console { vcpu, text } => self
                .lines
                .lock()
                .expect("no panic")
                .push((*vcpu, text.to_string())),
            Event::Phase { name, .. } => self.phases.lock().expect("no panic").push(*name),
            Event::Report(report) => self.reports.lock().expect("no panic").push(report.clone()),
        }
    }
}

struct Run {
    report: Report,
    lines: Vec<(usize, String)>,
    phases: Vec<Phase>,
}

impl Run {
    fn error(&self) -> &str {
        self.report.error.as_deref().unwrap_or_default()
    }

    fn rec(&self, index: usize) -> &RecReport {
        &self.report.recs[index]
    }
}

fn machine(pes: usize) -> Machine {
    Machine::new(Config {
        pes,
        dram_bytes: 128 << 20,
        time: Time::Counted { ticks: 1000 },
        ..Config::default()
    })
}

/// Runs a realm and checks what holds of each run, however it ends.
fn run(
    machine: &Machine,
    options: &RunOptions<'_>,
    first: fn(&GuestCpu),
    others: fn(&GuestCpu),
) -> Run {
    machine.install(RAM, Arc::new(first));
    machine.install(SECONDARY, Arc::new(others));
    let before = machine.snapshot();
    let log = Log::default();
    let report = machine.run(options, &log);
    assert_eq!(machine.guest_failures(), [""; 0]);
    assert_eq!(
        report.granules.delegated, report.granules.returned,
        "{:?}",
        report.error
    );
    assert_eq!(machine.supply().in_use(), 0);
    assert_eq!(machine.snapshot().differences(&before), []);
    assert_eq!(
        log.reports.into_inner().expect("no panic"),
        std::slice::from_ref(&report),
        "the console has the report, once"
    );
    let (lines, phases) = (
        log.lines.into_inner().expect("no panic"),
        log.phases.into_inner().expect("no panic"),
    );
    Run {
        report,
        lines,
        phases,
    }
}

fn options(vcpus: usize) -> RunOptions<'static> {
    RunOptions {
        vcpus,
        memory: 8 << 20,
        time_limit_ms: 2_000,
        ..RunOptions::new(b"an image")
    }
}

fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

fn say(guest: &GuestCpu, text: &str) {
    text.bytes()
        .for_each(|byte| guest.store_device(UART, byte.into()));
}

fn nothing(_: &GuestCpu) {}

fn wait_for_ever(guest: &GuestCpu) {
    loop {
        guest.wait_for_interrupt();
    }
}

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
            guest.write(RAM + 0x2000, u64::from(calls::FAILED));
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
            guest.write(RAM + 0x2000, u64::from(calls::MEASUREMENT));
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
                (u64::from(calls::SHARED_PAGE), ALIAS | (RAM + 0x5000)),
            ] {
                guest.write(RAM + 0x2000, immediate);
                guest.write(RAM + 0x2008, argument);
                assert_eq!(call(guest, &[HOST_CALL, RAM + 0x2000]), 0);
                assert_eq!(guest.read(RAM + 0x2008), calls::REFUSED);
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
                ALIAS | 0x0A00_0000,
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
fn memory_that_runs_out_is_an_error_and_comes_back() {
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
    let touch_all = |guest: &GuestCpu| {
        for page in (RAM..RAM + (256 << 20)).step_by(0x1000) {
            guest.write(page, 1);
        }
    };
    let run = run(&machine, &big, touch_all, nothing);
    assert_eq!(run.report.outcome, Outcome::Error);
    assert!(run.error().contains("out of memory"), "{:?}", run.error());
}

#[test]
fn software_generated_interrupts_reach_vcpus_that_wait() {
    for pes in [1, 2] {
        let run = run(
            &machine(pes),
            &options(2),
            |guest| {
                take_interrupts(guest);
                call(guest, &[CPU_ON, 1, SECONDARY, 0]);
                // The other one says that it is up.
                assert_eq!(take(guest), 3);
                send(guest, 1, 5);
                assert_eq!(take(guest), 7);
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                take_interrupts(guest);
                send(guest, 0, 3);
                assert_eq!(take(guest), 5);
                send(guest, 0, 7);
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!(
            (run.report.outcome, run.error()),
            (Outcome::Ok, ""),
            "{pes} PEs"
        );
        assert_eq!(run.rec(0).exits.get("sysreg"), Some(&1));
        assert_eq!(run.rec(1).exits.get("sysreg"), Some(&2));
    }
}

fn take_interrupts(guest: &GuestCpu) {
    guest
        .write_system(names::ICC_PMR_EL1, 0xFF)
        .expect("a register");
    guest
        .write_system(names::ICC_IGRPEN1_EL1, 1)
        .expect("a register");
}

fn send(guest: &GuestCpu, target: u64, intid: u64) {
    guest
        .write_system(names::ICC_SGI1R_EL1, intid << 24 | 1 << target)
        .expect("a register");
}

fn take(guest: &GuestCpu) -> u32 {
    loop {
        if let Some(intid) = guest.acknowledge_interrupt() {
            guest.end_of_interrupt(intid);
            return intid;
        }
        guest.wait_for_interrupt();
    }
}

#[test]
fn a_suspended_vcpu_is_woken_by_its_timer() {
    let run = run(
        &machine(1),
        &options(1),
        |guest| {
            take_interrupts(guest);
            guest.arm_timer(guest.counter() + guest.frequency() / 100);
            assert_eq!(call(guest, &[CPU_SUSPEND, 0, 0, 0]), 0);
            assert_eq!(take(guest), 27);
            guest.disarm_timer();
            call(guest, &[SYSTEM_OFF]);
        },
        nothing,
    );
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

#[test]
fn a_vcpu_can_be_turned_off_and_on_again_and_again() {
    for pes in [1, 3] {
        let run = run(
            &machine(pes),
            &options(3),
            |guest| {
                let mut turned_on = 0;
                while turned_on < 20 {
                    let target = 1 + turned_on % 2;
                    match call(guest, &[CPU_ON, target, SECONDARY, 0]).cast_signed() {
                        0 => turned_on += 1,
                        -4 => {
                            guest.arm_timer(guest.counter() + 1000);
                            assert_eq!(call(guest, &[CPU_SUSPEND, 0, 0, 0]), 0);
                        }
                        other => panic!("CPU_ON answers {other}"),
                    }
                }
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!(
            (run.report.outcome, run.error()),
            (Outcome::Ok, ""),
            "{pes} PEs"
        );
        let started = run.rec(1).exits["psci"] + run.rec(2).exits["psci"];
        assert!(
            (18..=20).contains(&started),
            "{started} of 20 were still on when the realm ended"
        );
    }
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
            "the monitor has no room for REC index",
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
