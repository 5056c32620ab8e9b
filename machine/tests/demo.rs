//! The demonstration realm, on all the sizes of machine that people have.

use std::sync::Mutex;

use machine::{Config, Machine, RunOptions, Time};
use realm_host::PageSize;
use realm_vmm::{Console, Event, Outcome, Report};

/// The lines that a realm printed, each with its vCPU.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Console for Log {
    fn event(&self, event: &Event<'_>) {
        if let Event::Console { vcpu, text } = event {
            self.0
                .lock()
                .expect("no panic")
                .push(format!("{vcpu}: {text}"));
        }
    }
}

/// An image of two and a half pages.
fn image() -> Vec<u8> {
    (0..10_240_u32).map(|n| (n % 251) as u8).collect()
}

fn run(config: Config, vcpus: usize) -> (Report, Vec<String>) {
    let machine = Machine::new(config);
    let before = machine.snapshot();
    let log = Log::default();
    let image = image();
    let report = machine.run_demo(
        &RunOptions {
            vcpus,
            ..RunOptions::new(&image)
        },
        &log,
    );
    let lines = log.0.into_inner().expect("no panic");
    let shown = lines.join("\n");
    assert_eq!(report.outcome, Outcome::Ok, "{:?}\n{shown}", report.error);
    assert_eq!(machine.guest_failures(), [""; 0]);
    assert_eq!(report.granules.delegated, report.granules.returned);
    assert_eq!(report.granules.quarantined, 0);
    assert_eq!(machine.supply().in_use(), 0, "all pages are back");
    assert_eq!(
        machine.snapshot().differences(&before),
        [],
        "the monitors hold nothing"
    );
    assert_eq!(report.recs.len(), vcpus);
    (report, lines)
}

fn check_lines(report: &Report, lines: &[String], vcpus: usize) {
    let shown = lines.join("\n");
    assert!(
        lines.contains(&format!("0: demo: initial measurement {}", report.rim)),
        "{}\n{shown}",
        report.rim
    );
    for vcpu in 0..vcpus {
        let said = |what: &str| {
            lines
                .iter()
                .any(|line| line.starts_with(&format!("{vcpu}: demo: vCPU {vcpu} {what}")))
        };
        assert!(
            said("is up") && said("asked the host") && said("took its timer interrupt"),
            "{shown}"
        );
    }
    assert_eq!(
        lines.last().map(String::as_str),
        Some("0: demo: done"),
        "{shown}"
    );
}

#[test]
fn every_number_of_vcpus_on_every_number_of_processing_elements() {
    for pes in [1, 2, 4] {
        for vcpus in [1, 2, 4, 8] {
            let (report, lines) = run(
                Config {
                    pes,
                    dram_bytes: 256 << 20,
                    ..Config::default()
                },
                vcpus,
            );
            check_lines(&report, &lines, vcpus);
        }
    }
}

#[test]
fn counted_time_gives_the_same_run_every_time() {
    let time = Time::Counted { ticks: 50 };
    let config = Config {
        pes: 1,
        dram_bytes: 256 << 20,
        time,
        ..Config::default()
    };
    let first = run(config, 4);
    check_lines(&first.0, &first.1, 4);
    assert_eq!(run(config, 4), first);
    let (report, lines) = run(Config { pes: 2, ..config }, 4);
    check_lines(&report, &lines, 4);
}

#[test]
fn every_page_size() {
    for page_size in [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K] {
        let (report, lines) = run(
            Config {
                pes: 2,
                dram_bytes: 512 << 20,
                page_size,
                ..Config::default()
            },
            2,
        );
        check_lines(&report, &lines, 2);
    }
}

#[test]
fn a_large_machine_costs_what_it_uses() {
    let config = Config {
        pes: 2,
        dram_bytes: 8 << 30,
        ..Config::default()
    };
    let (report, lines) = run(config, 2);
    check_lines(&report, &lines, 2);
}
