//! A driver that does anything, against each virtio device.

mod memory;

use realm_vmm::bus::{MmioDevice, NotShared, SharedMemory};
use realm_vmm::virtio::{
    CONSOLE_ROOM, ConsolePort, Disk, DiskError, DiskPort, EntropySource, LONGEST_FRAME,
    LONGEST_TRANSFER, NetworkPort, Operation, Overflow, SIZE, TRANSFERS_IN_FLIGHT, WAITING_FRAMES,
    block, console, entropy, network,
};

use self::memory::{ALIAS, BASE, Memory, PAGE, PAGES};
use crate::Hand;

const STATUS: u64 = 0x70;
const NEEDS_RESET: u64 = 64;
const DRIVER_OK: u64 = 4;
const FEATURES_OK: u64 = 8;
const INTERRUPT_STATUS: u64 = 0x60;

/// What one call may do to memory at most: two queues of 128 descriptors, and for a disk as many transfers there and back as are in flight, each
/// in as many pieces as there are descriptors.
const MOST_ACCESSES: usize = 2 * (128 * 4 + 2 * TRANSFERS_IN_FLIGHT * 130);
const MOST_BYTES: usize = 2 * TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER + 0x1_0000;

/// The host's side.
enum Port {
    Console(ConsolePort),
    Disk(DiskPort, Vec<(u64, usize)>),
    Network(NetworkPort),
    Entropy,
}

/// Gives half of what it is asked for, and every fourth time nothing.
struct Source(usize);

impl EntropySource for Source {
    fn fill(&mut self, to: &mut [u8]) -> usize {
        self.0 += 1;
        to.fill(0x5A);
        if self.0.is_multiple_of(4) {
            0
        } else {
            to.len().div_ceil(2)
        }
    }
}

/// One device, its driver and its host.
struct Bench {
    device: Box<dyn MmioDevice>,
    port: Port,
    memory: Memory,
    /// The available index of each queue, as an honest driver would have it.
    available: [u16; 2],
    size: u16,
}

/// Lets a driver made of these bytes use one device.
///
/// # Panics
///
/// If the device does, if it touches memory after it has said that it needs a reset or does not say so when it missed, if a call
/// does more than it may, if a port holds more than it may, or if the device does not work after a reset.
pub fn run(data: &[u8]) {
    let mut hand = Hand::new(data);
    let mut bench = Bench::new(&mut hand);
    if !hand.seldom(8) {
        bench.set_up(8 << hand.below(5));
    }
    while !hand.is_empty() {
        bench.step(&mut hand);
        bench.check();
    }
    bench.recover();
}

impl Bench {
    fn new(hand: &mut Hand<'_>) -> Self {
        let disk = Disk {
            sectors: 1 << hand.below(64),
            read_only: hand.seldom(4),
            id: [7; 20],
        };
        let (device, port): (Box<dyn MmioDevice>, _) = match hand.below(5) {
            0 => {
                let (device, port) = console(Overflow::Wait);
                (Box::new(device), Port::Console(port))
            }
            1 => {
                let (device, port) = console(Overflow::DropOldest);
                (Box::new(device), Port::Console(port))
            }
            2 => {
                let (device, port) = block(disk);
                (Box::new(device), Port::Disk(port, Vec::new()))
            }
            3 => {
                let (device, port) = network([2, 0, 0, 0, 0, 1]);
                (Box::new(device), Port::Network(port))
            }
            _ => (Box::new(entropy(Source(0))), Port::Entropy),
        };
        Self {
            device,
            port,
            memory: Memory::new(),
            available: [0; 2],
            size: 0,
        }
    }

