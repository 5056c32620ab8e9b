//! Drivers as none should be: their device stops, and nothing else happens.

use std::collections::BTreeMap;

use realm_vmm::bus::MmioDevice;
use realm_vmm::virtio::{
    CONSOLE_ROOM, Console, ConsolePort, Fault, Overflow, SLOTS, SLOTS_BASE, Slots, console,
    entropy, network, slot_base, slot_intid,
};

use crate::hand::{
    AVAILABLE, BUFFERS, Hand, IN_USE, INDIRECT, NEEDS_RESET, NEXT, PAGES, STATUS, TABLE, USED,
    WRITE,
};
use crate::memory::{BASE, Memory, PAGE};

const TRANSMIT: u32 = 1;

fn printer(size: u16) -> (Hand<Console>, ConsolePort) {
    let (device, port) = console(Overflow::Wait);
    (Hand::with_queue(device, TRANSMIT, size), port)
}

/// What happens to a console whose driver does something with a queue of 4 descriptors. Afterwards it works again.
fn after(does: impl FnOnce(&mut Hand<Console>)) -> Option<Fault> {
    let (mut hand, port) = printer(4);
    hand.memory.put(BUFFERS, b"text");
    does(&mut hand);
    hand.notify(TRANSMIT);
    let fault = hand.device.fault();
    assert_eq!(hand.needs_reset(), fault.is_some());
    if fault.is_some() {
        assert_eq!(hand.acknowledge() & 2, 2, "it says so");
        hand.memory.hide(None);
        hand.describe(0, BUFFERS, 4, 0, 0);
        hand.offer(0);
        let before = hand.memory.bytes();
        hand.notify(TRANSMIT);
        hand.poll();
        assert!(hand.memory.bytes() == before, "it stopped");
    }
    hand.start(TRANSMIT, 4);
    port.take_output(CONSOLE_ROOM);
    hand.describe(0, BUFFERS, 4, 0, 0);
    hand.offer(0);
    hand.notify(TRANSMIT);
    assert_eq!(hand.acknowledge(), 1);
    assert_eq!(port.take_output(10), b"text");
    assert_eq!((hand.used(), hand.entry(0)), (1, (0, 0)));
    fault
}

#[test]
fn an_honest_driver_is_served() {
    let fault = after(|hand| {
        hand.describe(0, BUFFERS, 2, NEXT, 2);
        hand.describe(2, BUFFERS, 0, NEXT, 1);
        hand.describe(1, BUFFERS + 2, 2, 0, 0);
        hand.offer(0);
        hand.describe(3, BUFFERS, 1, 0, 0);
        hand.offer(3);
    });
    assert_eq!(fault, None);
}

#[test]
fn chains_that_are_none_stop_the_device() {
    type Does = fn(&mut Hand<Console>);
    let cases: [(Fault, Does); 12] = [
        (Fault::Loop, |hand| hand.describe(0, BUFFERS, 1, NEXT, 0)),
        (Fault::Loop, |hand| {
            hand.describe(0, BUFFERS, 1, NEXT, 3);
            hand.describe(3, BUFFERS, 1, NEXT, 1);
            hand.describe(1, BUFFERS, 1, NEXT, 3);
        }),
        (Fault::Loop, |hand| {
            // Two chains that are available at once, with more descriptors together than there are.
            hand.describe(0, BUFFERS, 1, NEXT, 1);
            hand.describe(1, BUFFERS, 1, NEXT, 2);
            hand.describe(2, BUFFERS, 1, 0, 0);
            hand.offer(0);
        }),
        (Fault::DescriptorIndex, |hand| {
            hand.describe(0, BUFFERS, 1, NEXT, 4);
        }),
        (Fault::DescriptorIndex, |hand| hand.offer(0xFFFF)),
        (Fault::Order, |hand| {
            hand.describe(0, BUFFERS, 1, NEXT | WRITE, 1);
        }),
        (Fault::Indirect, |hand| {
            hand.describe(0, BUFFERS, 16, INDIRECT, 0);
        }),
        (Fault::Length, |hand| {
            hand.describe(0, u64::MAX - 3, 8, 0, 0);
        }),
        (Fault::Length, |hand| {
            hand.describe(0, BUFFERS, u32::MAX, NEXT, 1);
            hand.describe(1, BUFFERS, 1, 0, 0);
        }),
        (Fault::NotShared, |hand| {
            hand.describe(0, BASE - 2, 4, 0, 0);
        }),
        (Fault::NotShared, |hand| {
            hand.describe(0, BASE + PAGES as u64 * PAGE - 2, 4, 0, 0);
        }),
        (Fault::NotShared, |hand| {
            hand.describe(0, 0, 4, 0, 0);
        }),
    ];
    for (n, (fault, does)) in cases.into_iter().enumerate() {
        let found = after(|hand| {
            does(hand);
            hand.offer(0);
        });
        assert_eq!(found, Some(fault), "case {n}");
    }
}

