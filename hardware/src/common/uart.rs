//! A polled PL011 UART, transmit and receive, without interrupts.

use crate::common::device;
use core::fmt;

/// Base address of UART0 on QEMU's `virt` machine: the console of every world.
pub const UART0: usize = 0x0900_0000;

const DR: usize = 0x00;
const FR: usize = 0x18;
const LCR_H: usize = 0x2C;
const CR: usize = 0x30;
const IMSC: usize = 0x38;

/// Receive queue empty.
const FR_RXFE: u32 = 1 << 4;
/// Transmit queue full.
const FR_TXFF: u32 = 1 << 5;
/// Still transmitting.
const FR_BUSY: u32 = 1 << 3;
/// Eight bits, queues on.
const LCR_H_8N1: u32 = 0b111 << 4;
/// Interrupts when something was received: enough of it, or nothing after it.
const IM_RECEIVED: u32 = 1 << 4 | 1 << 6;
/// UART, transmitter and receiver on.
const CR_ON: u32 = 1 | 1 << 8 | 1 << 9;

/// A PL011 at a virtual address. Several values may name the same device: each byte is one register access.
#[derive(Clone, Copy, Debug)]
pub struct Uart {
    base: usize,
}

impl Uart {
    /// The UART whose registers are at the virtual address `base`.
    ///
    /// # Safety
    ///
    /// `base` must be mapped as device memory (or the MMU off), readable and writable, with a PL011's registers behind
    /// it, whenever the value is used.
    pub const unsafe fn new(base: usize) -> Self {
        Self { base }
    }

    fn read(&self, offset: usize) -> u32 {
        // SAFETY: `new`'s caller promised that the registers are there; a 32-bit access at a multiple of four.
        unsafe { device::load_32(self.base + offset) }
    }

    fn write(&self, offset: usize, value: u32) {
        // SAFETY: as in `read`; no register of a PL011 reaches memory (its DMA is off after reset and never enabled).
        unsafe { device::store_32(self.base + offset, value) }
    }

    /// Turns the device on: eight bits, no parity, queues, no interrupts. The baud rate stays what it is.
    pub fn enable(&self) {
        self.write(IMSC, 0);
        self.write(LCR_H, LCR_H_8N1);
        self.write(CR, CR_ON);
    }

    /// Interrupts from now on as long as received bytes are there.
    pub fn interrupt_on_receipt(&self) {
        self.write(IMSC, IM_RECEIVED);
    }

    /// Sends one byte if there is room in the queue, and says whether there was.
    pub fn try_send(&self, byte: u8) -> bool {
        let room = self.read(FR) & FR_TXFF == 0;
        if room {
            self.write(DR, u32::from(byte));
        }
        room
    }

    /// Sends one byte, waiting for room in the queue.
    pub fn send(&self, byte: u8) {
        while self.read(FR) & FR_TXFF != 0 {
            core::hint::spin_loop();
        }
        self.write(DR, u32::from(byte));
    }

    /// Sends bytes as they are.
    pub fn send_all(&self, bytes: &[u8]) {
        for &byte in bytes {
            self.send(byte);
        }
    }

    /// The next received byte, if there is one.
    pub fn receive(&self) -> Option<u8> {
        if self.read(FR) & FR_RXFE != 0 {
            None
        } else {
            Some(self.read(DR) as u8)
        }
    }

    /// Waits until everything sent has left the device.
    pub fn flush(&self) {
        while self.read(FR) & FR_BUSY != 0 {
            core::hint::spin_loop();
        }
    }
}

impl fmt::Write for Uart {
    /// Sends text, with a carriage return before each line feed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
        Ok(())
    }
}