    fn step(&mut self, hand: &mut Hand<'_>) {
        match hand.below(16) {
            0 if hand.seldom(2) => {
                let size = 1 << hand.below(8);
                self.set_up(size);
            }
            1 if hand.seldom(2) => {
                let offset = 4 * hand.below(64) as u64;
                let value = hand.value();
                self.set(offset, value & 0xFFFF_FFFF);
            }
            1 | 2 => {
                let (offset, size) = (hand.value() % (2 * SIZE), 1 << hand.below(4));
                let value = hand.value() >> (64 - 8 * size);
                let read = self.device.read(offset, size);
                assert!(size == 8 || read >> (8 * size) == 0, "{read:#x}");
                self.write(offset, size, value);
            }
            0 | 3..8 if matches!(self.port, Port::Disk(..)) && !hand.seldom(3) => {
                self.disk_request(hand);
            }
            0 | 3..8 => self.chain(hand),
            8 if hand.seldom(4) => {
                let queue = hand.below(2);
                self.available[queue] = hand.value() as u16;
                self.put_available(queue);
            }
            8 | 9 => self.set(0x50, hand.below(3) as u64),
            10 => self.poll(),
            11..14 => self.host(hand),
            14 if hand.seldom(2) => self.memory.toggle(hand.below(PAGES as usize) as u32),
            14 if hand.seldom(2) => {
                let at = BASE + hand.value() % (PAGES * PAGE);
                self.memory.put(at, &hand.value().to_le_bytes());
            }
            15 if hand.seldom(8) => self.memory.set_noise(hand.byte()),
            15 if hand.seldom(2) => self.memory.set_noise(0),
            _ => self.poll(),
        }
    }

    /// Where the descriptors, the available and the used ring of a queue are.
    fn rings(queue: usize) -> [u64; 3] {
        let first = BASE + 3 * PAGE * queue as u64;
        [first | ALIAS, first + PAGE, first + 2 * PAGE]
    }

    /// What an honest driver does first.
    fn set_up(&mut self, size: u16) {
        for value in [0, 3] {
            self.set(STATUS, value);
        }
        self.set(0x24, 1);
        self.set(0x20, 1);
        self.set(STATUS, 11);
        for queue in 0..2 {
            self.set(0x30, queue);
            let size = u64::from(size).min(self.device.read(0x34, 4));
            self.set(0x38, size);
            let offsets = [0x80, 0x90, 0xA0];
            for (offset, address) in offsets.into_iter().zip(Self::rings(queue as usize)) {
                self.set(offset, address & 0xFFFF_FFFF);
                self.set(offset + 4, address >> 32);
            }
            self.available[queue as usize] = 0;
            self.put_available(queue as usize);
            self.set(0x44, 1);
        }
        self.size = size;
        self.set(STATUS, 15);
    }

    fn put_available(&self, queue: usize) {
        let [_, ring, _] = Self::rings(queue);
        self.memory.put(
            ring,
            &(u32::from(self.available[queue]) << 16).to_le_bytes(),
        );
    }

    /// A chain as an honest driver makes it, mostly: up to four descriptors, first what is readable and then what is writable.
    fn chain(&mut self, hand: &mut Hand<'_>) {
        let queue = hand.below(2);
        let head = 4 * hand.below(2) as u16;
        let (last, readable) = (hand.below(4) as u16, hand.below(5) as u16);
        for n in 0..=last {
            let is_writable = n >= readable;
            let address = BASE + PAGE * (6 + hand.below(26) as u64) + u64::from(hand.byte());
            let length = hand.pick(&[16, 1, 512, 1530, 64, 4096, 76, 0x1_0000, 513, 0]);
            if n == 0 {
                // What a disk takes for a header.
                let kind = hand.pick(&[0_u32, 1, 4, 8, 77]);
                self.memory.put(address, &kind.to_le_bytes());
                self.memory
                    .put(address + 8, &u64::from(hand.byte() % 4).to_le_bytes());
            }
            let flags = u16::from(n != last) | u16::from(is_writable) << 1;
            self.descriptor(queue, head + n, address, length, flags, head + n + 1);
        }
        if hand.seldom(6) {
            self.damage(hand, queue);
        }
        if !hand.seldom(6) {
            self.offer(hand, queue, head);
        }
    }

