//! Several processing elements at once, on the same granules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, names};
use machine::{Config, Gpi, HostPe, Machine, RunOptions};
use realm_guest::demo::GuestPe;
use realm_host::rec::{Entry, Exit};
use realm_host::{Host, Ipa, IpaRange, RealmConfig, SmcTransport, VcpuConfig};
use realm_vmm::{Console, Event, Outcome, board, gic};

/// Listens to nothing.
struct Silent;

impl Console for Silent {
    fn event(&self, _: &Event<'_>) {}
}

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: u64 = 16 << 20;
const ALIAS: u64 = 1 << 39;
const SYSTEM_OFF: u64 = 0x8400_0008;
const CPU_ON: u64 = 0xC400_0003;

fn machine(pes: usize) -> Machine {
    Machine::new(Config {
        pes,
        dram_bytes: 128 << 20,
        ..Config::default()
    })
}

fn rmi(pe: &HostPe, command: Command, arguments: &[u64]) -> u64 {
    let mut registers = Registers::call(command.function_id(), arguments);
    pe.smc(&mut registers);
    registers.0[0]
}

fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

#[test]
fn the_host_reaches_no_granule_that_it_has_given_away() {
    let machine = machine(1);
    let pe = machine.host_pe(0);
    let granule = 0x4300_0000;
    pe.write(granule + 8, 0x1234).expect("it is the host's");
    assert_eq!(rmi(&pe, Command::GranuleDelegate, &[granule]), 0);
    assert_eq!(
        pe.read(granule + 8).expect_err("it is not").gpi,
        Some(Gpi::REALM)
    );
    assert_eq!(pe.write(granule, 1).expect_err("it is not").pa, granule);
    assert_eq!(machine.gpi(granule + 4096), Gpi::NON_SECURE);
    assert_eq!(rmi(&pe, Command::GranuleUndelegate, &[granule]), 0);
    assert_eq!(pe.read(granule + 8), Ok(0), "wiped");
    assert_eq!(
        pe.read(0x4020_0000).expect_err("the monitor's own").gpi,
        Some(Gpi::REALM)
    );
    assert_eq!(pe.read(0x10_0000_0000).expect_err("no memory").gpi, None);
}

#[test]
fn granules_change_hands_on_all_processing_elements_at_once() {
    let machine = machine(4);
    let before = machine.snapshot();
    let granules: Vec<u64> = (0..8).map(|n| 0x4300_0000 + n * 4096).collect();
    let taken = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (machine, granules, taken) = (&machine, &granules, &taken);
            scope.spawn(move || {
                let pe = machine.host_pe(n);
                for round in 0..200 {
                    let granule = granules[(round + n) % granules.len()];
                    if rmi(&pe, Command::GranuleDelegate, &[granule]) == 0 {
                        taken.fetch_add(1, Ordering::Relaxed);
                        assert!(
                            pe.read(granule).is_err() || machine.gpi(granule) == Gpi::NON_SECURE
                        );
                    }
                    let _ = pe.write(granule, 0x5EC2E7);
                    rmi(
                        &pe,
                        Command::GranuleUndelegate,
                        &[granules[round % granules.len()]],
                    );
                }
            });
        }
    });
    let pe = machine.host_pe(0);
    for &granule in &granules {
        rmi(&pe, Command::GranuleUndelegate, &[granule]);
    }
    assert!(taken.into_inner() > 8);
    assert_eq!(machine.snapshot().differences(&before), []);
}

#[test]
fn a_store_under_way_does_not_land_in_a_granule_that_was_given_away() {
    static STOP: AtomicBool = AtomicBool::new(false);
    let machine = machine(2);
    machine.install(
        RAM,
        Arc::new(|guest: &GuestCpu| {
            while !STOP.load(Ordering::Relaxed) {
                // While there is no memory, the store is an exit, and made again.
                let _ = guest.store(ALIAS | (RAM + 0x40_0000), 8, 0xBAD);
            }
            call(guest, &[SYSTEM_OFF]);
        }),
    );
    let pe = machine.host_pe(0);
    pe.run(|| {
        let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).expect("a range");
        realm.init_ripas(ram).expect("RAM");
        realm
            .populate(Ipa::new(RAM), b"a program", true)
            .expect("an image");
        realm
            .add_vcpu(VcpuConfig {
                index: 0,
                gprs: [0; 8],
                pc: RAM,
                runnable: true,
            })
            .expect("a vCPU");
        let realm = realm.activate().expect("active");
        std::thread::scope(|scope| {
            let runner = scope.spawn(|| {
                let pe = machine.host_pe(1);
                pe.run(|| {
                    let mut session = realm.rec(0).expect("a REC");
                    loop {
                        match session.enter(&Entry::default()).expect("an exit").exit {
                            Exit::Psci(_) => break,
                            Exit::Mmio(mmio) => {
                                // Shares memory, or finds it shared meanwhile.
                                let _ = mmio.share();
                            }
                            other => panic!("{}", other.name()),
                        }
                    }
                });
            });
            let mut moved = 0;
            while moved < 200 {
                let alias = Ipa::new(ALIAS | (RAM + 0x40_0000));
                let Ok(granule) = realm.share(alias) else {
                    continue;
                };
                // Behind the library's back: the granule goes to the realm world while it is mapped.
                if rmi(&pe, Command::GranuleDelegate, &[granule.get()]) == 0 {
                    let content = &machine
                        .snapshot_of(granule.get())
                        .expect("delegated")
                        .content;
                    assert!(content.is_none(), "a delegated granule is all zero");
                    assert_eq!(rmi(&pe, Command::GranuleUndelegate, &[granule.get()]), 0);
                    moved += 1;
                }
            }
            STOP.store(true, Ordering::Relaxed);
            runner.join().expect("no panic");
        });
        realm.destroy().expect("destroyed");
    });
}

