//! Virtio over MMIO, version 2 (virtio 1.2, section 4.2).

use alloc::string::ToString;
use alloc::vec::Vec;

use super::Fault;
use super::queue::{Area, Queue};
use crate::bus::{DriverFault, MmioDevice, SharedMemory};

/// Bytes of address space that a device takes.
pub const SIZE: u64 = 0x200;

const MAGIC_VALUE: u64 = 0x000;
const VERSION: u64 = 0x004;
const DEVICE_ID: u64 = 0x008;
const VENDOR_ID: u64 = 0x00C;
const DEVICE_FEATURES: u64 = 0x010;
const DEVICE_FEATURES_SEL: u64 = 0x014;
const DRIVER_FEATURES: u64 = 0x020;
const DRIVER_FEATURES_SEL: u64 = 0x024;
const QUEUE_SEL: u64 = 0x030;
const QUEUE_NUM_MAX: u64 = 0x034;
const QUEUE_NUM: u64 = 0x038;
const QUEUE_READY: u64 = 0x044;
const QUEUE_NOTIFY: u64 = 0x050;
const INTERRUPT_STATUS: u64 = 0x060;
const INTERRUPT_ACK: u64 = 0x064;
const STATUS: u64 = 0x070;
const QUEUE_DESC_LOW: u64 = 0x080;
const QUEUE_DESC_HIGH: u64 = 0x084;
const QUEUE_DRIVER_LOW: u64 = 0x090;
const QUEUE_DRIVER_HIGH: u64 = 0x094;
const QUEUE_DEVICE_LOW: u64 = 0x0A0;
const QUEUE_DEVICE_HIGH: u64 = 0x0A4;
const SHM_LEN_LOW: u64 = 0x0B0;
const SHM_BASE_HIGH: u64 = 0x0BC;
const CONFIG_GENERATION: u64 = 0x0FC;
const CONFIG: u64 = 0x100;

/// "virt", little-endian.
const MAGIC: u32 = 0x7472_6976;
/// Anything: "SUZE".
const VENDOR: u32 = 0x455A_5553;

/// Feature: conforms to version 1.
const VERSION_1: u64 = 1 << 32;
/// Feature: what the driver gives the device are not simply physical addresses. In a realm, only shared memory can be reached.
const ACCESS_PLATFORM: u64 = 1 << 33;

const DRIVER_OK: u32 = 4;
const FEATURES_OK: u32 = 8;
const NEEDS_RESET: u32 = 64;
/// The bits of the status that a driver sets: ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED.
const FROM_DRIVER: u32 = 1 | 2 | DRIVER_OK | FEATURES_OK | 128;

const USED: u32 = 1;
const CONFIGURATION: u32 = 2;

/// What a kind of device does, behind the registers and queues that all kinds have.
pub trait Device: Send {
    /// The number of the kind (virtio 1.2, section 5).
    const ID: u32;
    /// The largest sizes of its queues, powers of two.
    const QUEUES: &'static [u16];

    /// The features of the kind that are offered. What all kinds offer is added.
    fn features(&self) -> u64;

    /// The configuration space, as far as it is not zero.
    fn config(&self, space: &mut [u8; 64]);

    /// Whether the configuration has changed since the last call.
    fn is_reconfigured(&mut self) -> bool {
        false
    }

    /// Forgets what was going on with any queue.
    fn reset(&mut self);

    /// Does with a queue, which is ready, whatever can be done now.
    ///
    /// # Errors
    ///
    /// What the driver did wrong: the device is not called again until it was reset.
    fn serve(
        &mut self,
        index: usize,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault>;
}

/// A device on the bus.
#[derive(Debug)]
pub struct Transport<D> {
    device: D,
    queues: Vec<Queue>,
    status: u32,
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    interrupt: u32,
    generation: u32,
    fault: Option<Fault>,
}

impl<D: Device> Transport<D> {
    pub(super) fn new(device: D) -> Self {
        Self {
            device,
            queues: D::QUEUES.iter().map(|&max| Queue::new(max)).collect(),
            status: 0,
            device_features_select: 0,
            driver_features_select: 0,
            driver_features: 0,
            queue_select: 0,
            interrupt: 0,
            generation: 0,
            fault: None,
        }
    }

    /// What the driver did wrong last, if it did. A reset does not make it forgotten.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    fn features(&self) -> u64 {
        self.device.features() | VERSION_1 | ACCESS_PLATFORM
    }

