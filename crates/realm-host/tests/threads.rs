//! Several processing elements at once: on one realm, and with a realm each.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, Snapshot, Supply, Transport};
use realm_host::realm::{Active, Backed};
use realm_host::rec::{Abort, Decision, Entry, Exit, PsciRequest};
use realm_host::{
    Error, Host, Ipa, IpaRange, PageSize, PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig,
};
use support::{RAM, RAM_BYTES};

const CPU_OFF: u32 = 0x8400_0002;
const SYSTEM_OFF: u32 = 0x8400_0008;
const PES: usize = 4;
const BLOCK: u64 = 2 << 20;

/// A machine whose realms all run one program, and its state before there was one.
struct Bench {
    machine: Machine,
    before: Snapshot,
}

impl Bench {
    fn new(page_size: PageSize, program: fn(&GuestCpu)) -> Self {
        Self::boot(Machine::new, page_size, program)
    }

    fn boot(boot: fn(Config) -> Machine, page_size: PageSize, program: fn(&GuestCpu)) -> Self {
        let machine = boot(Config {
            pes: PES,
            dram_bytes: 256 << 20,
            page_size,
            ..Config::default()
        });
        machine.install(RAM, Arc::new(program));
        let before = machine.snapshot();
        Self { machine, before }
    }

    fn host(&self) -> Host<Transport, &Supply> {
        self.on_one(|| Host::new(self.machine.transport(), self.machine.supply()))
            .expect("a monitor")
    }

    fn on_one<R>(&self, work: impl FnOnce() -> R) -> R {
        self.machine.host_pe(0).run(work)
    }

    /// On all processing elements at once.
    fn on_all(&self, work: impl Fn(usize) + Sync) {
        std::thread::scope(|scope| {
            for index in 0..PES {
                let work = &work;
                let pe = self.machine.host_pe(index);
                scope.spawn(move || pe.run(|| work(index)));
            }
        });
    }

    /// Checks that everybody has back what is theirs.
    fn check_empty(&self, host: &Host<Transport, &Supply>) {
        let account = host.account();
        assert_eq!(
            (account.returned, account.quarantined),
            (account.delegated, 0)
        );
        assert_eq!((host.pages_held(), self.machine.supply().in_use()), (0, 0));
        assert_eq!(self.machine.snapshot().differences(&self.before), []);
        assert_eq!(self.machine.guest_failures(), [""; 0]);
    }
}

fn build<'h, M: PageSupply>(
    host: &'h Host<Transport, M>,
    vcpus: u64,
) -> Realm<'h, Transport, M, Active> {
    let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
    let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).expect("a range");
    realm.init_ripas(ram).expect("RAM");
    realm
        .populate(Ipa::new(RAM), b"image", true)
        .expect("an image");
    for index in (0..vcpus).rev() {
        realm
            .add_vcpu(VcpuConfig {
                runnable: true,
                pc: RAM,
                ..VcpuConfig::secondary(index)
            })
            .expect("a vCPU");
    }
    realm.activate().expect("active")
}

/// Runs a REC until it is off; how often memory was added for it, and how often somebody else had done that.
fn run<T: SmcTransport, M: PageSupply>(
    realm: &Realm<'_, T, M, Active>,
    index: usize,
) -> (u64, u64) {
    run_with(realm, index, |abort| abort.back())
}

