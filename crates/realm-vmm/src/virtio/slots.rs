//! The slots of the realm's address space that virtio devices are in.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use spin::Mutex;

use super::transport;
use crate::bus::{DriverFault, MmioDevice, SharedMemory};

/// Where the first slot is in the realm's address space, without the bit of the unprotected alias.
pub const SLOTS_BASE: u64 = 0x0A00_0000;
/// How many slots there are.
pub const SLOTS: usize = 8;
/// The INTID of the first slot: SPI 16. Level-sensitive, one for each slot.
pub const FIRST_INTID: u32 = 48;

/// Where a slot is in the realm's address space, without the bit of the unprotected alias.
#[must_use]
pub const fn slot_base(slot: usize) -> u64 {
    SLOTS_BASE + transport::SIZE * slot as u64
}

/// The INTID of a slot.
#[must_use]
pub const fn slot_intid(slot: usize) -> u32 {
    FIRST_INTID + slot as u32
}

/// What is told the level of an interrupt line: its INTID, and whether it is high.
///
/// It is called while the device is locked, so that of two changes of a line the later one is told last. It may lock the interrupt
/// controller, which in turn must not call devices while it is locked.
pub type Lines<'l> = dyn FnMut(u32, bool) + 'l;

/// The devices of a realm, in slots from the first one on.
///
/// All PEs call it at once; each device has a lock of its own.
#[derive(Default)]
pub struct Slots(Vec<Mutex<Box<dyn MmioDevice>>>);

impl Slots {
    /// No devices.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Puts a device into the next slot, and says which one that is. `None` if all are taken.
    pub fn add(&mut self, device: impl MmioDevice + 'static) -> Option<usize> {
        let slot = self.0.len();
        (slot < SLOTS).then(|| {
            self.0.push(Mutex::new(Box::new(device)));
            slot
        })
    }

    /// How many devices there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slot of the device at an address (without the bit of the unprotected alias), and the offset in it.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<(usize, u64)> {
        let offset = address.checked_sub(SLOTS_BASE)?;
        let slot = usize::try_from(offset / transport::SIZE).ok()?;
        (slot < self.0.len()).then_some((slot, offset % transport::SIZE))
    }

    /// Reads a register of the device in a slot.
    #[must_use]
    pub fn read(&self, slot: usize, offset: u64, size: u64) -> u64 {
        let device = self.0.get(slot);
        device.map_or(0, |device| device.lock().read(offset, size))
    }

    /// Writes a register of the device in a slot.
    pub fn write(
        &self,
        slot: usize,
        offset: u64,
        size: u64,
        value: u64,
        memory: &dyn SharedMemory,
        lines: &mut Lines<'_>,
    ) {
        if let Some(device) = self.0.get(slot) {
            let mut device = device.lock();
            device.write(offset, size, value, memory);
            lines(slot_intid(slot), device.is_asserted());
        }
    }

    /// Lets the device in a slot go on, after its port was used.
    pub fn poll(&self, slot: usize, memory: &dyn SharedMemory, lines: &mut Lines<'_>) {
        if let Some(device) = self.0.get(slot) {
            let mut device = device.lock();
            device.poll(memory);
            lines(slot_intid(slot), device.is_asserted());
        }
    }

    /// What the driver of the device in a slot has done wrong last, if it has.
    #[must_use]
    pub fn driver_fault(&self, slot: usize) -> Option<DriverFault> {
        self.0.get(slot)?.lock().driver_fault()
    }

    /// Lets all devices go on.
    pub fn poll_all(&self, memory: &dyn SharedMemory, lines: &mut Lines<'_>) {
        (0..self.0.len()).for_each(|slot| self.poll(slot, memory, lines));
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("devices", &self.len())
            .finish()
    }
}
