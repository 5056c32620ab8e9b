//! PSCI calls that cannot be completed as they were meant: the target is gone, or somebody switches the realm off.

mod support;

use std::sync::Arc;

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine};
use realm_host::realm::Active;
use realm_host::rec::{Completion, Decision, EnterError, Entry, Exit, PsciRequest};
use realm_host::{
    Error, Host, Ipa, IpaRange, PageSize, PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig,
};
use support::{Bench, Fault, RAM};

const CPU_ON: u32 = 0xC400_0003;
const CPU_OFF: u32 = 0x8400_0002;
const SYSTEM_OFF: u32 = 0x8400_0008;
/// Where vCPU 2 starts, which switches the realm off.
const KILLER: u64 = RAM + 0x80;
const INPUT: u64 = 1;

/// Turns vCPU 1 on and says how that went, as the last thing that it stores.
fn starter(guest: &GuestCpu) {
    let mut registers = Registers::call(CPU_ON, &[1, RAM + 0x40, 0]);
    guest.call(&mut registers);
    guest.call(&mut Registers::call(CPU_OFF, &[]));
}

/// A realm of three: vCPU 0 turns 1 on, vCPU 2 switches the realm off.
fn three<'h, T: SmcTransport, M: PageSupply>(host: &'h Host<T, M>) -> Realm<'h, T, M, Active> {
    let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
    let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + (2 << 20))).expect("a range");
    realm.init_ripas(ram).expect("RAM");
    realm
        .populate(Ipa::new(RAM), b"image", true)
        .expect("an image");
    for (index, pc, runnable) in [(0, RAM, true), (1, RAM, false), (2, KILLER, true)] {
        let vcpu = VcpuConfig {
            pc,
            runnable,
            ..VcpuConfig::secondary(index)
        };
        realm.add_vcpu(vcpu).expect("a vCPU");
    }
    realm.activate().expect("active")
}

fn install(machine: &Machine) {
    machine.install(RAM, Arc::new(starter));
    machine.install(
        RAM + 0x40,
        Arc::new(|guest: &GuestCpu| {
            guest.call(&mut Registers::call(CPU_OFF, &[]));
        }),
    );
    machine.install(
        KILLER,
        Arc::new(|guest: &GuestCpu| {
            guest.call(&mut Registers::call(SYSTEM_OFF, &[]));
        }),
    );
}

/// Enters a REC until it makes a PSCI call, which stays pending: the call.
fn until_psci<T: SmcTransport, M: PageSupply>(
    realm: &Realm<'_, T, M, Active>,
    index: usize,
) -> PsciRequest {
    let mut session = realm.rec(index).expect("a REC");
    for _ in 0..100 {
        match session.enter(&Entry::default()).expect("an exit").exit {
            Exit::Psci(call) => return call.request(),
            Exit::Abort(abort) => drop(abort.back().expect("memory")),
            Exit::Interrupt => {}
            other => panic!("{}", other.name()),
        }
    }
    panic!("REC {index} makes no PSCI call");
}

#[test]
fn a_target_that_is_gone_stops_nobody_but_its_caller() {
    let bench = Bench::new(PageSize::Size4K);
    install(&bench.machine);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = three(host);
        assert_eq!(until_psci(&realm, 0), PsciRequest::CpuOn { target: 1 });
        // What a monitor says whose REC 1 is gone: `target_state`.
        *bench.fault.lock() = Fault::Every(Command::PsciComplete, INPUT);
        let mut session = realm.rec(0).expect("a REC");
        let completed = session.complete_psci(Decision::Accept);
        assert_eq!(completed, Err(Error::PsciTarget { target: 1 }));
        let pending = PsciRequest::CpuOn { target: 1 };
        assert_eq!(session.pending_psci(), Some(pending));
        let entered = session.enter(&Entry::default()).err();
        assert_eq!(entered, Some(EnterError::PsciPending(pending)));
        drop(session);
        *bench.fault.lock() = Fault::None;
        assert_eq!(until_psci(&realm, 2), PsciRequest::SystemOff);
        assert!(realm.is_off());
        realm.destroy().expect("gone");
        bench.check_empty(host, "a call that nobody could complete");
    });
}

