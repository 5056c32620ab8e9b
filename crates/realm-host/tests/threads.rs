//! Several processing elements at once: on one realm, and with a realm each.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, Transport};
use realm_host::realm::{Active, Backed};
use realm_host::rec::{Decision, Entry, Exit, PsciRequest};
use realm_host::{
    Host, Ipa, IpaRange, PageSize, PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig,
};
use support::{RAM, RAM_BYTES};

const CPU_OFF: u32 = 0x8400_0002;
const SYSTEM_OFF: u32 = 0x8400_0008;
const PES: usize = 4;

fn machine(page_size: PageSize) -> Machine {
    Machine::new(config(page_size))
}

fn config(page_size: PageSize) -> Config {
    Config {
        pes: PES,
        dram_bytes: 256 << 20,
        page_size,
        ..Config::default()
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
    let (mut added, mut present) = (0, 0);
    let mut session = realm.rec(index).expect("a REC");
    loop {
        let left = session.enter(&Entry::default()).expect("an exit");
        match left.exit {
            Exit::Abort(abort) => match abort.back().expect("memory") {
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

/// On all processing elements at once.
fn on_all(machine: &Machine, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for index in 0..PES {
            let work = &work;
            let pe = machine.host_pe(index);
            scope.spawn(move || pe.run(|| work(index)));
        }
    });
}

#[test]
fn vcpus_that_touch_the_same_memory_at_once_get_one_page() {
    const PAGES: u64 = 64;
    for size in [PageSize::Size4K, PageSize::Size64K] {
        let machine = machine(size);
        machine.install(
            RAM,
            Arc::new(|guest: &GuestCpu| {
                for page in 0..PAGES {
                    // In both blocks, so that tables are raced for too.
                    guest
                        .store(RAM + (page % 2) * (2 << 20) + 0x1000 * (1 + page), 8, 1)
                        .expect("memory");
                }
                guest.call(&mut Registers::call(CPU_OFF, &[]));
            }),
        );
        let before = machine.snapshot();
        let host = machine
            .host_pe(0)
            .run(|| Host::new(machine.transport(), machine.supply()))
            .expect("a monitor");
        let realm = machine.host_pe(0).run(|| build(&host, PES as u64));
        let (added, present) = (AtomicU64::new(0), AtomicU64::new(0));
        on_all(&machine, |index| {
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
        machine.host_pe(0).run(|| realm.destroy()).expect("gone");
        assert_eq!(host.account().delegated, host.account().returned);
        assert_eq!(machine.supply().in_use(), 0);
        assert_eq!(machine.snapshot().differences(&before), []);
        assert_eq!(machine.guest_failures(), [""; 0]);
    }
}

#[test]
fn realms_live_and_die_beside_each_other() {
    const ROUNDS: u64 = 8;
    for size in [PageSize::Size4K, PageSize::Size16K] {
        let machine = machine(size);
        machine.install(
            RAM,
            Arc::new(|guest: &GuestCpu| {
                guest.store(RAM + RAM_BYTES - 8, 8, 1).expect("memory");
                guest.call(&mut Registers::call(SYSTEM_OFF, &[]));
            }),
        );
        let before = machine.snapshot();
        let host = machine
            .host_pe(0)
            .run(|| Host::new(machine.transport(), machine.supply()))
            .expect("a monitor");
        on_all(&machine, |index| {
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
        let account = host.account();
        assert_eq!(
            (account.returned, account.quarantined),
            (account.delegated, 0)
        );
        assert_eq!((host.pages_held(), machine.supply().in_use()), (0, 0));
        assert_eq!(machine.snapshot().differences(&before), []);
        assert_eq!(machine.guest_failures(), [""; 0]);
    }
}

#[test]
fn realms_of_one_to_sixty_four_vcpus_run_on_all_processing_elements() {
    for (size, vcpus) in [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K]
        .into_iter()
        .flat_map(|size| [1, 2, 8, 64].map(|vcpus| (size, vcpus)))
    {
        let machine = machine(size);
        machine.install(
            RAM,
            Arc::new(|guest: &GuestCpu| {
                guest.store(RAM + 0x10_0000, 8, 1).expect("memory");
                guest.call(&mut Registers::call(CPU_OFF, &[]));
            }),
        );
        let before = machine.snapshot();
        let host = machine
            .host_pe(0)
            .run(|| Host::new(machine.transport(), machine.supply()))
            .expect("a monitor");
        for _ in 0..3 {
            let realm = machine.host_pe(0).run(|| build(&host, vcpus));
            let next = AtomicU64::new(0);
            let added = AtomicU64::new(0);
            on_all(&machine, |_| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= vcpus {
                        return;
                    }
                    added.fetch_add(run(&realm, index as usize).0, Ordering::Relaxed);
                }
            });
            assert_eq!(added.into_inner(), 1, "the page is the same for all");
            machine.host_pe(0).run(|| realm.destroy()).expect("gone");
            check_empty(&machine, &host, &before);
        }
    }
}

#[test]
fn thirty_two_realms_at_once_above_either_monitor() {
    const REALMS: usize = 32;
    const ROUNDS: usize = 4;
    for boot in [Machine::new, Machine::strict] {
        for size in [PageSize::Size4K, PageSize::Size64K] {
            let machine = boot(config(size));
            machine.install(
                RAM,
                Arc::new(|guest: &GuestCpu| {
                    guest.store(RAM + RAM_BYTES - 8, 8, 1).expect("memory");
                    guest.call(&mut Registers::call(SYSTEM_OFF, &[]));
                }),
            );
            let before = machine.snapshot();
            let host = machine
                .host_pe(0)
                .run(|| Host::new(machine.transport(), machine.supply()))
                .expect("a monitor");
            for _ in 0..ROUNDS {
                // All of them are there before the first one runs, and all have run before the first one goes.
                let barrier = std::sync::Barrier::new(PES);
                on_all(&machine, |pe| {
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
                check_empty(&machine, &host, &before);
            }
        }
    }
}

fn check_empty<M: PageSupply>(
    machine: &Machine,
    host: &Host<Transport, M>,
    before: &machine::Snapshot,
) {
    let account = host.account();
    assert_eq!(
        (account.returned, account.quarantined),
        (account.delegated, 0)
    );
    assert_eq!((host.pages_held(), machine.supply().in_use()), (0, 0));
    assert_eq!(machine.snapshot().differences(before), []);
    assert_eq!(machine.guest_failures(), [""; 0]);
}
