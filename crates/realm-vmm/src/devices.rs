//! The realm's devices: the interrupt controller, the PL011, and what has been attached to the bus.

use alloc::string::String;
use alloc::vec::Vec;

use spin::Mutex;

use crate::board::{self, Place};
use crate::bus::SharedMemory;
use crate::gic::{FIRST_SPI, Gic, REDISTRIBUTOR_SIZE, Targets};
use crate::line::Line;
use crate::pl011::Pl011;
use crate::virtio::{Lines, Slots};

/// The devices of a realm.
pub(crate) struct Devices {
    pub(crate) gic: Gic,
    uart: Mutex<Pl011>,
    /// What each vCPU has printed of its line, where vCPUs print lines.
    lines: Vec<Mutex<Line>>,
    /// Whether they do: otherwise what is printed is a stream of bytes.
    has_lines: bool,
    pub(crate) slots: Slots,
}

/// An access of a vCPU to a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) vcpu: usize,
    pub(crate) place: Place,
    /// Bytes accessed.
    pub(crate) size: u64,
    /// What is written, or `None` for a read.
    pub(crate) data: Option<u64>,
}

/// Who takes what the realm prints.
pub(crate) trait Printer {
    /// Bytes, as they come.
    fn bytes(&self, bytes: &[u8]);
    /// A line that a vCPU has ended.
    fn line(&self, vcpu: usize, text: String);
}

impl Devices {
    pub(crate) fn new(vcpus: usize, has_lines: bool) -> Self {
        Self {
            gic: Gic::new(vcpus),
            uart: Mutex::default(),
            lines: (0..vcpus).map(|_| Mutex::default()).collect(),
            has_lines,
            slots: Slots::new(),
        }
    }

    /// Whether there is a device at this place of the board.
    pub(crate) fn has(&self, place: Place) -> bool {
        match place {
            Place::Distributor(_) | Place::Uart(_) => true,
            Place::Redistributors(offset) => offset / REDISTRIBUTOR_SIZE < self.lines.len() as u64,
            Place::Virtio(slot, _) => slot < self.slots.len(),
        }
    }

    /// Carries out an access. What was read, and whom it concerns.
    pub(crate) fn access(
        &self,
        access: Access,
        memory: &dyn SharedMemory,
        printer: &impl Printer,
    ) -> (u64, Targets) {
        let Access {
            place, size, data, ..
        } = access;
        match (place, data) {
            (Place::Distributor(offset), None) => {
                (self.gic.read_distributor(offset, size), Targets::NONE)
            }
            (Place::Distributor(offset), Some(value)) => {
                (0, self.gic.write_distributor(offset, size, value))
            }
            (Place::Redistributors(offset), None) => {
                (self.gic.read_redistributor(offset, size), Targets::NONE)
            }
            (Place::Redistributors(offset), Some(value)) => {
                (0, self.gic.write_redistributor(offset, size, value))
            }
            (Place::Uart(offset), _) => self.uart(access, offset, printer),
            (Place::Virtio(slot, offset), None) => {
                (self.slots.read(slot, offset, size), Targets::NONE)
            }
            (Place::Virtio(slot, offset), Some(value)) => {
                let targets = self.with_lines(|lines| {
                    self.slots.write(slot, offset, size, value, memory, lines);
                });
                (0, targets)
            }
        }
    }

    /// What a change of interrupt lines leads to.
    fn with_lines(&self, change: impl FnOnce(&mut Lines<'_>)) -> Targets {
        let mut targets = Targets::NONE;
        change(&mut |intid, level| targets |= self.gic.set_line(intid - FIRST_SPI, level));
        targets
    }

    fn uart(&self, access: Access, offset: u64, printer: &impl Printer) -> (u64, Targets) {
        let mut uart = self.uart.lock();
        let Some(value) = access.data else {
            let value = uart.read(offset, access.size);
            let targets = self.gic.set_line(board::UART_SPI, uart.is_asserted());
            return (value, targets);
        };
        match uart.write(offset, access.size, value) {
            Some(byte) if self.has_lines => {
                let line = self.lines.get(access.vcpu);
                if let Some(text) = line.and_then(|line| line.lock().push(byte)) {
                    printer.line(access.vcpu, text);
                }
            }
            // While the device is locked: the order of bytes is theirs.
            Some(byte) => printer.bytes(&[byte]),
            None => {}
        }
        (0, self.gic.set_line(board::UART_SPI, uart.is_asserted()))
    }

    /// Bytes for the PL011: how many it has taken, and whom that concerns.
    pub(crate) fn input(&self, bytes: &[u8]) -> (usize, Targets) {
        let mut uart = self.uart.lock();
        let taken = uart.input(bytes);
        let targets = self.gic.set_line(board::UART_SPI, uart.is_asserted());
        (taken, targets)
    }

    /// Something has changed for a virtio device outside of the realm.
    pub(crate) fn poll(&self, slot: usize, memory: &dyn SharedMemory) -> Targets {
        self.with_lines(|lines| self.slots.poll(slot, memory, lines))
    }

    /// What a vCPU has printed last, though its line has not ended.
    pub(crate) fn finish_line(&self, vcpu: usize) -> Option<String> {
        self.lines.get(vcpu)?.lock().finish()
    }
}
