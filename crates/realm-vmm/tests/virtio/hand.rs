//! A driver that does exactly as it is told.

use realm_vmm::bus::MmioDevice;
use realm_vmm::virtio::Device;
use realm_vmm::virtio::Transport;

use crate::memory::{ALIAS, BASE, Memory, PAGE};

/// Descriptor flags.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// Where queue 0 is: each part in a page of its own.
pub(crate) const TABLE: u64 = BASE | ALIAS;
pub(crate) const AVAILABLE: u64 = TABLE + PAGE;
pub(crate) const USED: u64 = TABLE + 2 * PAGE;
/// Where buffers are.
pub(crate) const BUFFERS: u64 = TABLE + 8 * PAGE;
/// Pages of memory.
pub(crate) const PAGES: usize = 32;

pub(crate) const STATUS: u64 = 0x70;
pub(crate) const NEEDS_RESET: u32 = 64;
/// The status of a device in use.
pub(crate) const IN_USE: u32 = 15;

/// A device, its driver, and their memory.
pub(crate) struct Hand<D> {
    pub(crate) device: Transport<D>,
    pub(crate) memory: Memory,
    size: u16,
    available: u16,
}

impl<D: Device> Hand<D> {
    pub(crate) fn new(device: Transport<D>) -> Self {
        Self {
            device,
            memory: Memory::new(PAGES),
            size: 0,
            available: 0,
        }
    }

    /// A device whose queue `queue` is set up with `size` descriptors.
    pub(crate) fn with_queue(device: Transport<D>, queue: u32, size: u16) -> Self {
        let mut hand = Self::new(device);
        hand.start(queue, size);
        hand
    }

    /// Resets the device and sets it up.
    pub(crate) fn start(&mut self, queue: u32, size: u16) {
        self.negotiate();
        self.set_queue(queue, size.into(), [TABLE, AVAILABLE, USED]);
        self.set(STATUS, IN_USE);
        assert_eq!(self.get(STATUS), IN_USE);
    }

    /// As far as to the queues.
    pub(crate) fn negotiate(&mut self) {
        self.set(STATUS, 0);
        self.set(STATUS, 3);
        self.set(0x24, 1);
        self.set(0x20, 1);
        self.set(STATUS, 11);
        assert_eq!(self.get(STATUS), 11);
        self.memory.put(AVAILABLE, &[0; PAGE as usize]);
        self.memory.put(USED, &[0; PAGE as usize]);
        self.available = 0;
    }

    pub(crate) fn set_queue(&mut self, queue: u32, size: u32, areas: [u64; 3]) {
        self.size = size as u16;
        self.set(0x30, queue);
        self.set(0x38, size);
        for (offset, address) in [0x80, 0x90, 0xA0].into_iter().zip(areas) {
            self.set(offset, address as u32);
            self.set(offset + 4, (address >> 32) as u32);
        }
        self.set(0x44, 1);
    }

    pub(crate) fn get(&mut self, offset: u64) -> u32 {
        self.device.read(offset, 4) as u32
    }

    pub(crate) fn set(&mut self, offset: u64, value: u32) {
        self.device.write(offset, 4, value.into(), &self.memory);
    }

    pub(crate) fn poll(&mut self) {
        self.device.poll(&self.memory);
    }

    pub(crate) fn describe(&self, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let at = TABLE + 16 * u64::from(index);
        self.memory.put(at, &address.to_le_bytes());
        self.memory.put(at + 8, &length.to_le_bytes());
        self.memory.put(at + 12, &flags.to_le_bytes());
        self.memory.put(at + 14, &next.to_le_bytes());
    }

    /// Makes a chain available, without saying so.
    pub(crate) fn offer(&mut self, head: u16) {
        let slot = u64::from(self.available % self.size);
        self.memory
            .put(AVAILABLE + 4 + 2 * slot, &head.to_le_bytes());
        self.available = self.available.wrapping_add(1);
        self.set_available(self.available);
    }

    pub(crate) fn set_available(&self, index: u16) {
        self.memory.put(AVAILABLE + 2, &index.to_le_bytes());
    }

    pub(crate) fn notify(&mut self, queue: u32) {
        self.set(0x50, queue);
    }

    /// How many chains the device has given back.
    pub(crate) fn used(&self) -> u64 {
        self.memory.number::<2>(USED + 2)
    }

    /// An entry of the used ring: which chain, and how many bytes.
    pub(crate) fn entry(&self, slot: u64) -> (u64, u64) {
        let at = USED + 4 + 8 * slot;
        (self.memory.number::<4>(at), self.memory.number::<4>(at + 4))
    }

    /// Acknowledges all interrupts, and says which there were.
    pub(crate) fn acknowledge(&mut self) -> u32 {
        let interrupts = self.get(0x60);
        assert_eq!(self.device.is_asserted(), interrupts != 0);
        self.set(0x64, interrupts);
        assert!(!self.device.is_asserted());
        interrupts
    }

    pub(crate) fn needs_reset(&mut self) -> bool {
        self.get(STATUS) & NEEDS_RESET != 0
    }
}
