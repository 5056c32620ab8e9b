//! Buffers that a driver describes with a chain of descriptors.

use alloc::vec::Vec;

use super::Fault;
use crate::bus::SharedMemory;

/// One piece of memory.
#[derive(Clone, Copy, Debug)]
struct Segment {
    address: u64,
    length: u32,
}

/// A buffer in pieces, as the driver described it when it was read: nothing of it is read from the descriptors again.
#[derive(Clone, Debug, Default)]
pub struct Buffer {
    segments: Vec<Segment>,
    length: u32,
}

impl Buffer {
    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// [`Fault::Length`] if the piece reaches beyond the last address, or if the buffer gets longer than 4 GiB.
    pub(super) fn push(&mut self, address: u64, length: u32) -> Result<(), Fault> {
        address.checked_add(length.into()).ok_or(Fault::Length)?;
        self.length = self.length.checked_add(length).ok_or(Fault::Length)?;
        if length != 0 {
            self.segments.push(Segment { address, length });
        }
        Ok(())
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.length.into()
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Copies out of the buffer.
    ///
    /// # Errors
    ///
    /// [`Fault::NotShared`], also for what lies beyond its end.
    pub fn read(&self, memory: &dyn SharedMemory, offset: u64, to: &mut [u8]) -> Result<(), Fault> {
        let mut to = to;
        for (address, length) in self.parts(offset, to.len())? {
            let (part, rest) = to.split_at_mut(length);
            memory.read(address, part)?;
            to = rest;
        }
        Ok(())
    }

    /// Copies into the buffer.
    ///
    /// # Errors
    ///
    /// As for [`Buffer::read`].
    pub fn write(&self, memory: &dyn SharedMemory, offset: u64, from: &[u8]) -> Result<(), Fault> {
        let mut from = from;
        for (address, length) in self.parts(offset, from.len())? {
            let (part, rest) = from.split_at(length);
            memory.write(address, part)?;
            from = rest;
        }
        Ok(())
    }

    /// The addresses and lengths of so many bytes from an offset on.
    fn parts(
        &self,
        offset: u64,
        length: usize,
    ) -> Result<impl Iterator<Item = (u64, usize)>, Fault> {
        let end = offset.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(Fault::NotShared);
        }
        let (mut skip, mut left) = (offset, length);
        Ok(self.segments.iter().filter_map(move |segment| {
            let skipped = skip.min(segment.length.into());
            skip -= skipped;
            let there = (u64::from(segment.length) - skipped) as usize;
            let taken = there.min(left);
            left -= taken;
            (taken != 0).then_some((segment.address + skipped, taken))
        }))
    }
}

/// What a driver made available with one entry of its ring.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The index of the first descriptor, by which the driver knows it again.
    pub head: u16,
    /// What the device may read.
    pub readable: Buffer,
    /// What the device may write to.
    pub writable: Buffer,
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;
    use crate::bus::NotShared;

    struct Bytes(RefCell<[u8; 64]>);

    impl SharedMemory for Bytes {
        fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
            let bytes = self.0.borrow();
            let from = bytes.get(ipa as usize..).and_then(|b| b.get(..to.len()));
            to.copy_from_slice(from.ok_or(NotShared)?);
            Ok(())
        }

        fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared> {
            let mut bytes = self.0.borrow_mut();
            let to = bytes.get_mut(ipa as usize..);
            let to = to.and_then(|b| b.get_mut(..from.len()));
            to.ok_or(NotShared)?.copy_from_slice(from);
            Ok(())
        }
    }

    fn buffer() -> Buffer {
        let mut buffer = Buffer::default();
        for (address, length) in [(40, 3), (7, 0), (10, 5), (20, 1)] {
            buffer.push(address, length).unwrap();
        }
        buffer
    }

    #[test]
    fn pieces_are_one_buffer() {
        let memory = Bytes(RefCell::new(core::array::from_fn(|n| n as u8)));
        let buffer = buffer();
        let order = [40, 41, 42, 10, 11, 12, 13, 14, 20];
        for offset in 0..=9 {
            for length in 0..=9 - offset {
                let mut to = alloc::vec![0; length];
                buffer.read(&memory, offset as u64, &mut to).unwrap();
                assert_eq!(to, order[offset..offset + length]);
            }
        }
        buffer.write(&memory, 2, &[1, 2, 3]).unwrap();
        let bytes = memory.0.borrow();
        assert_eq!(
            (bytes[41], bytes[42], bytes[10], bytes[11], bytes[12]),
            (41, 1, 2, 3, 12)
        );
    }

    #[test]
    fn nothing_is_beyond_the_end() {
        let memory = Bytes(RefCell::new([0; 64]));
        let buffer = buffer();
        for (offset, length) in [(0, 10), (9, 1), (10, 0), (u64::MAX, 1)] {
            let mut to = alloc::vec![0; length];
            assert_eq!(buffer.read(&memory, offset, &mut to), Err(Fault::NotShared));
            assert_eq!(buffer.write(&memory, offset, &to), Err(Fault::NotShared));
        }
    }

    #[test]
    fn lengths_that_overflow_are_refused() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.push(u64::MAX, 1), Err(Fault::Length));
        buffer.push(0, u32::MAX).unwrap();
        assert_eq!(buffer.push(0, 1), Err(Fault::Length));
    }
}
