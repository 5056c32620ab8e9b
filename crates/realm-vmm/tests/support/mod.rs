//! Runs of realms on the in-process machine, checked for what holds of each, however it ends.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "shared by several tests, each of which uses a part"
)]

use std::sync::{Arc, Mutex};

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, RunOptions, Time};
use realm_guest::demo::GuestPe;
use realm_vmm::report::{Phase, RecReport};
use realm_vmm::{Console, Event, Report};

pub const RAM: u64 = 0x4000_0000;
pub const ALIAS: u64 = 1 << 39;
pub const UART: u64 = ALIAS | 0x0900_0000;
pub const SECONDARY: u64 = RAM + 0x1000;
pub const CPU_OFF: u64 = 0x8400_0002;
pub const SYSTEM_OFF: u64 = 0x8400_0008;
pub const SYSTEM_RESET: u64 = 0x8400_0009;
pub const CPU_ON: u64 = 0xC400_0003;
pub const CPU_SUSPEND: u64 = 0xC400_0001;
pub const HOST_CALL: u64 = 0xC400_0199;

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

pub struct Run {
    pub report: Report,
    pub lines: Vec<(usize, String)>,
    pub phases: Vec<Phase>,
}

impl Run {
    pub fn error(&self) -> &str {
        self.report.error.as_deref().unwrap_or_default()
    }

    pub fn rec(&self, index: usize) -> &RecReport {
        &self.report.recs[index]
    }
}

pub fn machine(pes: usize) -> Machine {
    Machine::new(Config {
        pes,
        dram_bytes: 128 << 20,
        time: Time::Counted { ticks: 1000 },
        ..Config::default()
    })
}

/// Runs a realm and checks what holds of each run, however it ends.
pub fn run(
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

pub fn options(vcpus: usize) -> RunOptions<'static> {
    RunOptions {
        vcpus,
        memory: 8 << 20,
        time_limit_ms: 2_000,
        ..RunOptions::new(b"an image")
    }
}

pub fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

pub fn say(guest: &GuestCpu, text: &str) {
    text.bytes()
        .for_each(|byte| guest.store_device(UART, byte.into()));
}

pub fn nothing(_: &GuestCpu) {}

pub fn wait_for_ever(guest: &GuestCpu) {
    loop {
        guest.wait_for_interrupt();
    }
}