#[test]
fn a_realm_that_is_switched_off_before_a_call_is_completed_wants_no_answer() {
    for fault in [
        Fault::None,
        Fault::Every(Command::PsciComplete, INPUT),
        Fault::Every(Command::PsciComplete, 0x102),
    ] {
        let bench = Bench::new(PageSize::Size4K);
        install(&bench.machine);
        bench.host(Fault::None, u64::MAX, |host| {
            let realm = three(host);
            assert_eq!(until_psci(&realm, 0), PsciRequest::CpuOn { target: 1 });
            assert_eq!(until_psci(&realm, 2), PsciRequest::SystemOff);
            *bench.fault.lock() = fault;
            let mut session = realm.rec(0).expect("a REC");
            let moot = Completion {
                target: 1,
                may_run: false,
            };
            assert_eq!(session.complete_psci(Decision::Accept), Ok(Some(moot)));
            assert!(matches!(
                session.enter(&Entry::default()).err(),
                Some(EnterError::RealmOff)
            ));
            drop(session);
            *bench.fault.lock() = Fault::None;
            realm.destroy().expect("gone");
            bench.check_empty(host, "off");
        });
    }
}

#[test]
fn cpu_on_races_system_off() {
    let (mut started, mut moot) = (0, 0);
    for boot in [Machine::new, Machine::strict] {
        let machine = boot(Config {
            pes: 2,
            dram_bytes: 64 << 20,
            ..Config::default()
        });
        install(&machine);
        let before = machine.snapshot();
        let host = machine
            .host_pe(0)
            .run(|| Host::new(machine.transport(), machine.supply()))
            .expect("a monitor");
        for _ in 0..50 {
            let realm = machine.host_pe(0).run(|| three(&host));
            std::thread::scope(|scope| {
                let (caller, killer) = (machine.host_pe(0), machine.host_pe(1));
                let realm = &realm;
                scope.spawn(move || killer.run(|| until_psci(realm, 2)));
                let run = scope.spawn(move || caller.run(|| turn_on(realm)));
                match run.join().expect("no panic") {
                    true => started += 1,
                    false => moot += 1,
                }
            });
            assert!(realm.is_off());
            machine.host_pe(0).run(|| realm.destroy()).expect("gone");
        }
        assert_eq!(host.account().delegated, host.account().returned);
        assert_eq!(machine.supply().in_use(), 0);
        assert_eq!(machine.snapshot().differences(&before), []);
    }
    support::tell(&format!(
        "CPU_ON against SYSTEM_OFF: {started} times the target could run, {moot} times the realm was off"
    ));
}

/// Runs REC 0 until it is off, or the realm is: whether REC 1 was turned on.
fn turn_on<T: SmcTransport, M: PageSupply>(realm: &Realm<'_, T, M, Active>) -> bool {
    let mut session = realm.rec(0).expect("a REC");
    let mut may_run = false;
    for _ in 0..1000 {
        let left = match session.enter(&Entry::default()) {
            Ok(left) => left,
            Err(EnterError::RealmOff) => return may_run,
            Err(error) => panic!("{error}"),
        };
        match left.exit {
            Exit::Psci(call) if call.request() == PsciRequest::CpuOff => return may_run,
            Exit::Psci(call) => {
                let completed = call.complete(Decision::Accept).expect("completed, or moot");
                may_run |= completed.is_some_and(|completion| completion.may_run);
            }
            Exit::Abort(abort) => drop(abort.back()),
            Exit::Interrupt => {}
            other => panic!("{}", other.name()),
        }
    }
    panic!("REC 0 does not end");
}
