//! A PL011 UART (Arm DDI 0183).
//!
//! What the realm transmits is gone at once, so the transmitter is always idle. What it is to receive waits in a queue until the realm
//! has enabled the receiver and there is room in its FIFO. Modem lines are connected; there is no DMA and no loopback.

use alloc::collections::VecDeque;

const DR: u64 = 0x000;
const FR: u64 = 0x018;
const ILPR: u64 = 0x020;
const IBRD: u64 = 0x024;
const FBRD: u64 = 0x028;
const LCRH: u64 = 0x02C;
const CR: u64 = 0x030;
const IFLS: u64 = 0x034;
const IMSC: u64 = 0x038;
const RIS: u64 = 0x03C;
const MIS: u64 = 0x040;
const ICR: u64 = 0x044;
const DMACR: u64 = 0x048;
/// Peripheral and PrimeCell identification, one byte in each word: revision 1r5, with FIFOs of 32.
const IDENTIFICATION: u64 = 0xFE0;
const IDENTIFIERS: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0D, 0xF0, 0x05, 0xB1];

/// Flags: clear to send, data set ready, data carrier detect.
const FR_MODEM: u32 = 0b111;
const FR_RECEIVER_EMPTY: u32 = 1 << 4;
const FR_RECEIVER_FULL: u32 = 1 << 6;
const FR_TRANSMITTER_EMPTY: u32 = 1 << 7;

const CR_ENABLE: u32 = 1 << 0;
const CR_TRANSMIT: u32 = 1 << 8;
const CR_RECEIVE: u32 = 1 << 9;
const LCRH_FIFOS: u32 = 1 << 4;

/// Interrupts: received up to the level, transmitted, received and not fetched for a while.
const RECEIVED: u32 = 1 << 4;
const TRANSMITTED: u32 = 1 << 5;
const TIMED_OUT: u32 = 1 << 6;
const INTERRUPTS: u32 = 0x7FF;

const FIFO: usize = 32;

/// How many bytes wait for the realm at most.
pub const QUEUE: usize = 64 << 10;

/// The device.
#[derive(Debug)]
pub struct Pl011 {
    fifo: VecDeque<u8>,
    queue: VecDeque<u8>,
    control: u32,
    line_control: u32,
    levels: u32,
    mask: u32,
    raised: u32,
    /// ILPR, IBRD, FBRD, DMACR: kept, without meaning here.
    kept: [u32; 4],
}

impl Default for Pl011 {
    fn default() -> Self {
        Self {
            fifo: VecDeque::new(),
            queue: VecDeque::new(),
            control: CR_TRANSMIT | CR_RECEIVE,
            line_control: 0,
            levels: 0x12,
            mask: 0,
            raised: 0,
            kept: [0; 4],
        }
    }
}

impl Pl011 {
    /// A read of `size` bytes at `offset`. Registers are read from their first byte on; anything else, and what is not there, is zero.
    pub fn read(&mut self, offset: u64, size: u64) -> u64 {
        let value = match offset {
            DR => self.receive().into(),
            FR => self.flags(),
            ILPR => self.kept[0],
            IBRD => self.kept[1],
            FBRD => self.kept[2],
            DMACR => self.kept[3],
            LCRH => self.line_control,
            CR => self.control,
            IFLS => self.levels,
            IMSC => self.mask,
            RIS => self.raised,
            MIS => self.raised & self.mask,
            IDENTIFICATION.. if offset.is_multiple_of(4) => {
                let index = (offset - IDENTIFICATION) / 4;
                u32::from(IDENTIFIERS.get(index as usize).copied().unwrap_or(0))
            }
            _ => 0,
        };
        u64::from(value) & width(size)
    }