/// The distributor forwards interrupts of group 1, and this vCPU's private ones are in it and enabled.
fn take_interrupts(guest: &GuestCpu) {
    let index = cca_abi::mpidr::index_from_architectural(guest.mpidr());
    let frame = ALIAS | (board::REDISTRIBUTORS + index * gic::REDISTRIBUTOR_SIZE);
    guest.store_device(ALIAS | board::DISTRIBUTOR, 0b10010);
    guest.store_device(frame + 0x14, 0);
    guest.store_device(frame + 0x1_0080, !0);
    guest.store_device(frame + 0x1_0100, !0);
}

#[test]
fn interrupts_go_from_vcpu_to_vcpu() {
    const VCPUS: u64 = 18;
    let machine = machine(2);
    let counter = RAM + 0x40_0000;
    // Each vCPU waits for SGI 3, and passes it to the next one; the last one sends it to vCPU 0.
    let pass_on = |guest: &GuestCpu| {
        let index = cca_abi::mpidr::index_from_architectural(guest.mpidr());
        let next = (index + 1) % VCPUS;
        let target = (next / 16) << 16 | 1 << (next % 16);
        guest
            .write_system(names::ICC_SGI1R_EL1, 3 << 24 | target)
            .expect("sent");
    };
    let wait = |guest: &GuestCpu| {
        let intid = loop {
            match guest.acknowledge_interrupt() {
                Some(intid) => break intid,
                None => guest.wait_for_interrupt(),
            }
        };
        guest.end_of_interrupt(intid);
        assert_eq!(intid, 3);
    };
    let secondary = move |guest: &GuestCpu| {
        take_interrupts(guest);
        guest.atomic_add(counter, 1).expect("memory");
        loop {
            wait(guest);
            pass_on(guest);
        }
    };
    let primary = move |guest: &GuestCpu| {
        take_interrupts(guest);
        guest.write(counter, 1);
        for index in 1..VCPUS {
            let target = cca_abi::mpidr::architectural_from_index(index) & 0xFF_00FF_FFFF;
            assert_eq!(
                call(guest, &[CPU_ON, target, guest.secondary_entry(), 0]),
                0
            );
        }
        while guest.read(counter) < VCPUS {}
        for _ in 0..5 {
            pass_on(guest);
            wait(guest);
        }
        call(guest, &[SYSTEM_OFF]);
    };
    machine.install(RAM, Arc::new(primary));
    machine.install(RAM + machine::cpu::SECONDARY_OFFSET, Arc::new(secondary));
    let options = RunOptions {
        vcpus: VCPUS as usize,
        memory: RAM_BYTES,
        ..RunOptions::new(b"a program")
    };
    let report = machine.run(&options, &Silent);
    assert_eq!((report.outcome, &report.error), (Outcome::Ok, &None));
    assert!(
        report.recs.iter().all(|rec| rec.exits["sysreg"] >= 5),
        "{:?}",
        report.recs
    );
}

#[test]
fn a_program_that_panics_ends_the_run() {
    let machine = machine(2);
    machine.install(RAM, Arc::new(|_: &GuestCpu| panic!("out of ideas")));
    let options = RunOptions {
        memory: RAM_BYTES,
        ..RunOptions::new(b"a program")
    };
    let report = machine.run(&options, &Silent);
    assert_eq!(report.outcome, Outcome::GuestFailed);
    assert!(
        report
            .error
            .is_some_and(|error| error.contains("out of ideas"))
    );
    assert_eq!(report.granules.delegated, report.granules.returned);
}

#[test]
fn a_host_that_panics_ends_the_run() {
    struct Picky;
    impl Console for Picky {
        fn event(&self, event: &Event<'_>) {
            assert!(!matches!(event, Event::Console { .. }), "no lines, please");
        }
    }
    let machine = machine(2);
    let report = machine.run_demo(&RunOptions::new(b"a program"), &Picky);
    assert_eq!(report.outcome, Outcome::Error);
    assert!(
        report
            .error
            .is_some_and(|error| error.contains("no lines, please"))
    );
    assert!(machine.failure().is_some());
}
