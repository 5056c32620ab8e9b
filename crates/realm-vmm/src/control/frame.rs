//! Frames: how messages and bulk data share the channel.

use alloc::vec::Vec;

/// Bytes of a frame's header.
pub const HEADER: usize = 12;
/// The most bytes of a payload. A reader refuses more, so nobody makes it keep more than that.
pub const MAX_PAYLOAD: usize = 256 << 10;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What the tool wants.
    Request = 1,
    /// What became of it.
    Reply = 2,
    /// What happened by itself.
    Event = 3,
    /// What is in a realm's memory at the start.
    Contents = 4,
    /// Bytes of a console.
    Console = 5,
    /// A transfer of a disk.
    Block = 6,
    /// A frame of the network.
    Network = 7,
}

impl Kind {
    /// From its number.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Request,
            2 => Self::Reply,
            3 => Self::Event,
            4 => Self::Contents,
            5 => Self::Console,
            6 => Self::Block,
            7 => Self::Network,
            _ => return None,
        })
    }
}

/// One frame.
///
/// On the channel: bytes of payload (32 bits), kind (8), stream (8), zero (16), realm (32), the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: Kind,
    /// Which of the realm's consoles or disks, from 0.
    pub stream: u8,
    /// The realm's number, 0 for none.
    pub realm: u32,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Adds the frame's bytes to `to`.
    ///
    /// # Errors
    ///
    /// As [`write()`].
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), TooLong> {
        write(self.kind, self.realm, self.stream, &self.payload, to)
    }

    /// Which kind of message, which console of which realm.
    fn header(kind: Kind, realm: u32, stream: u8, length: usize) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&(length as u32).to_le_bytes());
        header[4] = kind as u8;
        header[5] = stream;
        header[8..].copy_from_slice(&realm.to_le_bytes());
        header
    }
}

/// A payload that no frame has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has {bytes} bytes, and a frame has room for {MAX_PAYLOAD}")]
pub struct TooLong {
    /// Its length.
    pub bytes: usize,
}

/// Adds the bytes of a frame with this payload to `to`.
///
/// # Errors
///
/// If the payload is longer than [`MAX_PAYLOAD`]: the other side would refuse it. Nothing is added then.
pub fn write(
    kind: Kind,
    realm: u32,
    stream: u8,
    payload: &[u8],
    to: &mut Vec<u8>,
) -> Result<(), TooLong> {
    let bytes = payload.len();
    if bytes > MAX_PAYLOAD {
        return Err(TooLong { bytes });
    }
    to.extend_from_slice(&Frame::header(kind, realm, stream, bytes));
    to.extend_from_slice(payload);
    Ok(())
}

/// Bytes that are no frame. The channel is of no use after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel carries a header that nobody writes: {header:02x?}")]
pub struct Malformed {
    /// The header.
    pub header: [u8; HEADER],
}

/// Makes frames of the bytes that arrive, in whatever pieces.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    /// How many of them have been taken.
    taken: usize,
}

impl FrameReader {
    /// Takes bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > MAX_PAYLOAD {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// How many bytes wait for the rest of their frame, or to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// The next frame, if all of it has arrived.
    ///
    /// # Errors
    ///
    /// If what comes next is no header.
    pub fn take(&mut self) -> Result<Option<Frame>, Malformed> {
        let waiting = self.bytes.get(self.taken..).unwrap_or_default();
        let Some((header, rest)) = waiting.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let malformed = Malformed { header: *header };
        let [l0, l1, l2, l3, kind, stream, 0, 0, r0, r1, r2, r3] = *header else {
            return Err(malformed);
        };
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let kind = Kind::new(kind).ok_or(malformed)?;
        if length > MAX_PAYLOAD {
            return Err(malformed);
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = Frame {
            kind,
            stream,
            realm: u32::from_le_bytes([r0, r1, r2, r3]),
            payload: payload.to_vec(),
        };
        self.taken += HEADER + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> [Frame; 3] {
        let frame = |kind, stream, realm, payload: &[u8]| Frame {
            kind,
            stream,
            realm,
            payload: payload.to_vec(),
        };
        [
            frame(Kind::Request, 0, 0, b"{}"),
            frame(Kind::Console, 2, 0x0102_0304, b""),
            frame(Kind::Contents, 0, 1, &[9; 5000]),
        ]
    }

    #[test]
    fn frames_survive_any_way_of_cutting_the_stream() {
        let mut bytes = Vec::new();
        for frame in frames() {
            frame.write(&mut bytes).unwrap();
        }
        assert_eq!(bytes.len(), 3 * HEADER + 2 + 5000);
        for piece in [1, 2, 11, 12, 13, 100, 5000, bytes.len()] {
            let mut reader = FrameReader::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(piece) {
                reader.push(piece);
                while let Some(frame) = reader.take().unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, frames(), "in pieces of {piece}");
            assert_eq!(reader.waiting(), 0);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_leaves_nothing() {
        let mut bytes = Vec::new();
        let payload = alloc::vec![0; MAX_PAYLOAD + 1];
        let refused = write(Kind::Reply, 0, 0, &payload, &mut bytes);
        assert_eq!(
            (refused, bytes.len()),
            (
                Err(TooLong {
                    bytes: MAX_PAYLOAD + 1
                }),
                0
            )
        );
        assert_eq!(write(Kind::Reply, 0, 0, &payload[1..], &mut bytes), Ok(()));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for (at, value) in [(4, 0), (4, 99), (6, 1), (7, 1), (3, 1)] {
            let mut bytes = Vec::new();
            frames()[1].write(&mut bytes).unwrap();
            bytes[at] = value;
            let mut reader = FrameReader::default();
            reader.push(&bytes);
            assert!(reader.take().is_err(), "byte {at} is {value}");
        }
    }
}