    /// A write of `size` bytes at `offset`. Returns what the device transmits, if anything.
    pub fn write(&mut self, offset: u64, size: u64, value: u64) -> Option<u8> {
        let value = (value & width(size)) as u32;
        match offset {
            DR if size <= 4 => {
                self.raised |= TRANSMITTED;
                return Some(value as u8);
            }
            ILPR => self.kept[0] = value & 0xFF,
            IBRD => self.kept[1] = value & 0xFFFF,
            FBRD => self.kept[2] = value & 0x3F,
            DMACR => self.kept[3] = value & 0b111,
            LCRH => {
                if (self.line_control ^ value) & LCRH_FIFOS != 0 {
                    self.fifo.clear();
                    self.raised &= !(RECEIVED | TIMED_OUT);
                }
                self.line_control = value & 0xFF;
                self.fill();
            }
            CR => {
                self.control = value & 0xFF87;
                self.fill();
            }
            IFLS => self.levels = value & 0x3F,
            IMSC => self.mask = value & INTERRUPTS,
            ICR => self.raised &= !value,
            _ => {}
        }
        None
    }

    /// Bytes for the realm. Returns how many of them there was room for.
    pub fn input(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(QUEUE - self.queue.len().min(QUEUE));
        self.queue.extend(&bytes[..taken]);
        self.fill();
        taken
    }

    /// Whether a driver has enabled the device.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.control & CR_ENABLE != 0
    }

    /// Whether the interrupt line is high.
    #[must_use]
    pub const fn is_asserted(&self) -> bool {
        self.raised & self.mask != 0
    }

    fn flags(&self) -> u32 {
        let mut flags = FR_MODEM | FR_TRANSMITTER_EMPTY;
        if self.fifo.is_empty() {
            flags |= FR_RECEIVER_EMPTY;
        }
        if self.fifo.len() >= self.room() {
            flags |= FR_RECEIVER_FULL;
        }
        flags
    }

    /// How many bytes the receiver holds.
    const fn room(&self) -> usize {
        if self.line_control & LCRH_FIFOS != 0 {
            FIFO
        } else {
            1
        }
    }

    /// How many bytes in the receiver raise its interrupt.
    const fn level(&self) -> usize {
        if self.line_control & LCRH_FIFOS == 0 {
            return 1;
        }
        match self.levels >> 3 & 7 {
            0 => FIFO / 8,
            1 => FIFO / 4,
            2 => FIFO / 2,
            3 => FIFO * 3 / 4,
            _ => FIFO * 7 / 8,
        }
    }

    fn receive(&mut self) -> u8 {
        let byte = self.fifo.pop_front().unwrap_or(0);
        if self.fifo.len() < self.level() {
            self.raised &= !RECEIVED;
        }
        if self.fifo.is_empty() {
            self.raised &= !TIMED_OUT;
        }
        self.fill();
        byte
    }

    /// Moves what waits into the receiver. The time after which the realm is told that there are bytes, though fewer than it asked for, is
    /// over at once.
    fn fill(&mut self) {
        if self.control & (CR_ENABLE | CR_RECEIVE) != CR_ENABLE | CR_RECEIVE {
            return;
        }
        while self.fifo.len() < self.room() {
            let Some(byte) = self.queue.pop_front() else {
                break;
            };
            self.fifo.push_back(byte);
            self.raised |= TIMED_OUT;
            if self.fifo.len() >= self.level() {
                self.raised |= RECEIVED;
            }
        }
    }
}

