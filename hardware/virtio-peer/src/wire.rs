//! The wire between a driver of `virtio-drivers` and a device: what its MMIO transport does, with calls instead of accesses.

use std::cell::RefCell;
use std::rc::Rc;

use realm_vmm::bus::MmioDevice;
use realm_vmm::virtio::{Device, Transport as Registers};
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::memory;

/// A device whose registers are called.
pub struct Wire<D> {
    /// The device, whose registers and state a test may look at.
    pub device: Rc<RefCell<Registers<D>>>,
    /// What the host does after a notification, before it polls the device.
    host: Box<dyn FnMut()>,
}

impl<D: Device> Wire<D> {
    /// Connects a driver with `device`; `host` is what the host does after each notification.
    pub fn new(device: Registers<D>, host: impl FnMut() + 'static) -> Self {
        Self {
            device: Rc::new(RefCell::new(device)),
            host: Box::new(host),
        }
    }

    fn get(&self, offset: u64) -> u32 {
        self.device.borrow_mut().read(offset, 4) as u32
    }

    fn set(&self, offset: u64, value: u32) {
        let memory = memory();
        let mut device = self.device.borrow_mut();
        device.write(offset, 4, value.into(), &memory);
    }

    fn set_address(&self, offset: u64, address: PhysAddr) {
        self.set(offset, address as u32);
        self.set(offset + 4, (address >> 32) as u32);
    }
}

impl<D: Device> Transport for Wire<D> {
    fn device_type(&self) -> DeviceType {
        assert_eq!((self.get(0), self.get(4)), (0x7472_6976, 2));
        DeviceType::try_from(self.get(8)).expect("a device")
    }

    fn read_device_features(&mut self) -> u64 {
        self.set(0x14, 0);
        let low = self.get(0x10);
        self.set(0x14, 1);
        u64::from(self.get(0x10)) << 32 | u64::from(low)
    }

    fn write_driver_features(&mut self, features: u64) {
        for half in 0..2 {
            self.set(0x24, half);
            self.set(0x20, (features >> (32 * half)) as u32);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.set(0x30, queue.into());
        self.get(0x34)
    }

    fn notify(&mut self, queue: u16) {
        self.set(0x50, queue.into());
        // A read may take several rounds.
        for _ in 0..8 {
            (self.host)();
            self.device.borrow_mut().poll(&memory());
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(self.get(0x70))
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.set(0x70, status.bits());
        assert_eq!(self.get_status(), status);
    }

    fn set_guest_page_size(&mut self, _size: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        self.set(0x30, queue.into());
        self.set(0x38, size);
        self.set_address(0x80, descriptors);
        self.set_address(0x90, driver_area);
        self.set_address(0xA0, device_area);
        self.set(0x44, 1);
        assert_eq!(self.get(0x44), 1);
    }

    fn queue_unset(&mut self, queue: u16) {
        self.set(0x30, queue.into());
        self.set(0x44, 0);
        assert_eq!(self.get(0x44), 0);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.set(0x30, queue.into());
        self.get(0x44) != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        let bits = self.get(0x60);
        self.set(0x64, bits);
        assert!(!self.device.borrow().is_asserted());
        InterruptStatus::from_bits_truncate(bits)
    }

    fn read_config_generation(&self) -> u32 {
        self.get(0xFC)
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut device = self.device.borrow_mut();
        let bytes: Vec<_> = (0..size_of::<T>())
            .map(|n| device.read(0x100 + (offset + n) as u64, 1) as u8)
            .collect();
        T::read_from_bytes(&bytes).map_err(|_| Error::ConfigSpaceTooSmall)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        _offset: usize,
        _value: T,
    ) -> Result<()> {
        Err(Error::ConfigSpaceMissing)
    }
}
