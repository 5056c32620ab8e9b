//! What a flood of each device makes the host keep, beside what its realm was promised for it.
//!
//! A program of its own: what it allocates is counted, and nothing else runs.

#[path = "../virtio/hand.rs"]
#[expect(dead_code, reason = "other tests do more by hand")]
mod hand;
#[path = "../virtio/memory.rs"]
#[expect(dead_code, reason = "other tests look closer at memory")]
mod memory;

use hand::{BUFFERS, Hand, NEXT, WRITE};
use peak_alloc::PeakAlloc;
use realm_vmm::control::kept;
use realm_vmm::control::message::{Device as Kind, Spec};
use realm_vmm::virtio::{
    CONSOLE_ROOM, Device, Disk, LONGEST_FRAME, LONGEST_TRANSFER, Overflow, Transport, block,
    console, network,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What a realm is promised for a device.
fn promised(device: Kind) -> usize {
    let spec = |devices: &[Kind]| Spec {
        devices: devices.to_vec(),
        ..serde_json::from_str(
            r#"{"vcpus":1,"memory":4096,"entry":0,"arguments":[0,0,0,0,0,0,0,0]}"#,
        )
        .expect("a spec")
    };
    (kept::keeps(&spec(&[device])) - kept::keeps(&spec(&[]))) as usize
}

/// Floods a device by hand, and compares the most that was allocated meanwhile with what its realm was promised for it.
fn flood<D: Device>(device: Transport<D>, kind: Kind, does: impl FnOnce(&mut Hand<D>)) -> usize {
    let mut hand = Hand::new(device);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    does(&mut hand);
    let kept = HEAP.peak_usage() - before;
    let promised = promised(kind.clone());
    println!("{kind:?}: {kept} bytes of {promised}");
    assert!(
        kept <= promised,
        "{kind:?}: {kept} bytes, promised {promised}"
    );
    kept
}

/// Descriptors that all say the same: as many bytes as fit into shared memory.
fn fill<D: Device>(hand: &Hand<D>, length: u32) {
    (0..64).for_each(|n| hand.describe(n, BUFFERS, length, 0, 0));
}

#[test]
fn no_flood_makes_the_host_keep_more_than_was_promised() {
    let (device, port) = console(Overflow::Wait);
    let kept = flood(device, Kind::Console, |hand| {
        for _ in 0..50 {
            hand.start(1, 64);
            fill(hand, 20_000);
            (0..64).for_each(|n| hand.offer(n));
            hand.notify(1);
            hand.memory.take_reads();
        }
        while port.send_input(&[b'x'; 4000]) == 4000 {}
    });
    assert!(kept >= 2 * CONSOLE_ROOM, "it was flooded: {kept}");

    let (device, port) = block(Disk {
        sectors: 1 << 20,
        read_only: false,
        id: [0; 20],
    });
    let kind = Kind::Disk {
        sectors: 1 << 20,
        read_only: false,
    };
    let kept = flood(device, kind, |hand| {
        let mut outside = Vec::with_capacity(64);
        for round in 0..50 {
            hand.start(0, 128);
            // A write of sector 0.
            hand.memory.put(BUFFERS, &1u64.to_le_bytes());
            for n in 0..40 {
                let (data, status) = (BUFFERS + 4096, BUFFERS + 100);
                hand.describe(3 * n, BUFFERS, 16, NEXT, 3 * n + 1);
                hand.describe(3 * n + 1, data, LONGEST_TRANSFER as u32, NEXT, 3 * n + 2);
                hand.describe(3 * n + 2, status, 1, WRITE, 0);
                hand.offer(3 * n);
            }
            hand.notify(0);
            hand.memory.take_reads();
            // Half of the time somebody takes them, and keeps their data.
            if round % 2 == 0 {
                outside.extend(std::iter::from_fn(|| port.take_request()));
            }
        }
    });
    assert!(kept >= 15 * LONGEST_TRANSFER, "it was flooded: {kept}");

    let mac = [2, 0, 0, 0, 0, 1];
    let (device, port) = network(mac);
    let kept = flood(device, Kind::Network { mac }, |hand| {
        for _ in 0..50 {
            hand.start(1, 64);
            fill(hand, 12 + LONGEST_FRAME as u32);
            (0..64).for_each(|n| hand.offer(n));
            hand.notify(1);
            hand.memory.take_reads();
            for _ in 0..64 {
                // There is room for some of them.
                let _ = port.send_frame(&[1; LONGEST_FRAME]);
            }
        }
    });
    assert!(kept >= 190 * LONGEST_FRAME, "it was flooded: {kept}");
}