/// The bits of an access of so many bytes; none of one that the device does not have.
const fn width(size: u64) -> u64 {
    match size {
        1 => 0xFF,
        2 => 0xFFFF,
        4 => 0xFFFF_FFFF,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// As a driver sets it up: FIFOs, receiver and transmitter on, told of what is received.
    fn enabled() -> Pl011 {
        let mut uart = Pl011::default();
        uart.write(IBRD, 2, 13);
        uart.write(LCRH, 2, 0x70);
        uart.write(CR, 2, 0x301);
        uart.write(IMSC, 2, u64::from(RECEIVED | TIMED_OUT));
        uart
    }

    #[test]
    fn the_device_says_what_it_is_and_is_idle() {
        let mut uart = Pl011::default();
        assert_eq!(uart.read(FR, 4), 0x97);
        assert_eq!(uart.read(CR, 2), 0x300);
        assert!(!uart.is_enabled() && enabled().is_enabled());
        assert_eq!(uart.read(0xFE0, 4), 0x11);
        assert_eq!(uart.read(0xFFC, 4), 0xB1);
        for (offset, size) in [(FR, 8), (FR + 1, 1), (0xFE1, 1), (0x1000, 4), (0x4, 4)] {
            assert_eq!(uart.read(offset, size), 0, "{offset:#x} {size}");
        }
        uart.write(IBRD, 4, 0x1_2345);
        assert_eq!(uart.read(IBRD, 4), 0x2345);
    }

    #[test]
    fn what_is_written_is_transmitted_and_there_is_room_for_more() {
        let mut uart = enabled();
        assert_eq!(uart.write(DR, 1, b'a'.into()), Some(b'a'));
        assert_eq!(uart.write(DR, 4, 0x162), Some(b'b'));
        assert_eq!(uart.write(DR, 8, 0), None);
        assert_eq!(uart.write(FR, 4, 0x62), None);
        assert!(!uart.is_asserted());
        uart.write(IMSC, 2, u64::from(TRANSMITTED));
        assert!(uart.is_asserted());
        assert_eq!(uart.read(MIS, 2), u64::from(TRANSMITTED));
        uart.write(ICR, 2, u64::from(TRANSMITTED));
        assert!(!uart.is_asserted());
        uart.write(DR, 1, 0);
        assert!(uart.is_asserted());
    }

    #[test]
    fn what_comes_waits_until_there_is_somebody_to_read_it() {
        let mut uart = Pl011::default();
        uart.write(IMSC, 2, u64::from(INTERRUPTS));
        assert_eq!(uart.input(b"early"), 5);
        assert!(!uart.is_asserted());
        uart.write(LCRH, 2, 0x70);
        uart.write(CR, 2, 0x301);
        assert!(uart.is_asserted());
        assert_eq!(uart.read(RIS, 2), u64::from(TIMED_OUT));
        let read: Vec<u8> = (0..5).map(|_| uart.read(DR, 1) as u8).collect();
        assert_eq!(read, b"early");
        assert!(!uart.is_asserted());
        assert_eq!(uart.read(FR, 2), 0x97);
    }

    #[test]
    fn no_byte_is_lost_however_many_come_and_the_line_is_high_as_long_as_there_are_any() {
        let mut uart = enabled();
        let sent: Vec<u8> = (0..1000_u32).map(|n| n as u8).collect();
        assert_eq!(uart.input(&sent), 1000);
        assert_eq!(uart.read(FR, 2) & u64::from(FR_RECEIVER_FULL), 0x40);
        assert_eq!(uart.read(RIS, 2), u64::from(TIMED_OUT | RECEIVED));
        let mut read = Vec::new();
        while uart.is_asserted() {
            uart.write(ICR, 2, u64::from(INTERRUPTS));
            while uart.read(FR, 2) & u64::from(FR_RECEIVER_EMPTY) == 0 {
                read.push(uart.read(DR, 2) as u8);
            }
        }
        assert_eq!(read, sent);
        assert_eq!(uart.input(&std::vec![7; 2 * QUEUE]), QUEUE);
        assert_eq!(uart.input(&[7; 100]), FIFO, "as many as have moved on");
    }

    #[test]
    fn the_level_of_the_receiver_raises_its_interrupt() {
        for (select, level) in [(0, 4), (1, 8), (2, 16), (3, 24), (4, 28)] {
            let mut uart = enabled();
            uart.write(IFLS, 2, select << 3);
            uart.input(&std::vec![0; level - 1]);
            assert_eq!(uart.read(RIS, 2), u64::from(TIMED_OUT));
            uart.input(&[0]);
            assert_eq!(uart.read(RIS, 2), u64::from(TIMED_OUT | RECEIVED));
            uart.read(DR, 1);
            assert_eq!(uart.read(RIS, 2), u64::from(TIMED_OUT));
        }
        let mut uart = enabled();
        uart.write(LCRH, 2, 0x60);
        uart.input(b"ab");
        assert_eq!(uart.read(FR, 2) & 0x50, 0x40, "one byte at a time");
        assert_eq!(uart.read(DR, 1), u64::from(b'a'));
        assert_eq!(uart.read(DR, 1), u64::from(b'b'));
    }
}
