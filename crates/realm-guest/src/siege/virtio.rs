//! The ways to do one's worst with devices of virtio's (virtio 1.2, section 4.2). None of them ends.

use super::ground::Attacker;
use crate::puppet::PuppetPe;
use crate::{GRANULE_SIZE, Ripas};

/// Where the host has the devices (`realm_vmm::board`), in the protected half.
const SLOTS: u64 = 0x0A00_0000;
const SLOT_SIZE: u64 = 0x200;
const SLOT_COUNT: u64 = 8;
/// Devices that there are to confuse: two consoles, a disk, a network. Nothing answers behind them.
const CONFUSED: u64 = 4;

const DEVICE_ID: u64 = 0x008;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const STATUS: u64 = 0x070;
/// Low and high words of the addresses of descriptors, available and used ring.
const AREAS: [u64; 3] = [0x080, 0x090, 0x0A0];

const NETWORK: u32 = 1;
const DISK: u32 = 2;
const NEXT: u64 = 1;
const WRITE: u64 = 2;

/// Entries of the queues that are used.
const ENTRIES: u64 = 64;
/// Bytes of the largest transfer of a disk.
const TRANSFER: u64 = 64 << 10;

/// A device and the shared memory in which its rings are: a page each, then data.
struct Driver<'a, 'p, P> {
    attacker: &'a Attacker<'p, P>,
    registers: u64,
    rings: u64,
    available: u64,
}

impl<'a, 'p, P: PuppetPe> Driver<'a, 'p, P> {
    /// A device in a slot, with the first pages of this vCPU's part of memory.
    fn new(attacker: &'a Attacker<'p, P>, slot: u64) -> Self {
        let memory = attacker.slice();
        let pages = (memory.end - memory.start) / GRANULE_SIZE;
        attacker.set(memory.start, pages.min(128), Ripas::Empty);
        Self {
            attacker,
            registers: attacker.width.shared(SLOTS) + slot % SLOT_COUNT * SLOT_SIZE,
            rings: attacker.width.shared(memory.start),
            available: 0,
        }
    }

    /// The first device of a kind.
    fn find(attacker: &'a Attacker<'p, P>, kind: u32) -> Option<Self> {
        let mut slots = (0..SLOT_COUNT).map(|slot| Self::new(attacker, slot));
        slots.find(|driver| driver.attacker.pe.load_device(driver.registers + DEVICE_ID) == kind)
    }

    fn set(&self, register: u64, value: u64) {
        self.attacker
            .pe
            .store_device(self.registers + register, value as u32);
    }

    fn area(&self, number: u64) -> u64 {
        self.rings + number * GRANULE_SIZE
    }

    /// Where data is, behind the rings.
    fn data(&self) -> u64 {
        self.area(4)
    }

    /// Resets the device and gives it a queue.
    fn start(&mut self, queue: u64) {
        self.available = 0;
        for page in 0..3 {
            for at in (0..GRANULE_SIZE).step_by(8) {
                self.attacker.pe.write(self.area(page) + at, 0);
            }
        }
        self.set(STATUS, 0);
        self.set(STATUS, 1);
        self.set(STATUS, 3);
        // VERSION_1 and ACCESS_PLATFORM, in the upper word.
        self.set(DRIVER_FEATURES_SEL, 1);
        self.set(DRIVER_FEATURES, 3);
        self.set(STATUS, 11);
        self.set(QUEUE_SEL, queue);
        self.set(QUEUE_NUM, ENTRIES);
        for (register, number) in AREAS.into_iter().zip(0..) {
            self.set(register, self.area(number));
            self.set(register + 4, self.area(number) >> 32);
        }
        self.set(QUEUE_READY, 1);
        self.set(STATUS, 15);
    }

    fn describe(&self, entry: u64, address: u64, length: u64, flags: u64, next: u64) {
        let place = self.area(0) + 16 * (entry % ENTRIES);
        self.attacker.pe.write(place, address);
        let rest = length & 0xFFFF_FFFF | flags << 32 | (next & 0xFFFF) << 48;
        self.attacker.pe.write(place + 8, rest);
    }

