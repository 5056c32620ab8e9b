//! Disks, whose content is somewhere else and comes later.

use realm_vmm::virtio::{
    Block, Disk, DiskPort, DiskRequest, Fault, LONGEST_TRANSFER, Operation, TRANSFERS_IN_FLIGHT,
    block,
};

use crate::hand::{BUFFERS, Hand, NEXT, WRITE};
use crate::memory::PAGE;

const SECTORS: u64 = 2048;

fn disk(read_only: bool) -> Disk {
    Disk {
        sectors: SECTORS,
        read_only,
        id: *b"the disk of a realm\0",
    }
}

const HEADER: u64 = BUFFERS;
const STATUS: u64 = BUFFERS + 0x800;
const DATA: u64 = BUFFERS + PAGE;

/// A request of three descriptors from `head` on, and where its status comes.
fn request(hand: &mut Hand<Block>, head: u16, kind: u32, sector: u64, length: u32) -> u64 {
    let header = HEADER + 16 * u64::from(head);
    let status = STATUS + u64::from(head);
    hand.memory.put(header, &kind.to_le_bytes());
    hand.memory.put(header + 8, &sector.to_le_bytes());
    hand.memory.put(status, &[0xFF]);
    let data = if kind == 1 { 0 } else { WRITE };
    hand.describe(head, header, 16, NEXT, head + 1);
    hand.describe(head + 1, DATA, length, NEXT | data, head + 2);
    hand.describe(head + 2, status, 1, WRITE, 0);
    hand.offer(head);
    status
}

fn taken(port: &DiskPort) -> Vec<DiskRequest> {
    std::iter::from_fn(|| port.take_request()).collect()
}

#[test]
fn answers_come_in_any_order_and_few_are_outside_at_once() {
    let (device, port) = block(disk(false));
    let mut hand = Hand::with_queue(device, 0, 128);
    let heads: Vec<u16> = (0..40).map(|n| 3 * n).collect();
    for &head in &heads {
        request(&mut hand, head, 0, head.into(), 512);
    }
    hand.notify(0);
    let mut order = Vec::new();
    loop {
        let mut requests = taken(&port);
        assert!(requests.len() <= TRANSFERS_IN_FLIGHT);
        if requests.is_empty() {
            break;
        }
        assert!(!port.has_requests());
        requests.reverse();
        for request in requests {
            order.push(request.sector);
            assert!(port.complete(request.tag, Ok(vec![request.sector as u8; 512])));
        }
        hand.poll();
        assert_eq!(hand.used() as usize, order.len());
        assert_eq!(hand.acknowledge(), 1);
    }
    assert_eq!(order.len(), 40);
    for (slot, &head) in order.iter().enumerate() {
        assert_eq!(hand.entry(slot as u64), (head, 513));
        assert_eq!(hand.memory.number::<1>(STATUS + head), 0);
    }
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let cases = [
        // Not whole sectors, none, beyond the end, of no kind.
        (0, 0, 511, 1),
        (1, 0, 513, 1),
        (0, 0, 0, 1),
        (0, SECTORS, 512, 1),
        (1, u64::MAX, 512, 1),
        (0, u64::MAX >> 9, 512, 1),
        (11, 0, 512, 2),
        (0xFFFF_FFFF, 0, 512, 2),
    ];
    let (device, port) = block(disk(false));
    let mut hand = Hand::with_queue(device, 0, 8);
    for (n, (kind, sector, length, expected)) in cases.into_iter().enumerate() {
        let status = request(&mut hand, 0, kind, sector, length);
        hand.notify(0);
        assert_eq!(hand.memory.number::<1>(status), expected, "case {n}");
        assert_eq!(
            (hand.used() as usize, hand.entry(n as u64 % 8)),
            (n + 1, (0, 1))
        );
    }
    assert!(!port.has_requests());

    // No room for the status, or no header.
    for (length, flags) in [(16, 0), (15, NEXT)] {
        hand.start(0, 8);
        hand.describe(0, HEADER, length, flags, 1);
        hand.describe(1, STATUS, 1, WRITE, 0);
        hand.offer(0);
        hand.notify(0);
        assert_eq!(hand.device.fault(), Some(Fault::Request));
        assert!(hand.needs_reset());
    }
}