#[test]
fn an_available_index_that_jumps_stops_the_device() {
    for index in [5, 0x8000, 0xFFFF] {
        assert_eq!(
            after(|hand| hand.set_available(index)),
            Some(Fault::AvailableIndex),
            "{index}"
        );
    }
    let forward_and_back = after(|hand| {
        hand.describe(0, BUFFERS, 1, 0, 0);
        hand.offer(0);
        hand.notify(TRANSMIT);
        hand.set_available(0);
    });
    assert_eq!(forward_and_back, Some(Fault::AvailableIndex));
}

#[test]
fn rings_that_are_not_shared_stop_the_device() {
    for (page, address) in [(0, TABLE), (1, AVAILABLE), (2, USED)] {
        let fault = after(|hand| {
            hand.describe(0, BUFFERS, 4, 0, 0);
            hand.offer(0);
            hand.memory.hide(Some(page));
        });
        assert_eq!(fault, Some(Fault::NotShared), "{address:#x}");
    }
}

#[test]
fn queues_that_cannot_be_are_refused() {
    let good = [TABLE, AVAILABLE, USED];
    let sizes = [0, 3, 5, 63, 128, 0x1_0000, 0x8000_0000, u32::MAX];
    let sizes = sizes.map(|size| (Fault::QueueSize, size, good));
    let address = Fault::QueueAddress;
    let areas = [
        (address, 4, [TABLE + 8, AVAILABLE, USED]),
        (address, 4, [TABLE, AVAILABLE + 1, USED]),
        (address, 4, [TABLE, AVAILABLE, USED + 2]),
        (address, 4, [!0xF, AVAILABLE, USED]),
        (address, 4, [TABLE, !0x1, USED]),
        (address, 4, [TABLE, AVAILABLE, !0x3]),
    ];
    for (fault, size, areas) in sizes.into_iter().chain(areas) {
        let (device, _port) = console(Overflow::Wait);
        let mut hand = Hand::new(device);
        hand.negotiate();
        hand.set_queue(TRANSMIT, size, areas);
        assert_eq!(hand.device.fault(), Some(fault), "{size:#x} {areas:x?}");
        assert_eq!(hand.get(0x44), 0);
        assert_eq!(hand.get(STATUS), 11 | NEEDS_RESET);
        assert!(!hand.device.is_asserted(), "the driver is not there yet");
        hand.start(TRANSMIT, 64);
        assert_eq!(hand.get(0x44), 1);
        // Nothing of a queue in use can be changed.
        hand.set(0x38, 3);
        hand.set(0x80, 0x11);
        hand.describe(0, BUFFERS, 1, 0, 0);
        hand.offer(0);
        hand.notify(TRANSMIT);
        assert_eq!(hand.used(), 1);
    }
}

#[test]
fn features_that_were_not_offered_or_are_missing_are_not_agreed_to() {
    let (device, _port) = console(Overflow::Wait);
    let mut hand = Hand::new(device);
    let offered: Vec<_> = (0..3)
        .map(|half| {
            hand.set(0x14, half);
            hand.get(0x10)
        })
        .collect();
    assert_eq!(offered, [1, 3, 0], "size, version 1, access platform");
    for (low, high, agreed) in [
        (1, 3, true),
        (0, 1, true),
        (0, 0, false),
        (2, 1, false),
        (1, 5, false),
    ] {
        hand.set(STATUS, 0);
        hand.set(STATUS, 3);
        for (half, value) in [low, high, u32::MAX].into_iter().enumerate() {
            hand.set(0x24, half as u32);
            hand.set(0x20, value);
        }
        hand.set(STATUS, 11);
        assert_eq!(hand.get(STATUS) & 8 != 0, agreed, "{low} {high}");
        hand.set(STATUS, 15);
        assert_eq!(
            hand.get(STATUS) == 15,
            agreed,
            "nothing runs without an agreement"
        );
        hand.set_queue(TRANSMIT, 4, [TABLE, AVAILABLE, USED]);
        assert_eq!(hand.get(0x44) == 1, agreed);
    }
}

