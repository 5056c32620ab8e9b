//! Devices whose drivers do them wrong, as the tool sees them.

use std::sync::Arc;

use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use realm_guest::demo::GuestPe;
use realm_vmm::control::frame::Kind;
use realm_vmm::control::message::{Call, Device, DeviceFault, Spec, State};
use realm_vmm::report;
use realm_vmm::virtio::slot_base;

use crate::tool::{ALIAS, RAM, Tool, spec, with_host};

const UART: u64 = ALIAS | realm_vmm::board::UART;
/// Registers of a virtio device (virtio 1.2, section 4.2.2).
const QUEUE_NUM: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_DRIVER_LOW: u64 = 0x90;
const STATUS: u64 = 0x70;
const NEEDS_RESET: u32 = 64;

/// Accepts VERSION_1 and what else a driver has to.
fn begin(guest: &GuestCpu, device: u64) {
    let set = |offset, value| guest.store_device(device + offset, value);
    set(STATUS, 0);
    set(STATUS, 3);
    set(0x24, 1);
    set(0x20, 1);
    set(STATUS, 11);
}

fn say(guest: &GuestCpu, letter: u8) {
    guest.store_device(UART, letter.into());
}

/// Waits for a key.
fn heard(guest: &GuestCpu) {
    while guest.load_device(UART + 0x18) & 0x10 != 0 {}
    guest.load_device(UART);
}

/// A driver that wants a queue of a size that is not offered of its console, and of its disk a ring at an odd address; when it is asked to, it resets
/// the console.
fn hostile(guest: &GuestCpu) {
    // The PL011 receives.
    guest.store_device(UART + 0x2C, 0x70);
    guest.store_device(UART + 0x30, 0x301);
    let [console, disk] = [0, 1].map(|slot| ALIAS | slot_base(slot));
    begin(guest, console);
    guest.store_device(console + QUEUE_NUM, 3);
    guest.store_device(console + QUEUE_READY, 1);
    begin(guest, disk);
    guest.store_device(disk + QUEUE_NUM, 8);
    guest.store_device(disk + QUEUE_DRIVER_LOW, 1);
    guest.store_device(disk + QUEUE_READY, 1);
    for device in [console, disk] {
        assert_ne!(guest.load_device(device + STATUS) & NEEDS_RESET, 0);
    }
    say(guest, b'a');
    heard(guest);
    begin(guest, console);
    say(guest, b'b');
    heard(guest);
    let mut call = Registers::default();
    call.0[0] = 0x8400_0008;
    guest.call(&mut call);
}

fn until(tool: &mut Tool, said: &str) {
    let all = |tool: &Tool| -> String {
        tool.consoles
            .iter()
            .map(|(_, text)| text.as_str())
            .collect()
    };
    while all(tool) != said {
        assert!(tool.receive().is_none());
    }
}

#[test]
fn a_device_that_its_driver_does_wrong_says_what_and_the_others_go_on() {
    with_host(
        |machine| machine.install(RAM, Arc::new(hostile)),
        |tool| {
            let sectors = Device::Disk {
                sectors: 8,
                read_only: false,
            };
            let entropy = Device::Entropy { seed: [1, 2, 3, 4] };
            let with_devices = Spec {
                lines: false,
                devices: vec![Device::Console, sectors, entropy],
                ..spec(1)
            };
            let realm = tool.realm("hostile", with_devices);
            assert_eq!(tool.inspect(realm).faults, []);
            tool.done(Call::Start { realm });
            until(tool, "a");
            let fault = |device, fault: &str, stopped| DeviceFault {
                device,
                fault: fault.to_owned(),
                stopped,
            };
            let size = "the size of a queue is not one that the device offers";
            let address = "a ring is not aligned, or reaches beyond the last address";
            let details = tool.inspect(realm);
            assert_eq!(details.status.state, State::Running);
            assert_eq!(
                details.faults,
                [fault(0, size, true), fault(1, address, true)]
            );
            // As a tool that asks for JSON reads it.
            let json = serde_json::to_value(&details).unwrap();
            assert_eq!(json["faults"][1]["fault"], address);

            tool.send(Kind::Console, realm, b"x");
            until(tool, "ab");
            assert_eq!(
                tool.inspect(realm).faults,
                [fault(0, size, false), fault(1, address, true)]
            );
            tool.send(Kind::Console, realm, b"x");
            assert_eq!(tool.stopped(realm), (report::Outcome::Ok, None));
            tool.done(Call::Shutdown);
        },
    );
}
