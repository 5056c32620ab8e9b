//! Writing CBOR (RFC 8949) into a slice: definite lengths, shortest heads.

/// What was to be written does not fit into the buffer given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the buffer is too small")]
pub struct BufferTooSmall;

/// The major types that tokens use.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Major {
    Unsigned = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
    Tag = 6,
}

/// The head of a data item: its major type and its value or length, at most 5 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    bytes: [u8; 5],
    len: u8,
}

impl Head {
    pub(crate) const fn new(major: Major, value: u32) -> Self {
        let major = (major as u8) << 5;
        let [a, b, c, d] = value.to_be_bytes();
        let (bytes, len) = match value {
            0..=23 => ([major | d, 0, 0, 0, 0], 1),
            24..=0xff => ([major | 24, d, 0, 0, 0], 2),
            0x100..=0xffff => ([major | 25, c, d, 0, 0], 3),
            _ => ([major | 26, a, b, c, d], 5),
        };
        Self { bytes, len }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Writes data items one after the other.
pub(crate) struct Writer<'a> {
    into: &'a mut [u8],
    at: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(into: &'a mut [u8]) -> Self {
        Self { into, at: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> usize {
        self.at
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<&mut Self, BufferTooSmall> {
        let end = self.at.checked_add(bytes.len()).ok_or(BufferTooSmall)?;
        self.into
            .get_mut(self.at..end)
            .ok_or(BufferTooSmall)?
            .copy_from_slice(bytes);
        self.at = end;
        Ok(self)
    }

    pub(crate) fn head(&mut self, major: Major, value: u32) -> Result<&mut Self, BufferTooSmall> {
        self.raw(Head::new(major, value).as_bytes())
    }

    pub(crate) fn unsigned(&mut self, value: u32) -> Result<&mut Self, BufferTooSmall> {
        self.head(Major::Unsigned, value)
    }

    pub(crate) fn map(&mut self, entries: usize) -> Result<&mut Self, BufferTooSmall> {
        let entries = u32::try_from(entries).map_err(|_| BufferTooSmall)?;
        self.head(Major::Map, entries)
    }

    pub(crate) fn array(&mut self, items: usize) -> Result<&mut Self, BufferTooSmall> {
        let items = u32::try_from(items).map_err(|_| BufferTooSmall)?;
        self.head(Major::Array, items)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<&mut Self, BufferTooSmall> {
        let len = u32::try_from(bytes.len()).map_err(|_| BufferTooSmall)?;
        self.head(Major::Bytes, len)?.raw(bytes)
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<&mut Self, BufferTooSmall> {
        let len = u32::try_from(text.len()).map_err(|_| BufferTooSmall)?;
        self.head(Major::Text, len)?.raw(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn heads_are_the_shortest() {
        let cases: [(u32, &[u8]); 8] = [
            (0, &[0x00]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (100, &[0x18, 0x64]),
            (255, &[0x18, 0xff]),
            (1000, &[0x19, 0x03, 0xe8]),
            (65535, &[0x19, 0xff, 0xff]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
        ];
        for (value, bytes) in cases {
            assert_eq!(Head::new(Major::Unsigned, value).as_bytes(), bytes);
        }
    }

    #[test]
    fn writing_past_the_end_is_refused() {
        let mut buffer = [0; 4];
        let mut writer = Writer::new(&mut buffer);
        assert!(writer.bytes(&[1, 2, 3]).is_ok());
        assert_eq!(writer.unsigned(0).err(), Some(BufferTooSmall));
        assert_eq!(writer.written(), 4);
        assert_eq!(buffer, [0x43, 1, 2, 3]);
    }
}