#[test]
fn accesses_of_other_sizes_do_nothing() {
    let (mut hand, _port) = printer(4);
    let registers = |hand: &mut Hand<Console>| -> Vec<_> {
        (0..0x100)
            .step_by(4)
            .map(|offset| hand.get(offset))
            .collect()
    };
    let before = registers(&mut hand);
    for offset in 0..0x100 {
        for size in [1, 2, 4, 8] {
            if size == 4 && offset % 4 == 0 {
                continue;
            }
            assert_eq!(hand.device.read(offset, size), 0);
            hand.device.write(offset, size, u64::MAX, &hand.memory);
        }
    }
    assert_eq!(registers(&mut hand), before);
    // The configuration space can be read in any way: 80 by 24.
    let read = |hand: &mut Hand<Console>, offset, size| hand.device.read(0x100 + offset, size);
    assert_eq!(read(&mut hand, 0, 1), 80);
    assert_eq!(read(&mut hand, 1, 2), 24 << 8);
    assert_eq!(read(&mut hand, 0, 8), 24 << 16 | 80);
    for offset in [60, 63, 64, 0xFF, 0x1000, u64::MAX - 0x100] {
        assert_eq!(read(&mut hand, offset, 8), 0);
        hand.device.write(
            offset.wrapping_add(0x100) | 0x100,
            8,
            u64::MAX,
            &hand.memory,
        );
    }
    assert_eq!(hand.get(STATUS), IN_USE);
}

#[test]
fn storms_of_accesses_end_with_a_device_that_works() {
    let (mut hand, port) = printer(4);
    let mut state = 1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..100_000 {
        let (what, value) = (next(), next());
        let offset = what % 0x200;
        let size = 1 << (what >> 10 & 3);
        let value = if what >> 20 & 1 == 0 {
            value
        } else {
            value % 64
        };
        hand.device
            .write(offset, size, value >> (64 - 8 * size), &hand.memory);
        let _ = hand.device.read(offset, size);
        let aligned = hand.device.read(offset & !3, 4);
        assert_eq!(aligned >> 32, 0);
    }
    hand.start(TRANSMIT, 64);
    hand.memory.put(BUFFERS, b"calm");
    hand.describe(0, BUFFERS, 4, 0, 0);
    hand.offer(0);
    hand.notify(TRANSMIT);
    assert_eq!(port.take_output(10), b"calm");
}

#[test]
fn everything_is_read_once() {
    let (mut hand, port) = printer(4);
    hand.memory.put(BUFFERS, b"once");
    hand.describe(0, BUFFERS, 2, NEXT, 1);
    hand.describe(1, BUFFERS + 2, 2, 0, 0);
    hand.offer(0);
    hand.memory.take_reads();
    hand.notify(TRANSMIT);
    let reads = hand.memory.take_reads();
    let plain = |address: u64| address & !crate::memory::ALIAS;
    let expected = [
        AVAILABLE + 2,
        AVAILABLE + 4,
        TABLE,
        TABLE + 16,
        BUFFERS,
        BUFFERS + 2,
        AVAILABLE,
    ];
    let expected: BTreeMap<_, _> = expected.iter().map(|&at| (plain(at), 1)).collect();
    assert_eq!(reads, expected);
    assert_eq!(port.take_output(10), b"once");
}

#[test]
fn drivers_that_want_no_interrupts_get_none() {
    let (mut hand, _port) = printer(4);
    hand.describe(0, BUFFERS, 4, 0, 0);
    for (flags, interrupts) in [(0, 1), (1, 0), (0, 1)] {
        hand.memory.put(AVAILABLE, &[flags, 0]);
        hand.offer(0);
        hand.notify(TRANSMIT);
        assert_eq!(hand.acknowledge(), interrupts);
        hand.notify(TRANSMIT);
        assert_eq!(hand.acknowledge(), 0, "nothing new");
    }
    assert_eq!(hand.used(), 3);
}

#[test]
fn output_that_nobody_takes_waits_or_is_lost() {
    let length = 24 * PAGE as usize;
    for overflow in [Overflow::Wait, Overflow::DropOldest] {
        let (device, port) = console(overflow);
        let mut hand = Hand::with_queue(device, TRANSMIT, 4);
        let text: Vec<u8> = (0..length).map(|n| (n / 7) as u8).collect();
        hand.memory.put(BUFFERS, &text);
        hand.describe(0, BUFFERS, length as u32, 0, 0);
        hand.offer(0);
        hand.notify(TRANSMIT);
        assert_eq!(hand.used(), 0, "one call does not do all of it");
        hand.poll();
        let output = match overflow {
            Overflow::Wait => {
                assert_eq!(hand.used(), 0);
                let mut output = port.take_output(100);
                hand.poll();
                output.extend(port.take_output(CONSOLE_ROOM));
                assert_eq!(output.len(), CONSOLE_ROOM + 100);
                hand.poll();
                output.extend(port.take_output(CONSOLE_ROOM));
                assert_eq!(port.lost(), 0);
                output
            }
            Overflow::DropOldest => {
                assert_eq!(port.lost() as usize, length - CONSOLE_ROOM);
                let mut output = text[..length - CONSOLE_ROOM].to_vec();
                output.extend(port.take_output(length));
                output
            }
        };
        assert!(output == text);
        assert_eq!(hand.used(), 1);
        assert_eq!(hand.acknowledge(), 1);
    }
}

