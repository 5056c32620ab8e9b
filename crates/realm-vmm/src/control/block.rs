//! Transfers of a disk: the realm's device is in the hypervisor, what is on the disk is with the tool.

use alloc::vec::Vec;

/// Bytes of a sector.
pub const SECTOR: usize = 512;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads so many bytes.
    Read(u32),
    /// Writes what follows.
    Write,
    /// Makes sure that what was written stays.
    Flush,
}

/// A request of a realm's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Comes back with the answer.
    pub tag: u64,
    /// What to do.
    pub operation: Operation,
    /// The first sector.
    pub sector: u64,
    /// What to write.
    pub data: Vec<u8>,
}

impl Transfer {
    /// The payload: tag (64 bits), operation (32), bytes to read (32), sector (64), data to write.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (operation, length) = match self.operation {
            Operation::Read(length) => (0_u32, length),
            Operation::Write => (1, 0),
            Operation::Flush => (2, 0),
        };
        let mut bytes = Vec::with_capacity(24 + self.data.len());
        bytes.extend_from_slice(&self.tag.to_le_bytes());
        bytes.extend_from_slice(&operation.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&self.sector.to_le_bytes());
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// From a payload; `None` if it is none.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first_chunk()?;
        let (operation, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sector, data) = rest.split_first_chunk()?;
        let operation = match u32::from_le_bytes(*operation) {
            0 => Operation::Read(u32::from_le_bytes(*length)),
            1 => Operation::Write,
            2 => Operation::Flush,
            _ => return None,
        };
        Some(Self {
            tag: u64::from_le_bytes(*tag),
            operation,
            sector: u64::from_le_bytes(*sector),
            data: data.to_vec(),
        })
    }
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// That of the request.
    pub tag: u64,
    /// Whether it was done.
    pub done: bool,
    /// What was read.
    pub data: Vec<u8>,
}

impl Answer {
    /// The payload: tag (64 bits), 1 or 0 for done or not (32), data that was read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(12 + self.data.len());
        bytes.extend_from_slice(&self.tag.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.done).to_le_bytes());
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// From a payload; `None` if it is none.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (tag, rest) = payload.split_first_chunk()?;
        let (done, data) = rest.split_first_chunk()?;
        let done = match u32::from_le_bytes(*done) {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(Self {
            tag: u64::from_le_bytes(*tag),
            done,
            data: data.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_and_answers_survive_a_round_trip() {
        for operation in [Operation::Read(4096), Operation::Write, Operation::Flush] {
            let transfer = Transfer {
                tag: 1 << 40,
                operation,
                sector: 77,
                data: alloc::vec![1, 2, 3],
            };
            assert_eq!(Transfer::decode(&transfer.encode()), Some(transfer));
        }
        for done in [true, false] {
            let answer = Answer {
                tag: 3,
                done,
                data: alloc::vec![4; 512],
            };
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
        assert_eq!(Transfer::decode(&[0; 23]), None);
        assert_eq!(Answer::decode(&[0; 11]), None);
        assert_eq!(Transfer::decode(&[9; 24]), None);
        assert_eq!(Answer::decode(&[9; 12]), None);
    }
}
