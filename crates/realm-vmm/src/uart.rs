//! A PL011 UART that only transmits: what a realm prints becomes lines.
//!
//! Each vCPU has a line of its own, so the lines of several vCPUs that print at once do not mix.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes of address space that the device takes.
pub const SIZE: u64 = 0x1000;

/// Data register.
pub const DR: u64 = 0x000;
/// Flag register.
const FR: u64 = 0x018;
/// Flags: nothing to receive, nothing left to transmit.
const FR_IDLE: u64 = 1 << 4 | 1 << 7;
/// Peripheral and PrimeCell identification, one byte in each word from 0xFE0 on.
const IDENTIFICATION: [u64; 8] = [0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1];
const IDENTIFICATION_BASE: u64 = 0xFE0;

/// A line longer than this is cut in two.
const LONGEST_LINE: usize = 1024;

/// What a vCPU has printed of its current line.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
}

impl Line {
    /// A write to the register at `offset`. Returns a line if that ends one.
    pub fn write(&mut self, offset: u64, value: u64) -> Option<String> {
        if offset != DR {
            return None;
        }
        match value as u8 {
            b'\n' => return Some(self.take()),
            b'\r' => {}
            byte => self.bytes.push(byte),
        }
        (self.bytes.len() >= LONGEST_LINE).then(|| self.take())
    }

    /// Ends the line, if there is anything in it.
    pub fn finish(&mut self) -> Option<String> {
        (!self.bytes.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let text = match String::from_utf8_lossy(&self.bytes) {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text,
        };
        self.bytes.clear();
        text
    }
}

/// A read of the register at `offset`.
#[must_use]
pub fn read(offset: u64) -> u64 {
    match offset {
        FR => FR_IDLE,
        IDENTIFICATION_BASE.. => {
            let index = (offset - IDENTIFICATION_BASE) / 4;
            IDENTIFICATION.get(index as usize).copied().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_bad_text_is_replaced() {
        let mut line = Line::default();
        let mut printed = Vec::new();
        for &byte in b"one\r\ntwo\n\xFFthree" {
            printed.extend(line.write(DR, byte.into()));
            assert_eq!(line.write(0x30, 7), None);
        }
        printed.extend(line.finish());
        assert_eq!(printed, ["one", "two", "\u{FFFD}three"]);
        assert_eq!(line.finish(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut line = Line::default();
        let cut = (0..LONGEST_LINE)
            .find_map(|_| line.write(DR, b'x'.into()))
            .unwrap();
        assert_eq!(cut.len(), LONGEST_LINE);
    }

    #[test]
    fn the_device_is_idle_and_says_what_it_is() {
        assert_eq!(read(FR), 0x90);
        assert_eq!(read(0xFE0), 0x11);
        assert_eq!(read(0xFFC), 0xB1);
        assert_eq!(read(0x0), 0);
    }
}