    /// Makes chains available that start at these descriptors, and says so.
    fn offer(&mut self, heads: impl Iterator<Item = u64>, queue: u64) {
        for head in heads {
            let at = 4 + 2 * (self.available % ENTRIES);
            self.change(at, head);
            self.available += 1;
        }
        self.change(2, self.available);
        self.set(QUEUE_NOTIFY, queue);
    }

    /// Changes 16 bits of the available ring.
    fn change(&self, at: u64, value: u64) {
        let word = self.area(1) + at / 8 * 8;
        let shift = at % 8 * 8;
        let old = self.attacker.pe.read(word);
        let new = old & !(0xFFFF << shift) | (value & 0xFFFF) << shift;
        self.attacker.pe.write(word, new);
    }
}

/// Writes of 64 KiB, as many as the queue takes, and a reset while they are outside; now and then all are waited for.
pub(super) fn write_and_reset<P: PuppetPe>(attacker: &Attacker<'_, P>) {
    let Some(mut driver) = Driver::find(attacker, DISK).filter(|_| attacker.index == 0) else {
        return attacker.leave();
    };
    for round in 0u64.. {
        driver.start(0);
        let header = driver.data();
        let (status, data) = (header + 32, header + GRANULE_SIZE);
        // Write (1) or read (0), sector 0.
        attacker.pe.write(header, round % 2);
        attacker.pe.write(header + 8, 0);
        let device_writes = if round % 2 == 0 { WRITE } else { 0 };
        for request in 0..ENTRIES / 3 {
            let first = 3 * request;
            driver.describe(first, header, 16, NEXT, first + 1);
            driver.describe(first + 1, data, TRANSFER, NEXT | device_writes, first + 2);
            driver.describe(first + 2, status, 1, WRITE, 0);
        }
        driver.offer((0..ENTRIES / 3).map(|request| 3 * request), 0);
        if round % 16 == 15 {
            let used = driver.area(2);
            let mut patience = 1_000_000;
            while attacker.pe.read(used) >> 16 & 0xFFFF == 0 && patience > 0 {
                patience -= 1;
            }
        }
    }
}

/// Frames of 1514 bytes, to everybody, as many as the queue takes.
pub(super) fn send<P: PuppetPe>(attacker: &Attacker<'_, P>) {
    let Some(mut driver) = Driver::find(attacker, NETWORK).filter(|_| attacker.index == 0) else {
        return attacker.leave();
    };
    loop {
        driver.start(1);
        let frame = driver.data();
        // A header of 12 bytes, then a frame for everybody: the first 6 bytes of it are ones.
        attacker.pe.write(frame + 8, 0xFFFF_FFFF << 32);
        attacker.pe.write(frame + 16, 0x0006_0808_0202_FFFF);
        for entry in 0..ENTRIES {
            driver.describe(entry, frame, 12 + 1514, 0, 0);
        }
        for _ in 0..1000 {
            driver.offer(0..ENTRIES, 1);
        }
    }
}

/// Descriptors, rings and registers of all devices without sense; a device that has had enough is reset.
pub(super) fn confuse<P: PuppetPe>(attacker: &Attacker<'_, P>) {
    let mut number = attacker.index + 1;
    let mut next = move || {
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        number
    };
    loop {
        let mut driver = Driver::new(attacker, next() % CONFUSED);
        let queue = next() % 3;
        driver.start(queue);
        for _ in 0..64 {
            for entry in 0..ENTRIES {
                // Shared memory more often than anything.
                let address = match next() % 4 {
                    0 => next(),
                    1 => attacker.ground.base,
                    _ => driver.data() + next() % (2 * TRANSFER),
                };
                let length = if next() % 8 == 0 {
                    next()
                } else {
                    next() % 5000
                };
                driver.describe(entry, address, length, next() % 8, next() % (ENTRIES + 2));
            }
            let heads = next() % (2 * ENTRIES);
            let first = next();
            driver.offer((first..).take(heads as usize), queue);
            if next() % 4 == 0 {
                driver.set((next() % SLOT_SIZE) & !3, next());
            }
        }
    }
}