    /// A request as an honest driver of a disk makes it, of up to 255 sectors, or one byte that is not.
    fn disk_request(&mut self, hand: &mut Hand<'_>) {
        let head = 4 * hand.below(2) as u16;
        let header = BASE + PAGE * 6 + 16 * u64::from(head);
        let kind = hand.pick(&[0, 1, 4, 8]);
        self.memory.put(header, &u32::to_le_bytes(kind));
        self.memory
            .put(header + 8, &u64::from(hand.byte() % 8).to_le_bytes());
        let length = 512 * u32::from(hand.byte()) + u32::from(hand.seldom(8));
        let data = BASE + PAGE * 7 + u64::from(hand.byte());
        let flags = if kind == 1 { 1 } else { 3 };
        self.descriptor(0, head, header, 16, 1, head + 1);
        self.descriptor(
            0,
            head + 1,
            data,
            length.min(24 * PAGE as u32),
            flags,
            head + 2,
        );
        self.descriptor(0, head + 2, header + 0x800, 1, 2, 0);
        if hand.seldom(8) {
            self.damage(hand, 0);
        }
        self.offer(hand, 0, head);
    }

    fn damage(&mut self, hand: &mut Hand<'_>, queue: usize) {
        let [table, ..] = Self::rings(queue);
        let at = table + 16 * hand.below(8) as u64;
        match hand.below(4) {
            0 => self.memory.put(at, &hand.value().to_le_bytes()),
            1 => self
                .memory
                .put(at + 8, &(hand.value() as u32).to_le_bytes()),
            2 => self.memory.put(at + 12, &[hand.byte() % 8]),
            _ => self.memory.put(at + 14, &[hand.byte() % 16]),
        }
    }

    fn descriptor(
        &self,
        queue: usize,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    ) {
        let [table, ..] = Self::rings(queue);
        let word = u128::from(address)
            | u128::from(length) << 64
            | u128::from(flags) << 96
            | u128::from(next) << 112;
        let at = table + 16 * u64::from(index);
        self.memory.put(at, &word.to_le_bytes());
    }

    fn offer(&mut self, hand: &mut Hand<'_>, queue: usize, head: u16) {
        let [_, ring, _] = Self::rings(queue);
        let slot = self.available[queue] % self.size.max(1);
        self.memory
            .put(ring + 4 + 2 * u64::from(slot), &head.to_le_bytes());
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.put_available(queue);
        if hand.seldom(2) {
            self.set(0x50, queue as u64);
        }
    }

    /// Somebody uses the port, and says so or not.
    fn host(&mut self, hand: &mut Hand<'_>) {
        match &mut self.port {
            Port::Console(port) => match hand.below(3) {
                0 => {
                    port.send_input(&vec![b'x'; 1 << hand.below(12)]);
                }
                1 => {
                    port.take_output(1 << hand.below(20));
                }
                _ => port.resize(hand.byte().into(), 24),
            },
            Port::Disk(port, taken) => match hand.below(3) {
                0 => {
                    if let Some(request) = port.take_request() {
                        let length = match request.operation {
                            Operation::Read { length } => length,
                            Operation::Write { data } => {
                                assert!(data.len() <= LONGEST_TRANSFER);
                                0
                            }
                            Operation::Flush => 0,
                        };
                        assert!(length <= LONGEST_TRANSFER);
                        taken.push((request.tag, length));
                    }
                }
                1 if !taken.is_empty() => {
                    let (tag, length) = taken.remove(hand.below(taken.len()));
                    port.complete(tag, Ok(vec![3; length]));
                }
                _ => {
                    port.complete(u64::from(hand.byte()), Err(DiskError));
                }
            },
            Port::Network(port) => match hand.below(2) {
                0 => {
                    port.send_frame(&vec![1; hand.below(256) * 7]);
                }
                _ => {
                    let frame = port.take_frame();
                    assert!(frame.is_none_or(|frame| frame.len() <= LONGEST_FRAME));
                }
            },
            Port::Entropy => {}
        }
        if hand.seldom(2) {
            self.poll();
        }
    }

