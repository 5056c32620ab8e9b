//! One realm on the bare library: the host's loop is written out, so that each exit can be looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, Instruction, Transfer};
use machine::{Config, Machine, Time};
use realm_guest::demo::GuestPe;
use realm_host::rec::{Decision, Entry, Exit, PsciRequest};
use realm_host::{Host, Ipa, IpaRange, RealmConfig, VcpuConfig};

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: u64 = 16 << 20;
const ALIAS: u64 = 1 << 39;
const UART: u64 = 0x0900_0000;
const NOTHING: u64 = 0x0A00_0000;
const RSI_REALM_CONFIG: u64 = 0xC400_0196;
const RSI_IPA_STATE_SET: u64 = 0xC400_0197;
const RSI_IPA_STATE_GET: u64 = 0xC400_0198;
const RSI_HOST_CALL: u64 = 0xC400_0199;
const SYSTEM_OFF: u64 = 0x8400_0008;
const CPU_ON: u64 = 0xC400_0003;
const AFFINITY_INFO: u64 = 0xC400_0004;
const CPU_SUSPEND: u64 = 0xC400_0001;
const CPU_OFF: u64 = 0x8400_0002;

fn machine() -> Machine {
    Machine::new(Config {
        pes: 1,
        dram_bytes: 128 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    })
}

fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

/// Runs a realm with these programs, for vCPU 0 and for the others, until it is off; the names of all exits.
fn run(machine: &Machine, vcpus: u64, programs: [fn(&GuestCpu); 2]) -> Vec<&'static str> {
    let pe = machine.host_pe(0);
    for (place, program) in [RAM, RAM + machine::cpu::SECONDARY_OFFSET]
        .into_iter()
        .zip(programs)
    {
        machine.install(place, Arc::new(program));
    }
    let before = machine.snapshot();
    let exits = pe.run(|| {
        let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).expect("a range");
        realm.init_ripas(ram).expect("RAM");
        realm
            .populate(Ipa::new(RAM), b"a program", true)
            .expect("an image");
        let first = VcpuConfig {
            index: 0,
            gprs: [7; 8],
            pc: RAM,
            runnable: true,
        };
        realm.add_vcpu(first).expect("vCPU 0");
        for index in 1..vcpus {
            realm
                .add_vcpu(VcpuConfig::secondary(index))
                .expect("a vCPU");
        }
        let realm = realm.activate().expect("active");
        let mut exits = Vec::new();
        let mut written = Vec::new();
        let mut on = vec![0];
        while !realm.is_off() {
            let index = on.remove(0);
            let mut session = realm.rec(index as usize).expect("a REC");
            let left = session
                .enter(&Entry {
                    trap_wfi: true,
                    ..Entry::default()
                })
                .expect("an exit");
            exits.push(left.exit.name());
            let mut again = true;
            match left.exit {
                Exit::Abort(abort) => {
                    let _ = abort.back().expect("memory");
                }
                Exit::UnprotectedAbort(abort) => {
                    abort.share().expect("shared");
                }
                Exit::Mmio(mmio) if mmio.ipa().get() & !0xFFF == ALIAS | UART => {
                    let value = mmio
                        .data()
                        .map_or(0xFFFF_FFFF_FFFF_FF80 + mmio.size(), |data| {
                            written.push((mmio.size(), data));
                            0
                        });
                    mmio.complete(value);
                }
                Exit::Mmio(mmio) if mmio.ipa().get() & !0xFFF == ALIAS | NOTHING => mmio.abort(),
                Exit::Mmio(mmio) => {
                    mmio.share().expect("shared");
                }
                Exit::HostCall(host_call) => {
                    let mut gprs = host_call.gprs();
                    gprs[0] = gprs[1] + gprs[2];
                    host_call.complete(gprs);
                }
                Exit::RipasChange(change) => {
                    let _ = change.apply().expect("changed");
                }
                Exit::Psci(psci) => {
                    again = !matches!(psci.request(), PsciRequest::CpuOff | PsciRequest::SystemOff);
                    let completed = psci.complete(Decision::Accept).expect("completed");
                    let target = completed.filter(|completion| completion.may_run);
                    on.extend(
                        target
                            .map(|completion| completion.target)
                            .filter(|target| !on.contains(target)),
                    );
                }
                other => panic!("{}", other.name()),
            }
            if again {
                on.push(index);
            }
        }
        realm.destroy().expect("destroyed");
        assert_eq!(host.account().delegated, host.account().returned);
        exits
    });
    assert_eq!(machine.guest_failures(), [""; 0]);
    assert_eq!(machine.snapshot().differences(&before), []);
    assert_eq!(machine.supply().in_use(), 0);
    exits
}

#[test]
fn a_realm_starts_touches_memory_and_ends() {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    let exits = run(
        &machine(),
        1,
        [
            |guest| {
                SEEN.store(guest.register(3), Ordering::SeqCst);
                let page = RAM + RAM_BYTES - 4096;
                guest.write(page, 5);
                assert_eq!(guest.read(page), 5);
                call(guest, &[SYSTEM_OFF]);
            },
            |_| {},
        ],
    );
    assert_eq!(exits, ["sync-data-abort", "psci"]);
    assert_eq!(SEEN.load(Ordering::SeqCst), 7);
}

