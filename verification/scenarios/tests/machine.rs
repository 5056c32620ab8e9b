//! The scenarios on the in-process machine.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use cca_abi::smccc::Registers;
use machine::cpu::SECONDARY_OFFSET;
use machine::{Config, HostPe, Machine, Snapshot, Time};
use realm_guest::demo::PROGRAM_SIZE;
use realm_guest::puppet;
use realm_host::{PageAddress, PageCount, PageSize, PageSupply, SmcTransport};
use realm_token::{PUBLIC_KEY_SIZE, development};
use realm_vmm::HostPe as _;
use scenarios::{Host, Needs, NoOtherPe, Scenario, run_some};

/// First IPA of the realm that obeys, where its program starts.
const PUPPET: u64 = 0x4000_0000;
/// Where that program has the vCPUs start that it turns on.
const SECONDARY: u64 = PUPPET + SECONDARY_OFFSET;

/// A machine that scenarios run on.
#[derive(Clone, Copy)]
struct Kind {
    boot: fn(Config) -> Machine,
    /// Whether there is a key to attest with.
    attests: bool,
    /// Whether the realm monitor is ours, as it is.
    own_monitor: bool,
}

const USUAL: Kind = Kind {
    boot: Machine::new,
    attests: true,
    own_monitor: true,
};
const WITHOUT_IDENTITY: Kind = Kind {
    boot: Machine::without_identity,
    attests: false,
    ..USUAL
};
const STRICT: Kind = Kind {
    boot: Machine::strict,
    own_monitor: false,
    ..USUAL
};

struct ScenarioHost {
    machine: Machine,
    kind: Kind,
    pe: RefCell<HostPe>,
    /// Calls for the other PE, and their results.
    elsewhere: (Sender<Registers>, Receiver<Registers>),
    /// A granule of the Secure world.
    foreign: u64,
    /// Snapshots that were given a number: their place.
    snapshots: RefCell<Vec<Snapshot>>,
}

impl ScenarioHost {
    fn new(kind: Kind) -> Self {
        let machine = (kind.boot)(Config {
            pes: 2,
            dram_bytes: 128 << 20,
            page_size: PageSize::Size4K,
            time: Time::Real,
        });
        machine.install(
            PUPPET,
            Arc::new(|pe| puppet::run(pe, PUPPET + PROGRAM_SIZE)),
        );
        machine.install(
            SECONDARY,
            Arc::new(|pe| {
                let page = pe.register(0);
                puppet::run(pe, page);
            }),
        );
        let pe = machine.host_pe(0);
        let mut other = machine.host_pe(1);
        let (call, calls) = channel::<Registers>();
        let (result, results) = channel();
        thread::spawn(move || {
            // Ends when the scenarios have ended and drop their end of the channel.
            while let Ok(mut registers) = calls.recv() {
                other.smc(&mut registers);
                other.acknowledge_interrupts();
                if result.send(registers).is_err() {
                    break;
                }
            }
        });
        let foreign = machine
            .supply()
            .allocate(PageCount::ONE, 4096)
            .expect("the machine has memory")
            .get();
        machine.give_to_secure_world(foreign);
        Self {
            machine,
            kind,
            pe: RefCell::new(pe),
            elsewhere: (call, results),
            foreign,
            snapshots: RefCell::default(),
        }
    }
}

impl Host for ScenarioHost {
    fn smc(&self, registers: &mut Registers) {
        self.pe.borrow().smc(registers);
    }

    fn allocate(&self) -> u64 {
        self.allocate_contiguous(1)
    }

    fn allocate_contiguous(&self, granules: u64) -> u64 {
        self.machine
            .supply()
            .allocate(PageCount::new(granules), granules * 4096)
            .expect("the machine has memory left")
            .get()
    }

    fn free(&self, pa: u64) {
        let page = PageAddress::new(pa, PageSize::Size4K).expect("a page");
        self.machine.supply().free(page, PageCount::ONE);
    }

    fn read(&self, pa: u64, word: usize) -> u64 {
        self.pe
            .borrow()
            .read(pa + 8 * word as u64)
            .expect("Non-secure memory")
    }

    fn write(&self, pa: u64, word: usize, value: u64) {
        self.pe
            .borrow()
            .write(pa + 8 * word as u64, value)
            .expect("Non-secure memory");
    }