#[test]
fn a_huge_request_costs_what_small_ones_do() {
    let sectors = 1 << 30;
    let (device, port) = block(Disk {
        sectors,
        ..disk(false)
    });
    let mut hand = Hand::with_queue(device, 0, 128);
    // 2 GiB, which are not there; the first part is.
    request(&mut hand, 0, 0, 0, 1 << 31);
    hand.notify(0);
    let requests = taken(&port);
    assert_eq!(requests.len(), 1);
    let length = LONGEST_TRANSFER;
    assert_eq!(requests[0].operation, Operation::Read { length });
    assert!(port.complete(requests[0].tag, Ok(vec![1; length])));
    hand.poll();
    let requests = taken(&port);
    assert_eq!((requests.len(), requests[0].sector), (1, 128));
    assert!(port.complete(requests[0].tag, Ok(vec![1; length])));
    hand.poll();
    assert_eq!(hand.device.fault(), Some(Fault::NotShared));
    assert_eq!(hand.used(), 0);
    assert!(!port.has_requests());
}

#[test]
fn answers_to_requests_of_before_a_reset_are_dropped() {
    for stops_queue in [false, true] {
        let (device, port) = block(disk(false));
        let mut hand = Hand::with_queue(device, 0, 16);
        for head in [0, 3, 6] {
            request(&mut hand, head, 0, head.into(), 512);
        }
        hand.notify(0);
        let [answered, outside] = [port.take_request(), port.take_request()];
        let (answered, outside) = (answered.expect("one"), outside.expect("two"));
        assert!(port.complete(answered.tag, Ok(vec![0xEE; 512])));
        assert!(port.has_requests(), "the third one waits");

        // Now none of them is wanted any more.
        if stops_queue {
            hand.set(0x44, 0);
        }
        hand.start(0, 16);
        assert!(!port.has_requests());
        assert!(!port.complete(outside.tag, Ok(vec![0xEE; 512])));
        assert!(!port.complete(answered.tag, Ok(vec![0xEE; 512])));
        hand.poll();
        assert_eq!((hand.used(), hand.acknowledge()), (0, 0));
        assert_eq!(hand.memory.number::<1>(DATA), 0, "nothing was written");

        request(&mut hand, 0, 0, 5, 512);
        hand.notify(0);
        let again = port.take_request().expect("a new one");
        assert!(again.tag > outside.tag, "no tag is used twice");
        assert!(!port.complete(outside.tag, Ok(vec![0xEE; 512])));
        assert!(port.complete(again.tag, Ok(vec![7; 512])));
        assert!(
            !port.complete(again.tag, Ok(vec![8; 512])),
            "once is enough"
        );
        hand.poll();
        assert_eq!((hand.used(), hand.entry(0)), (1, (0, 513)));
        assert_eq!(hand.memory.number::<1>(DATA), 7);
    }
}

/// A realm that submits, resets and submits again, while nobody has answered anything.
#[test]
fn a_reset_does_not_let_more_out_than_may_be_outside() {
    let (device, port) = block(disk(false));
    let mut hand = Hand::with_queue(device, 0, 128);
    let mut outside: Vec<DiskRequest> = Vec::new();
    for round in 0..50 {
        hand.start(0, 128);
        for n in 0..20 {
            request(&mut hand, 3 * n, 1, n.into(), LONGEST_TRANSFER as u32);
        }
        hand.notify(0);
        outside.extend(taken(&port));
        assert_eq!(outside.len(), TRANSFERS_IN_FLIGHT, "after {round} resets");
    }
    let bytes: usize = outside
        .iter()
        .map(|request| match &request.operation {
            Operation::Write { data } => data.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(bytes, TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER);
    // Answers to what is forgotten make room, and the device goes on by itself.
    let mut done = 0;
    while let Some(request) = outside.pop() {
        done += usize::from(port.complete(request.tag, Ok(Vec::new())));
        hand.poll();
        outside.extend(taken(&port));
        assert!(outside.len() <= TRANSFERS_IN_FLIGHT);
    }
    assert_eq!((done, hand.used()), (20, 20));
}
