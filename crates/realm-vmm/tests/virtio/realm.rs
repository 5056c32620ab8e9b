//! A device of a realm that runs: its memory is what the realm shares.

use std::sync::Arc;

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine, Time};
use realm_host::rec::{Entry, Exit};
use realm_host::{Host, Ipa, IpaRange, RealmConfig, VcpuConfig};
use realm_vmm::bus::{NotShared, SharedMemory};
use realm_vmm::memory::RealmMemory;
use realm_vmm::virtio::{Overflow, Slots, console, slot_base};

use crate::memory::ALIAS;

const RAM: u64 = 0x4000_0000;
const RAM_BYTES: u64 = 8 << 20;
const RSI_IPA_STATE_SET: u64 = 0xC400_0197;
const SYSTEM_OFF: u64 = 0x8400_0008;
/// Three pages that the realm shares: the rings, a buffer for input that it does not touch before, and what it prints.
const SHARED: u64 = RAM + 0x10_0000;
const INPUT: u64 = SHARED + 0x1000 - 2;
const OUTPUT: u64 = SHARED + 0x2000;

fn call(guest: &GuestCpu, arguments: &[u64]) -> u64 {
    let mut registers = Registers::default();
    registers.0[..arguments.len()].copy_from_slice(arguments);
    guest.call(&mut registers);
    registers.0[0]
}

/// A driver that gets a word from its console and prints it.
fn program(guest: &GuestCpu) {
    let shared = [RSI_IPA_STATE_SET, SHARED, SHARED + 0x3000, 0, 0];
    assert_eq!(call(guest, &shared), 0);
    let set = |offset, value| {
        let address = ALIAS | slot_base(0) | offset;
        guest.store(address, 4, value).expect("a register");
    };
    let put = |address, size, value| {
        guest.store(ALIAS | address, size, value).expect("shared");
    };
    let get = |address, size| guest.load(ALIAS | address, size).expect("shared");
    set(0x70, 3);
    set(0x24, 1);
    set(0x20, 1);
    set(0x70, 11);
    for queue in 0..2 {
        let rings = SHARED + 0x100 * queue;
        set(0x30, queue);
        set(0x38, 2);
        for (offset, part) in [(0x80, 0), (0x90, 0x40), (0xA0, 0x60)] {
            set(offset, rings + part);
            // One of them with the bit of the alias, one without.
            set(offset + 4, queue << 7);
        }
        put(rings, 8, [INPUT, OUTPUT][queue as usize]);
        put(rings + 8, 4, 5);
        put(rings + 12, 4, 2 * (1 - queue));
        // The buffer for input is available from the start.
        put(rings + 0x40, 8, (1 - queue) << 16);
        set(0x44, 1);
    }
    put(OUTPUT, 8, u64::from_le_bytes(*b"........"));
    set(0x70, 15);
    // The host has sent five bytes, which cross from one page to the next.
    while get(SHARED + 0x62, 2) == 0 {
        let _ = guest.load(ALIAS | slot_base(0) | 0x60, 4);
    }
    assert_eq!(get(SHARED + 0x68, 4), 5);
    for n in 0..5 {
        put(OUTPUT + n, 1, get(INPUT + n, 1) ^ 0x20);
    }
    put(SHARED + 0x142, 2, 1);
    set(0x50, 1);
    assert_eq!(get(SHARED + 0x162, 2), 1);
    call(guest, &[SYSTEM_OFF]);
}

#[test]
fn a_realm_prints_through_pages_that_it_shares() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 128 << 20,
        time: Time::Counted { ticks: 100 },
        ..Config::default()
    });
    machine.install(RAM, Arc::new(program));
    let (device, port) = console(Overflow::Wait);
    let mut slots = Slots::new();
    slots.add(device).expect("a slot");
    assert_eq!(port.send_input(b"hello"), 5);
    machine.host_pe(0).run(|| {
        let host = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + RAM_BYTES)).expect("a range");
        realm.init_ripas(ram).expect("RAM");
        let first = VcpuConfig {
            index: 0,
            gprs: [0; 8],
            pc: RAM,
            runnable: true,
        };
        realm
            .populate(Ipa::new(RAM), b"a program", true)
            .expect("an image");
        realm.add_vcpu(first).expect("vCPU 0");
        let realm = realm.activate().expect("active");
        let memory = RealmMemory::new(&realm, ram.base().get()..ram.top().get());
        let refused = |ipa| memory.read(ipa, &mut [0; 8]) == Err(NotShared);
        assert!(
            refused(RAM) && refused(SHARED) && refused(SHARED | ALIAS),
            "not yet"
        );
        while !realm.is_off() {
            let mut session = realm.rec(0).expect("a REC");
            let entry = Entry::default();
            match session.enter(&entry).expect("an exit").exit {
                Exit::Abort(abort) => {
                    let _ = abort.back().expect("memory");
                }
                Exit::UnprotectedAbort(abort) => {
                    abort.share().expect("shared");
                }
                Exit::Mmio(mmio) => match (slots.find(mmio.ipa().get() & !ALIAS), mmio.data()) {
                    (Some((slot, offset)), Some(data)) => {
                        slots.write(slot, offset, mmio.size(), data, &memory, &mut |_, _| ());
                        mmio.complete(0);
                    }
                    (Some((slot, offset)), None) => {
                        let value = slots.read(slot, offset, mmio.size());
                        mmio.complete(value);
                    }
                    (None, _) => {
                        mmio.share().expect("shared");
                    }
                },
                Exit::RipasChange(change) => {
                    let _ = change.apply().expect("changed");
                }
                Exit::Psci(psci) => {
                    let _ = psci.complete(realm_host::rec::Decision::Accept);
                }
                other => panic!("{}", other.name()),
            }
        }
        let top = RAM + RAM_BYTES;
        for ipa in [
            0,
            RAM,
            top - 4,
            top,
            SHARED - 4,
            SHARED + 0x2FFC,
            u64::MAX - 4,
            1 << 40 | SHARED,
        ] {
            assert!(refused(ipa), "{ipa:#x}");
            assert_eq!(memory.write(ipa, &[0; 8]), Err(NotShared), "{ipa:#x}");
        }
        realm.destroy().expect("destroyed");
    });
    assert_eq!(machine.guest_failures(), [""; 0]);
    assert_eq!(port.take_output(10), b"HELLO");
}