    fn device(&self) -> u64 {
        0x0900_0000
    }

    fn outside(&self) -> u64 {
        0x40_0000_0000
    }

    fn puppet_image(&self) -> &[u64] {
        // The program is installed in the machine; its address needs one page of memory.
        &[0]
    }

    fn take_interrupts(&self) {
        self.pe.borrow_mut().acknowledge_interrupts();
    }

    fn counter(&self) -> u64 {
        realm_vmm::HostPe::counter(&*self.pe.borrow())
    }

    fn interrupt_at(&self, deadline: Option<u64>) {
        let mut pe = self.pe.borrow_mut();
        match deadline {
            Some(deadline) => pe.arm_slice(deadline),
            None => pe.disarm_slice(),
        }
    }

    fn attests(&self) -> bool {
        self.kind.attests
    }

    fn platform_key(&self) -> Option<[u8; PUBLIC_KEY_SIZE]> {
        Some(development::platform_key(&development::DEFAULT_SEED).public_key())
    }

    fn foreign(&self) -> Option<u64> {
        Some(self.foreign)
    }

    fn start_elsewhere(&self, registers: Registers) -> Result<(), NoOtherPe> {
        self.elsewhere.0.send(registers).map_err(|_| NoOtherPe)
    }

    fn finish_elsewhere(&self) -> Registers {
        loop {
            self.pe.borrow_mut().kick_others();
            if let Ok(registers) = self.elsewhere.1.recv_timeout(Duration::from_millis(1)) {
                return registers;
            }
        }
    }

    fn poll_elsewhere(&self) -> Option<Registers> {
        self.elsewhere.1.recv_timeout(Duration::from_millis(1)).ok()
    }

    /// PEs have no caches of protection, so one is as good as all.
    fn probe(&self, pa: u64) -> Vec<Option<u64>> {
        vec![self.pe.borrow().read(pa).ok()]
    }

    fn has_own_monitor(&self) -> bool {
        self.kind.own_monitor
    }

    fn snapshot(&self) -> Option<u64> {
        let snapshot = self.machine.snapshot();
        let mut known = self.snapshots.borrow_mut();
        let place = known.iter().position(|other| *other == snapshot);
        Some(place.unwrap_or_else(|| {
            known.push(snapshot);
            known.len() - 1
        }) as u64)
    }
}

/// Runs the scenarios that `choose` takes on a new machine: how many passed. SCENARIO in the environment, a part of their
/// names, takes fewer; then nothing can be said about how many there must be.
fn run(kind: Kind, choose: impl Fn(&Scenario) -> bool) -> Option<usize> {
    let host = ScenarioHost::new(kind);
    let mut failures = Vec::new();
    let only = std::env::var("SCENARIO").ok();
    let summary = run_some(
        &host,
        |scenario| {
            choose(scenario)
                && only
                    .as_ref()
                    .is_none_or(|only| scenario.name().contains(only))
        },
        |scenario, result| {
            println!(
                "{}: {}",
                scenario.name(),
                result.map_or_else(|failure| failure.0.as_str(), |()| "ok")
            );
            if let Err(failure) = result {
                failures.push(format!("{}: {}", scenario.name(), failure.0));
            }
            // States of finished scenarios do not come back, but for the first: nothing is delegated.
            host.snapshots.borrow_mut().truncate(1);
        },
    );
    println!(
        "{} scenarios passed, {} failed",
        summary.passed, summary.failed
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    only.is_none().then_some(summary.passed)
}

#[test]
fn all_scenarios_hold_on_the_in_process_machine() {
    let passed = run(USUAL, |_| true);
    assert!(
        passed.is_none_or(|passed| passed > 300),
        "only {passed:?} scenarios ran"
    );
}

#[test]
fn all_scenarios_hold_above_the_strict_monitor() {
    let passed = run(STRICT, |_| true);
    assert!(
        passed.is_none_or(|passed| passed > 300),
        "only {passed:?} scenarios ran"
    );
}

#[test]
fn scenarios_without_a_key_hold_on_a_machine_without_identity() {
    let passed = run(WITHOUT_IDENTITY, |scenario| {
        scenario.needs() == Needs::NoKey
    });
    assert!(passed != Some(0), "no scenario ran");
}