    fn is_running(&self) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    fn queue(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.queue_select as usize)
    }

    fn register(&mut self, offset: u64) -> u32 {
        match offset {
            MAGIC_VALUE => MAGIC,
            VERSION => 2,
            DEVICE_ID => D::ID,
            VENDOR_ID => VENDOR,
            DEVICE_FEATURES => half(self.features(), self.device_features_select),
            QUEUE_NUM_MAX => self.queue().map_or(0, |queue| queue.max().into()),
            QUEUE_READY => self.queue().is_some_and(|queue| queue.is_ready()).into(),
            INTERRUPT_STATUS => self.interrupt,
            STATUS => self.status,
            // No shared memory region: its length is all ones.
            SHM_LEN_LOW..=SHM_BASE_HIGH => u32::MAX,
            CONFIG_GENERATION => self.generation,
            _ => 0,
        }
    }

    fn set_register(&mut self, offset: u64, value: u32, memory: &dyn SharedMemory) {
        match offset {
            DEVICE_FEATURES_SEL => self.device_features_select = value,
            DRIVER_FEATURES_SEL => self.driver_features_select = value,
            DRIVER_FEATURES => self.set_features(value),
            QUEUE_SEL => self.queue_select = value,
            QUEUE_NUM => self.with_queue(|queue| queue.set_size(value)),
            QUEUE_DESC_LOW => self.set_address(Area::Descriptors, false, value),
            QUEUE_DESC_HIGH => self.set_address(Area::Descriptors, true, value),
            QUEUE_DRIVER_LOW => self.set_address(Area::Driver, false, value),
            QUEUE_DRIVER_HIGH => self.set_address(Area::Driver, true, value),
            QUEUE_DEVICE_LOW => self.set_address(Area::Device, false, value),
            QUEUE_DEVICE_HIGH => self.set_address(Area::Device, true, value),
            QUEUE_READY => self.set_ready(value),
            QUEUE_NOTIFY => self.serve(value as usize, memory),
            INTERRUPT_ACK => self.interrupt &= !value,
            STATUS => self.set_status(value, memory),
            _ => {}
        }
    }

    fn with_queue(&mut self, f: impl FnOnce(&mut Queue)) {
        if let Some(queue) = self.queue() {
            f(queue);
        }
    }

    fn set_address(&mut self, area: Area, high: bool, value: u32) {
        self.with_queue(|queue| queue.set_address(area, high, value));
    }

    fn set_features(&mut self, value: u32) {
        if self.status & FEATURES_OK == 0 && self.driver_features_select < 2 {
            let shift = 32 * self.driver_features_select;
            self.driver_features =
                self.driver_features & !(0xFFFF_FFFF << shift) | u64::from(value) << shift;
        }
    }

    fn set_ready(&mut self, value: u32) {
        if self.status & (FEATURES_OK | NEEDS_RESET) != FEATURES_OK {
            return;
        }
        let Some(queue) = self.queues.get_mut(self.queue_select as usize) else {
            return;
        };
        let result = match (value & 1, queue.is_ready()) {
            (1, false) => queue.start(),
            // Whatever the device has of this queue, it must not come back to it.
            (0, true) => {
                queue.reset();
                self.device.reset();
                Ok(())
            }
            _ => Ok(()),
        };
        self.check(result);
    }

    fn set_status(&mut self, value: u32, memory: &dyn SharedMemory) {
        if value == 0 {
            self.reset();
            return;
        }
        let mut set = value & FROM_DRIVER & !self.status;
        if set & FEATURES_OK != 0 {
            let unknown = self.driver_features & !self.features();
            if unknown != 0 || self.driver_features & VERSION_1 == 0 {
                set &= !FEATURES_OK;
            }
        }
        if (self.status | set) & FEATURES_OK == 0 {
            set &= !DRIVER_OK;
        }
        self.status |= set;
        if set & DRIVER_OK != 0 {
            self.poll(memory);
        }
    }

    fn reset(&mut self) {
        self.queues.iter_mut().for_each(Queue::reset);
        self.device.reset();
        self.status = 0;
        self.device_features_select = 0;
        self.driver_features_select = 0;
        self.driver_features = 0;
        self.queue_select = 0;
        self.interrupt = 0;
    }

    /// Lets the device do what can be done with a queue.
    fn serve(&mut self, index: usize, memory: &dyn SharedMemory) {
        if !self.is_running() {
            return;
        }
        let Some(queue) = self.queues.get_mut(index).filter(|queue| queue.is_ready()) else {
            return;
        };
        let served = self.device.serve(index, queue, memory);
        match served.and_then(|()| queue.wants_interrupt(memory)) {
            Ok(true) => self.interrupt |= USED,
            Ok(false) => {}
            Err(fault) => self.check(Err(fault)),
        }
    }

    /// After nonsense, the device does nothing until it is reset, and says so.
    fn check(&mut self, result: Result<(), Fault>) {
        if let Err(fault) = result {
            self.fault = Some(fault);
            self.device.reset();
            if self.status & DRIVER_OK != 0 {
                self.interrupt |= CONFIGURATION;
            }
            self.status |= NEEDS_RESET;
        }
    }
}

impl<D: Device> MmioDevice for Transport<D> {
    fn read(&mut self, offset: u64, size: u64) -> u64 {
        match offset {
            CONFIG.. => {
                let mut space = [0; 64];
                self.device.config(&mut space);
                let bytes = space.iter().skip((offset - CONFIG) as usize);
                let bytes = bytes.take(size.min(8) as usize).enumerate();
                bytes.fold(0, |value, (n, &byte)| value | u64::from(byte) << (8 * n))
            }
            _ if size == 4 && offset.is_multiple_of(4) => self.register(offset).into(),
            _ => 0,
        }
    }

    fn write(&mut self, offset: u64, size: u64, value: u64, memory: &dyn SharedMemory) {
        // Nothing in the configuration of any device here can be written to.
        if offset < CONFIG && size == 4 && offset.is_multiple_of(4) {
            self.set_register(offset, value as u32, memory);
        }
    }

    fn poll(&mut self, memory: &dyn SharedMemory) {
        if self.device.is_reconfigured() {
            self.generation = self.generation.wrapping_add(1);
            if self.is_running() {
                self.interrupt |= CONFIGURATION;
            }
        }
        for index in 0..self.queues.len() {
            self.serve(index, memory);
        }
    }

    fn is_asserted(&self) -> bool {
        self.interrupt != 0
    }

    fn driver_fault(&self) -> Option<DriverFault> {
        self.fault.map(|fault| DriverFault {
            what: fault.to_string(),
            is_stopped: self.status & NEEDS_RESET != 0,
        })
    }
}

/// The half of a word that a selector selects; there is nothing beyond.
const fn half(word: u64, select: u32) -> u32 {
    match select {
        0 => word as u32,
        1 => (word >> 32) as u32,
        _ => 0,
    }
}
