//! The demonstration realm on this machine: what `suzerain run --machine model` does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use realm_guest::demo::{self, Board};
use realm_host::Host;
use realm_vmm::{Config, Console, Event, Outcome, RealmMachine, Report, Segment};

use crate::cpu::{GuestCpu, SECONDARY_OFFSET};
use crate::guests::message;
use crate::host_pe::HostPe;
use crate::machine::{Machine, Stopped};
use crate::monitor_platform::on;

/// The realm to run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions<'a> {
    /// How many vCPUs, at least 1.
    pub vcpus: usize,
    /// Bytes of the realm's memory: a multiple of 4 KiB, at least [`demo::MINIMUM_MEMORY`].
    pub memory: u64,
    /// The SVE vector length in bits; 0 for a realm without SVE.
    pub sve_bits: u32,
    /// The image that is loaded and measured. What runs is the same program, in Rust.
    pub image: &'a [u8],
    /// After how many milliseconds of the machine's time the run is given up; 0 for never.
    pub time_limit_ms: u64,
    /// How long a vCPU runs before another one gets the processing element, in microseconds.
    pub slice_us: u64,
    /// What the realm is given when it asks for a challenge.
    pub challenge: [u64; 8],
}

impl<'a> RunOptions<'a> {
    /// One vCPU, 64 MiB, half a minute.
    pub fn new(image: &'a [u8]) -> Self {
        Self {
            vcpus: 1,
            memory: 64 << 20,
            sve_bits: 0,
            image,
            time_limit_ms: 30_000,
            slice_us: Config::DEFAULT_SLICE_US,
            challenge: [0; 8],
        }
    }
}

impl Machine {
    /// Runs the demonstration realm: [`Machine::run`] with its programs.
    pub fn run_demo(&self, options: &RunOptions<'_>, console: &(impl Console + Sync)) -> Report {
        self.install_demo();
        self.run(options, console)
    }

    /// [Installs](Machine::install) the demonstration's programs where raw images start.
    pub fn install_demo(&self) {
        self.install(Config::RAM_BASE, Arc::new(primary));
        self.install(Config::RAM_BASE + SECONDARY_OFFSET, Arc::new(secondary));
    }

    /// Builds a realm, runs the programs that are [installed](Machine::install) in it on all processing elements,
    /// and takes it apart. vCPU 0 starts at [`Config::RAM_BASE`]. `console` is told of everything as it happens, by
    /// all processing elements at once.
    ///
    /// Whatever goes wrong is in the report, bugs of the monitors included: the machine is of no use after one of
    /// those.
    pub fn run(&self, options: &RunOptions<'_>, console: &(impl Console + Sync)) -> Report {
        let segments = [Segment {
            ipa: Config::RAM_BASE,
            bytes: options.image,
        }];
        let config = Config {
            vcpus: options.vcpus,
            sve_bits: options.sve_bits,
            time_limit_ms: options.time_limit_ms,
            slice_us: options.slice_us,
            challenge: options.challenge,
            ..Config::raw(options.memory, &segments)
        };
        let mut pe = self.host_pe(0);
        pe.stop_with_guests();
        let judge = Judge {
            machine: self,
            console,
        };
        let report = catch_unwind(AssertUnwindSafe(|| {
            on(self.board(), 0, || self.run_realm(&config, &judge, &mut pe))
        }));
        let report = report.unwrap_or_else(|cause| {
            self.fail(&*cause);
            let report = judge.amend(Report {
                outcome: Outcome::Error,
                error: None,
                rim: String::new(),
                token: None,
                recs: Vec::new(),
                granules: Default::default(),
            });
            console.event(&Event::Report(report.clone()));
            report
        });
        judge.amend(report)
    }

    fn run_realm<C: Console + Sync>(
        &self,
        config: &Config<'_>,
        console: &C,
        pe: &mut HostPe,
    ) -> Report {
        let host = match Host::new(self.transport(), self.supply()) {
            Ok(host) => host,
            Err(error) => panic!("no realms on this machine: {error}"),
        };
        let realm = match RealmMachine::new(&host, console, config, pe) {
            Ok(realm) => realm,
            Err(report) => return *report,
        };
        std::thread::scope(|scope| {
            for index in 1..self.pes() {
                let realm = &realm;
                std::thread::Builder::new()
                    .name(format!("pe-{index}"))
                    .spawn_scoped(scope, move || {
                        self.guarded(|| {
                            let mut pe = self.host_pe(index);
                            pe.stop_with_guests();
                            on(self.board(), index, || realm.run_pe(&mut pe));
                        });
                    })
                    .expect("the computer has threads left");
            }
            self.guarded(|| realm.run_pe(pe));
        });
        realm.teardown(pe)
    }

    /// Runs a processing element's part of the host; if it panics, everybody stops.
    pub(crate) fn guarded(&self, code: impl FnOnce()) {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(code)) {
            self.fail(&*cause);
        }
    }

    /// Something has panicked: everybody stops.
    fn fail(&self, cause: &(dyn Any + Send)) {
        if !cause.is::<Stopped>() {
            self.stop(message(cause));
        }
    }
}

/// Puts into the report what only the machine knows.
struct Judge<'m, C> {
    machine: &'m Machine,
    console: &'m C,
}

impl<C: Console> Judge<'_, C> {
    fn amend(&self, mut report: Report) -> Report {
        if let Some(bug) = self.machine.failure() {
            report.outcome = Outcome::Error;
            report.error = Some(format!("the machine has stopped: {bug}"));
        } else if let Some(failure) = self.machine.guest_failures().first() {
            report.outcome = Outcome::GuestFailed;
            report.error = Some(format!("a program in the realm has stopped: {failure}"));
        }
        report
    }
}

impl<C: Console> Console for Judge<'_, C> {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Report(report) => self
                .console
                .event(&Event::Report(self.amend(report.clone()))),
            event => self.console.event(event),
        }
    }
}

fn primary(guest: &GuestCpu) {
    let [memory_base, memory_size, uart, distributor, redistributors] =
        [0, 1, 2, 3, 4].map(|n| guest.register(n));
    demo::run(
        guest,
        Board {
            memory_base,
            memory_size,
            uart,
            distributor,
            redistributors,
        },
    );
}

fn secondary(guest: &GuestCpu) {
    demo::run_secondary(guest, guest.register(0));
}