    fn set(&mut self, offset: u64, value: u64) {
        self.write(offset, 4, value);
    }

    fn write(&mut self, offset: u64, size: u64, value: u64) {
        let stopped = self.needs_reset();
        self.memory.take_work();
        self.device.write(offset, size, value, &self.memory);
        self.check_work(stopped);
    }

    fn poll(&mut self) {
        let stopped = self.needs_reset();
        self.memory.take_work();
        self.device.poll(&self.memory);
        self.check_work(stopped);
    }

    fn needs_reset(&mut self) -> bool {
        self.device.read(STATUS, 4) & NEEDS_RESET != 0
    }

    fn check_work(&mut self, stopped: bool) {
        let work = self.memory.take_work();
        assert!(work.accesses <= MOST_ACCESSES, "{work:?}");
        assert!(work.bytes <= MOST_BYTES, "{work:?}");
        assert!(!stopped || work.accesses == 0, "it had stopped: {work:?}");
        assert!(work.missed <= 1, "it goes on after nonsense: {work:?}");
        assert!(work.missed == 0 || self.needs_reset(), "it does not say so");
    }

    /// What holds all the time.
    fn check(&mut self) {
        let status = self.device.read(STATUS, 4);
        assert!(
            status & DRIVER_OK == 0 || status & FEATURES_OK != 0,
            "{status:#x}"
        );
        let interrupts = self.device.read(INTERRUPT_STATUS, 4);
        assert_eq!(self.device.is_asserted(), interrupts != 0);
    }

    /// A reset makes all good, whatever was before.
    fn recover(&mut self) {
        self.memory.share_all();
        for ring in [1, 2, 4, 5] {
            self.memory.put(BASE + ring * PAGE, &[0; PAGE as usize]);
        }
        self.set_up(4);
        assert_eq!(self.device.read(STATUS, 4), 15);
        self.host_is_bounded();
        assert_eq!(self.memory.read(BASE - 1, &mut [0]), Err(NotShared));
        // One buffer of each direction, for the queue that has something to do.
        let queue = match self.port {
            Port::Console(_) | Port::Network(_) => 1,
            Port::Disk(..) | Port::Entropy => 0,
        };
        let [_, ring, used] = Self::rings(queue);
        let buffer = BASE + 8 * PAGE;
        self.memory.put(buffer, &[0; 64]);
        // A disk is asked for its name.
        self.memory.put(buffer, &[8]);
        self.descriptor(queue, 0, buffer, 64, 1, 1);
        self.descriptor(queue, 1, buffer + PAGE, 64, 2, 0);
        self.memory.put(ring, &(1_u64 << 16).to_le_bytes());
        self.set(0x50, queue as u64);
        // An entropy source may have nothing the first time.
        self.poll();
        let mut index = [0; 2];
        let read = self.memory.read(used + 2, &mut index);
        assert_eq!(
            (read, u16::from_le_bytes(index)),
            (Ok(()), 1),
            "it works again"
        );
        assert!(self.device.is_asserted());
    }

    /// What was waiting in ports was never more than it may be.
    fn host_is_bounded(&mut self) {
        match &mut self.port {
            Port::Console(port) => assert!(port.take_output(usize::MAX).len() <= CONSOLE_ROOM),
            Port::Disk(port, _) => assert!(!port.has_requests(), "there is no driver yet"),
            Port::Network(port) => {
                let frames = std::iter::from_fn(|| port.take_frame());
                assert!(frames.count() <= WAITING_FRAMES);
            }
            Port::Entropy => {}
        }
    }
}
