//! Each device, with the driver of `virtio-drivers`.

use realm_vmm::bus::MmioDevice;
use realm_vmm::virtio::{
    EntropySource, FrameCounts, Overflow, WAITING_FRAMES, console, entropy, network,
};
use virtio_drivers::device::console::{Size, VirtIOConsole};
use virtio_drivers::device::net::VirtIONet;
use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::{DeviceType, Transport};

use virtio_peer::{Realm, Wire, in_use, memory};

#[test]
fn a_console_takes_and_gives_bytes() {
    let (device, port) = console(Overflow::Wait);
    port.resize(132, 50);
    let wire = Wire::new(device, || ());
    let device = wire.device.clone();
    let mut driver = VirtIOConsole::<Realm, _>::new(wire).expect("a console");
    let (columns, rows) = (132, 50);
    assert_eq!(driver.size(), Ok(Some(Size { columns, rows })));

    driver.send_bytes(b"hello, ").expect("sent");
    driver.send(b'h').expect("sent");
    driver.send_bytes(&[b'o'; 3000]).expect("sent");
    assert!(port.has_output());
    assert_eq!(port.take_output(8), b"hello, h");
    assert_eq!(port.take_output(10_000), [b'o'; 3000]);
    assert!(!port.has_output());
    assert_eq!(driver.recv(true), Ok(None));

    let text: Vec<u8> = (0..9000_u32).map(|n| n as u8).collect();
    assert_eq!(port.send_input(&text), 9000);
    let mut received = Vec::new();
    while received.len() < 9000 {
        device.borrow_mut().poll(&memory());
        let is_asserted = device.borrow().is_asserted();
        assert_eq!(driver.ack_interrupt(), Ok(is_asserted));
        let byte = driver.recv(true).expect("no error");
        received.push(byte.expect("a byte"));
    }
    assert_eq!(received, text);
    assert_eq!(driver.recv(true), Ok(None));
}

#[test]
fn a_resize_is_told() {
    let (device, port) = console(Overflow::Wait);
    let mut wire = Wire::new(device, || ());
    assert_eq!(wire.device_type(), DeviceType::Console);
    let device = wire.device.clone();
    let poll = || device.borrow_mut().poll(&memory());
    let generation = wire.read_config_generation();
    port.resize(80, 24);
    poll();
    assert_eq!(
        wire.read_config_generation(),
        generation,
        "it had that size"
    );
    port.resize(100, 40);
    poll();
    assert_eq!(wire.read_config_generation(), generation + 1);
    assert!(wire.ack_interrupt().is_empty(), "there is no driver yet");
    let mut driver = VirtIOConsole::<Realm, _>::new(wire).expect("a console");
    port.resize(101, 40);
    poll();
    assert!(device.borrow().is_asserted());
    assert_eq!(driver.ack_interrupt(), Ok(false), "no data");
    assert_eq!(driver.size().expect("a size").expect("a size").columns, 101);
}

#[test]
fn frames_go_both_ways_and_are_lost_without_room() {
    let mac = [2, 0, 0, 1, 2, 3];
    let (device, port) = network(mac);
    let wire = Wire::new(device, || ());
    let device = wire.device.clone();
    let mut driver = VirtIONet::<Realm, _, 16>::new(wire, 2048).expect("an interface");
    assert_eq!(driver.mac_address(), mac);

    let frame: Vec<u8> = (0..1514_u32).map(|n| (n % 253) as u8).collect();
    let send = |driver: &mut VirtIONet<Realm, _, 16>, length: usize| {
        let mut buffer = driver.new_tx_buffer(length);
        let length = length.min(frame.len());
        buffer.packet_mut()[..length].copy_from_slice(&frame[..length]);
        driver.send(buffer).expect("sent");
    };
    for length in [14, 60, 1514, 13, 1519, 4000] {
        send(&mut driver, length);
    }
    for length in [14, 60, 1514] {
        assert!(port.has_frames());
        assert_eq!(port.take_frame().as_deref(), Some(&frame[..length]));
    }
    assert_eq!(port.take_frame(), None);
    for _ in 0..WAITING_FRAMES + 5 {
        send(&mut driver, 100);
    }

    assert!(!driver.can_recv());
    for length in [14, 1514, 13, 1519] {
        let fits = (14..=1518).contains(&length);
        assert_eq!(port.send_frame(&vec![7; length]), fits, "{length}");
    }
    device.borrow_mut().poll(&memory());
    assert!(device.borrow().is_asserted());
    for length in [14, 1514] {
        let buffer = driver.receive().expect("a frame");
        assert_eq!(buffer.packet(), vec![7; length]);
        driver.recycle_rx_buffer(buffer).expect("recycled");
    }
    // The driver has 16 buffers; so many frames wait after that.
    let all = 16 + WAITING_FRAMES;
    for n in 0..all + 3 {
        assert_eq!(port.send_frame(&[n as u8; 64]), n < all, "{n}");
        device.borrow_mut().poll(&memory());
    }
    for n in 0..all {
        let buffer = driver.receive().expect("a frame");
        assert_eq!(buffer.packet(), [n as u8; 64]);
        driver.recycle_rx_buffer(buffer).expect("recycled");
    }
    assert!(!driver.can_recv());
    let counts = FrameCounts {
        sent: 3 + WAITING_FRAMES as u64,
        received: 2 + all as u64,
        lost_out: 3 + 5,
        lost_in: 2 + 3,
    };
    assert_eq!(port.counts(), counts);
}

/// Counts, and has nothing every third time.
struct Counting {
    next: u8,
    calls: usize,
}

impl EntropySource for Counting {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        self.calls += 1;
        if self.calls.is_multiple_of(3) {
            return 0;
        }
        for byte in to.iter_mut() {
            self.next = self.next.wrapping_add(1);
            *byte = self.next;
        }
        to.len()
    }
}

#[test]
fn entropy_comes_when_there_is_some() {
    let wire = Wire::new(entropy(Counting { next: 0, calls: 0 }), || ());
    assert_eq!(wire.device_type(), DeviceType::EntropySource);
    let mut driver = VirtIORng::<Realm, _>::new(wire).expect("a source");
    let mut next = 0_u8;
    for length in [1, 16, 64, 256, 300, 5] {
        let mut bytes = vec![0; length];
        let count = driver.request_entropy(&mut bytes).expect("bytes");
        assert_eq!(count, length.min(256));
        for &byte in &bytes[..count] {
            next = next.wrapping_add(1);
            assert_eq!(byte, next);
        }
    }
    drop(driver);
    assert_eq!(in_use(), 0);
}