/// As [`run`], with memory from `back`.
fn run_with<T: SmcTransport, M: PageSupply>(
    realm: &Realm<'_, T, M, Active>,
    index: usize,
    back: impl Fn(Abort<'_, T, M>) -> Result<Backed, Error>,
) -> (u64, u64) {
    let (mut added, mut present) = (0, 0);
    let mut session = realm.rec(index).expect("a REC");
    loop {
        let left = session.enter(&Entry::default()).expect("an exit");
        match left.exit {
            Exit::Abort(abort) => match back(abort).expect("memory") {
                Backed::Added => added += 1,
                Backed::Present => present += 1,
                other => panic!("{other:?}"),
            },
            Exit::Psci(call) => match call.request() {
                PsciRequest::CpuOff | PsciRequest::SystemOff => return (added, present),
                _ => drop(call.complete(Decision::Accept).expect("completed")),
            },
            Exit::Interrupt => {}
            other => panic!("{}", other.name()),
        }
    }
}

#[test]
fn vcpus_that_touch_the_same_memory_at_once_get_one_page() {
    const PAGES: u64 = 64;
    for size in [PageSize::Size4K, PageSize::Size64K] {
        let bench = Bench::new(size, |guest| {
            for page in 0..PAGES {
                // In both blocks, so that tables are raced for too.
                guest
                    .store(RAM + (page % 2) * BLOCK + 0x1000 * (1 + page), 8, 1)
                    .expect("memory");
            }
            guest.call(&mut Registers::call(CPU_OFF, &[]));
        });
        let host = bench.host();
        let realm = bench.on_one(|| build(&host, PES as u64));
        let (added, present) = (AtomicU64::new(0), AtomicU64::new(0));
        bench.on_all(|index| {
            let (mine, others) = run(&realm, index);
            added.fetch_add(mine, Ordering::Relaxed);
            present.fetch_add(others, Ordering::Relaxed);
        });
        assert_eq!(
            added.into_inner(),
            PAGES,
            "each page once; {} times somebody was faster",
            present.into_inner()
        );
        bench.on_one(|| realm.destroy()).expect("gone");
        bench.check_empty(&host);
    }
}

#[test]
fn vcpus_that_touch_the_same_block_at_once_get_one_block() {
    for size in [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K] {
        let bench = Bench::new(size, |guest| {
            for page in (0..BLOCK).step_by(0x1000) {
                guest.store(RAM + BLOCK + page, 8, 1).expect("memory");
            }
            guest.call(&mut Registers::call(CPU_OFF, &[]));
        });
        let host = bench.host();
        for _ in 0..4 {
            let realm = bench.on_one(|| build(&host, PES as u64));
            let added = AtomicU64::new(0);
            bench.on_all(|index| {
                let (mine, _) = run_with(&realm, index, |abort| abort.back_block());
                added.fetch_add(mine, Ordering::Relaxed);
            });
            assert_eq!(added.into_inner(), 1, "one block for all");
            let entry = bench.on_one(|| realm.entry(Ipa::new(RAM + BLOCK)));
            assert_eq!(entry.map(|entry| entry.level), Ok(2), "it is one");
            bench.on_one(|| realm.destroy()).expect("gone");
            bench.check_empty(&host);
        }
    }
}

#[test]
fn realms_live_and_die_beside_each_other() {
    const ROUNDS: u64 = 8;
    for size in [PageSize::Size4K, PageSize::Size16K] {
        let bench = Bench::new(size, touch_and_end);
        let host = bench.host();
        bench.on_all(|index| {
            for round in 0..ROUNDS {
                let realm = build(&host, 1 + (index as u64 + round) % 3);
                assert_eq!(run(&realm, 0).0, 1);
                if round % 2 == 0 {
                    realm.destroy().expect("gone");
                } else {
                    drop(realm);
                }
            }
        });
        bench.check_empty(&host);
    }
}

#[test]
fn realms_of_one_to_sixty_four_vcpus_run_on_all_processing_elements() {
    for (size, vcpus) in [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K]
        .into_iter()
        .flat_map(|size| [1, 2, 8, 64].map(|vcpus| (size, vcpus)))
    {
        let bench = Bench::new(size, |guest| {
            guest.store(RAM + 0x10_0000, 8, 1).expect("memory");
            guest.call(&mut Registers::call(CPU_OFF, &[]));
        });
        let host = bench.host();
        for _ in 0..3 {
            let realm = bench.on_one(|| build(&host, vcpus));
            let next = AtomicU64::new(0);
            let added = AtomicU64::new(0);
            bench.on_all(|_| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= vcpus {
                        return;
                    }
                    added.fetch_add(run(&realm, index as usize).0, Ordering::Relaxed);
                }
            });
            assert_eq!(added.into_inner(), 1, "the page is the same for all");
            bench.on_one(|| realm.destroy()).expect("gone");
            bench.check_empty(&host);
        }
    }
}

#[test]
fn thirty_two_realms_at_once_above_either_monitor() {
    const REALMS: usize = 32;
    const ROUNDS: usize = 4;
    for boot in [Machine::new, Machine::strict] {
        for size in [PageSize::Size4K, PageSize::Size64K] {
            let bench = Bench::boot(boot, size, touch_and_end);
            let host = bench.host();
            for _ in 0..ROUNDS {
                // All of them are there before the first one runs, and all have run before the first one goes.
                let barrier = std::sync::Barrier::new(PES);
                bench.on_all(|pe| {
                    let realms: Vec<_> = (0..REALMS / PES)
                        .map(|n| build(&host, 1 + ((n + pe) % 3) as u64))
                        .collect();
                    barrier.wait();
                    realms
                        .iter()
                        .for_each(|realm| assert_eq!(run(realm, 0).0, 1));
                    barrier.wait();
                    realms
                        .into_iter()
                        .for_each(|realm| realm.destroy().expect("gone"));
                });
                bench.check_empty(&host);
            }
        }
    }
}

/// Touches the last page and switches the realm off.
fn touch_and_end(guest: &GuestCpu) {
    guest.store(RAM + RAM_BYTES - 8, 8, 1).expect("memory");
    guest.call(&mut Registers::call(SYSTEM_OFF, &[]));
}
