//! What a realm prints, as lines.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// A line longer than this is cut in two.
const LONGEST_LINE: usize = 1024;

/// What has been printed of the current line.
#[derive(Debug, Default)]
pub struct Line {
    bytes: Vec<u8>,
}

impl Line {
    /// Takes a byte. Returns a line if that ends one.
    pub fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_feeds_and_bad_text_is_replaced() {
        let mut line = Line::default();
        let mut printed = Vec::new();
        for &byte in b"one\r\ntwo\n\xFFthree" {
            printed.extend(line.push(byte));
        }
        printed.extend(line.finish());
        assert_eq!(printed, ["one", "two", "\u{FFFD}three"]);
        assert_eq!(line.finish(), None);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut line = Line::default();
        let cut = (0..LONGEST_LINE).find_map(|_| line.push(b'x')).unwrap();
        assert_eq!(cut.len(), LONGEST_LINE);
    }
}