#[test]
fn device_accesses_are_emulated_with_their_sizes_and_signs() {
    let exits = run(
        &machine(),
        1,
        [
            |guest| {
                let uart = ALIAS | UART;
                assert_eq!(guest.load(uart, 1), Ok(0x81));
                assert_eq!(guest.load(uart, 8), Ok(0xFFFF_FFFF_FFFF_FF88));
                let signed = |size, wide| Transfer {
                    size,
                    register: 20,
                    sign: true,
                    wide,
                    described: true,
                };
                guest
                    .execute(Instruction::Load(uart, signed(1, true)))
                    .expect("emulated");
                assert_eq!(guest.register(20), 0xFFFF_FFFF_FFFF_FF81);
                guest
                    .execute(Instruction::Load(uart, signed(2, false)))
                    .expect("emulated");
                assert_eq!(guest.register(20), 0xFFFF_FF82);
                let nowhere = Transfer {
                    register: 31,
                    ..signed(4, false)
                };
                guest
                    .execute(Instruction::Load(uart, nowhere))
                    .expect("emulated");
                guest.store(uart, 2, 0x1_2345).expect("emulated");
                let abort = guest
                    .load(ALIAS | NOTHING | 0x10, 4)
                    .expect_err("there is nothing");
                assert_eq!(
                    (abort.esr >> 26, abort.esr & 0x3F, abort.far),
                    (0x25, 0x10, ALIAS | NOTHING | 0x10)
                );
                assert_eq!(abort.esr >> 9 & 1, 1, "EA is set");
                call(guest, &[SYSTEM_OFF]);
            },
            |_| {},
        ],
    );
    assert_eq!(
        exits,
        ["mmio"; 7].into_iter().chain(["psci"]).collect::<Vec<_>>()
    );
}

#[test]
fn a_page_is_shared_and_taken_back() {
    let exits = run(
        &machine(),
        1,
        [
            |guest| {
                let page = RAM + 0x40_0000;
                guest.write(page, 1);
                let mut answer = Registers::default();
                answer.0[..5].copy_from_slice(&[RSI_IPA_STATE_SET, page, page + 4096, 0, 1]);
                guest.call(&mut answer);
                assert_eq!(answer.0[..3], [0, page + 4096, 0]);
                let abort = guest.load(page, 8).expect_err("EMPTY");
                assert_eq!((abort.esr & 0x3F, abort.far), (0x10, page));
                guest.write(ALIAS | page, 2);
                assert_eq!(guest.atomic_add(ALIAS | page, 3), Ok(2));
                assert_eq!(guest.read(ALIAS | page), 5);
                assert_eq!(
                    call(guest, &[RSI_IPA_STATE_SET, page, page + 4096, 1, 1]),
                    0
                );
                assert_eq!(guest.read(page), 0);
                assert_eq!(call(guest, &[RSI_REALM_CONFIG, page]), 0);
                assert_eq!(guest.read(page), 40);
                answer.0[..3].copy_from_slice(&[RSI_IPA_STATE_GET, page, page + 4096]);
                guest.call(&mut answer);
                assert_eq!(answer.0[..3], [0, page + 4096, 1]);
                call(guest, &[SYSTEM_OFF]);
            },
            |_| {},
        ],
    );
    assert_eq!(
        exits,
        [
            "sync-data-abort",
            "ripas-change",
            "mmio",
            "ripas-change",
            "sync-data-abort",
            "psci"
        ]
    );
}

#[test]
fn a_host_call_needs_its_page_and_gets_its_answer() {
    let exits = run(
        &machine(),
        1,
        [
            |guest| {
                let page = RAM + 0x60_0000;
                // The structure is where nobody has put memory yet: the call waits for it.
                assert_eq!(call(guest, &[RSI_HOST_CALL, page]), 0);
                guest.write(page + 16, 40);
                guest.write(page + 24, 2);
                assert_eq!(call(guest, &[RSI_HOST_CALL, page]), 0);
                assert_eq!(guest.read(page + 8), 42);
                call(guest, &[SYSTEM_OFF]);
            },
            |_| {},
        ],
    );
    assert_eq!(exits, ["sync-data-abort", "host-call", "host-call", "psci"]);
}

#[test]
fn secondaries_start_stop_and_start_again() {
    static STARTS: AtomicU64 = AtomicU64::new(0);
    let exits = run(
        &machine(),
        2,
        [
            |guest| {
                let entry = guest.secondary_entry();
                assert_eq!(call(guest, &[CPU_ON, 1, entry, 0x55]), 0);
                assert_eq!(call(guest, &[CPU_ON, 1, entry, 0x55]).cast_signed(), -4);
                assert_eq!(call(guest, &[CPU_ON, 2, entry, 0]).cast_signed(), -2);
                while call(guest, &[AFFINITY_INFO, 1, 0]) == 0 {}
                assert_eq!(call(guest, &[CPU_ON, 1, entry, 0x66]), 0);
                while call(guest, &[AFFINITY_INFO, 1, 0]) == 0 {}
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                assert_eq!(guest.mpidr() & 0xFF_00FF_FFFF, 1);
                STARTS.fetch_add(guest.register(0), Ordering::SeqCst);
                // Gives vCPU 0 a turn.
                call(guest, &[CPU_SUSPEND]);
                call(guest, &[CPU_OFF]);
            },
        ],
    );
    assert!(exits.iter().all(|exit| *exit == "psci"), "{exits:?}");
    assert_eq!(STARTS.load(Ordering::SeqCst), 0x55 + 0x66);
}

#[test]
fn a_realm_that_is_destroyed_takes_its_programs_along() {
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let machine = machine();
    for round in 0..3 {
        run(
            &machine,
            2,
            [
                |guest| {
                    let _guard = Guard;
                    assert_eq!(call(guest, &[CPU_ON, 1, guest.secondary_entry(), 0]), 0);
                    while call(guest, &[AFFINITY_INFO, 1, 0]) != 0 {}
                    call(guest, &[SYSTEM_OFF]);
                },
                |guest| {
                    let _guard = Guard;
                    loop {
                        call(guest, &[CPU_SUSPEND]);
                    }
                },
            ],
        );
        assert_eq!(DROPPED.load(Ordering::SeqCst), 2 * (round + 1));
    }
}