#[test]
fn input_beyond_the_room_is_not_taken() {
    let (_device, port) = console(Overflow::Wait);
    assert_eq!(
        port.send_input(&vec![0; CONSOLE_ROOM - 1]),
        CONSOLE_ROOM - 1
    );
    assert_eq!(port.send_input(b"ab"), 1);
    assert_eq!(port.send_input(b"b"), 0);
}

#[test]
fn buffers_that_are_too_small_get_nothing() {
    let (device, port) = network([2; 6]);
    let mut hand = Hand::with_queue(device, 0, 4);
    hand.describe(0, BUFFERS, 12 + 63, WRITE, 0);
    hand.describe(1, BUFFERS, 12 + 64, WRITE, 0);
    hand.offer(0);
    hand.offer(1);
    for byte in 1..=2 {
        assert!(port.send_frame(&[byte; 64]));
    }
    hand.poll();
    assert_eq!((hand.entry(0), hand.entry(1)), ((0, 0), (1, 76)));
    assert_eq!(hand.memory.number::<8>(BUFFERS + 12), 0x0202_0202_0202_0202);
    assert_eq!((port.counts().lost_in, port.counts().received), (1, 1));
    // What is read only is not written to.
    assert!(port.send_frame(&[3; 64]));
    hand.describe(0, BUFFERS, 2000, 0, 0);
    hand.offer(0);
    hand.poll();
    assert_eq!(hand.entry(2), (0, 0));
    assert_eq!(hand.memory.number::<1>(BUFFERS + 12), 2);
}

struct Zeros;

impl realm_vmm::virtio::EntropySource for Zeros {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        to.len()
    }
}

#[test]
fn requests_for_no_entropy_stop_the_device() {
    for flags in [0, WRITE] {
        let mut hand = Hand::with_queue(entropy(Zeros), 0, 4);
        hand.describe(0, BUFFERS, if flags == WRITE { 0 } else { 8 }, flags, 0);
        hand.offer(0);
        hand.notify(0);
        assert_eq!(hand.device.fault(), Some(Fault::Request));
    }
}

#[test]
fn slots_know_their_devices_and_lines() {
    let memory = Memory::new(PAGES);
    let mut slots = Slots::new();
    assert!(slots.is_empty());
    let mut ports = Vec::new();
    for slot in 0..SLOTS {
        let (device, port) = console(Overflow::Wait);
        ports.push(port);
        assert_eq!(slots.add(device), Some(slot));
    }
    assert_eq!(slots.add(console(Overflow::Wait).0), None);
    assert_eq!(slots.len(), SLOTS);
    assert_eq!((slot_base(3), slot_intid(3)), (0x0A00_0600, 51));
    assert_eq!(slots.find(SLOTS_BASE), Some((0, 0)));
    assert_eq!(slots.find(0x0A00_07FF), Some((3, 0x1FF)));
    for address in [0, SLOTS_BASE - 1, 0x0A00_1000, u64::MAX] {
        assert_eq!(slots.find(address), None);
    }
    let mut told = Vec::new();
    let mut lines = |intid, level| told.push((intid, level));
    for value in [3_u32, 11, 15] {
        for (offset, value) in [(0x24, 1), (0x20, 1), (STATUS, value)] {
            slots.write(5, offset, 4, value.into(), &memory, &mut lines);
        }
    }
    ports[5].resize(1, 1);
    slots.poll_all(&memory, &mut lines);
    slots.write(5, 0x64, 4, 2, &memory, &mut lines);
    slots.write(8, 0x64, 4, 2, &memory, &mut lines);
    told.dedup();
    let expected: Vec<_> = std::iter::once((53, false))
        .chain((48..56).map(|intid| (intid, intid == 53)))
        .chain([(53, false)])
        .collect();
    assert_eq!(told, expected);
    assert_eq!(slots.read(5, STATUS, 4), 15);
    assert_eq!(slots.read(8, STATUS, 4), 0);
}
