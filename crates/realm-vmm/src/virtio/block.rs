//! A disk whose content is elsewhere (virtio 1.2, section 5.2).
//!
//! Requests go out through a [`DiskPort`], each with a tag, and are answered later. A long request of a driver is
//! several of them, one after the other, so that the memory that the host needs is bounded: [`IN_FLIGHT`] times [`LONGEST`]
//! bytes. A reset of the device does not bring back what is outside already, so that still counts.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;

use super::Fault;
use super::chain::Chain;
use super::disk_port::{DiskAnswer, DiskPort, DiskRequest, Operation};
use super::queue::Queue;
use super::transport::{Device, Transport};
use crate::bus::SharedMemory;

/// Bytes of a sector.
pub const SECTOR: u64 = 512;
/// Requests that are outside at once.
pub const IN_FLIGHT: usize = 16;
/// Bytes that such a request is about at most.
pub const LONGEST: usize = 64 << 10;

/// Feature: the configuration space has the largest number of segments of a request.
const F_SEG_MAX: u64 = 1 << 2;
/// Feature: the disk cannot be written to.
const F_RO: u64 = 1 << 5;
/// Feature: the configuration space has the size of a block.
const F_BLK_SIZE: u64 = 1 << 6;
/// Feature: what was written is permanent after a flush.
const F_FLUSH: u64 = 1 << 9;

const T_IN: u32 = 0;
const T_OUT: u32 = 1;
const T_FLUSH: u32 = 4;
const T_GET_ID: u32 = 8;

const S_OK: u8 = 0;
const S_IOERR: u8 = 1;
const S_UNSUPP: u8 = 2;

/// The header of a request: type, reserved, sector.
const HEADER: u64 = 16;
const QUEUE_SIZE: u16 = 128;

/// What a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its size in sectors of 512 bytes.
    pub sectors: u64,
    /// Whether it can only be read.
    pub read_only: bool,
    /// What it is called, filled up with zeros. Linux shows it as the serial number.
    pub id: [u8; 20],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Flush,
}

/// A request of the driver.
#[derive(Debug)]
struct Job {
    chain: Chain,
    kind: Kind,
    sector: u64,
    /// Bytes of data, and how many of them are done.
    length: u64,
    done: u64,
}

impl Job {
    /// Bytes of the part that is next, or outside.
    fn part(&self) -> usize {
        (self.length - self.done).min(LONGEST as u64) as usize
    }
}

/// The device's side of a disk.
#[derive(Debug)]
pub struct Block {
    disk: Disk,
    port: DiskPort,
    /// What has a part that is outside, by the tag of that.
    outside: BTreeMap<u64, Job>,
    waiting: VecDeque<Job>,
    /// The last tag. None is ever used again, so that the answer to one of a former driver is known as that.
    tag: u64,
}

/// A disk.
#[must_use]
pub fn block(disk: Disk) -> (Transport<Block>, DiskPort) {
    let port = DiskPort::default();
    let device = Block {
        disk,
        port: port.clone(),
        outside: BTreeMap::new(),
        waiting: VecDeque::new(),
        tag: 0,
    };
    (Transport::new(device), port)
}

impl Block {
    /// Takes a request of the driver: answers it, or lets it wait for its turn to go out.
    fn take(
        &mut self,
        chain: Chain,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault> {
        if chain.readable.len() < HEADER || chain.writable.is_empty() {
            return Err(Fault::Request);
        }
        let mut header = [0; HEADER as usize];
        chain.readable.read(memory, 0, &mut header)?;
        let word = u128::from_le_bytes(header);
        let sector = (word >> 64) as u64;
        let (kind, length) = match word as u32 {
            T_IN => (Kind::Read, chain.writable.len() - 1),
            T_OUT if self.disk.read_only => return answer(&chain, S_IOERR, 0, queue, memory),
            T_OUT => (Kind::Write, chain.readable.len() - HEADER),
            T_FLUSH => (Kind::Flush, 0),
            T_GET_ID => {
                let count = self.disk.id.len().min((chain.writable.len() - 1) as usize);
                chain.writable.write(memory, 0, &self.disk.id[..count])?;
                return answer(&chain, S_OK, count as u64, queue, memory);
            }
            _ => return answer(&chain, S_UNSUPP, 0, queue, memory),
        };
        let end = sector.checked_add(length / SECTOR);
        let is_there = kind == Kind::Flush
            || length != 0
                && length.is_multiple_of(SECTOR)
                && end.is_some_and(|end| end <= self.disk.sectors);
        if !is_there {
            return answer(&chain, S_IOERR, 0, queue, memory);
        }
        self.waiting.push_back(Job {
            chain,
            kind,
            sector,
            length,
            done: 0,
        });
        Ok(())
    }

    /// Sends parts out as long as there is room outside.
    fn send(&mut self, memory: &dyn SharedMemory) -> Result<(), Fault> {
        while self.outside.len() + self.port.forgotten() < IN_FLIGHT {
            let Some(job) = self.waiting.pop_front() else {
                return Ok(());
            };
            let length = job.part();
            let operation = match job.kind {
                Kind::Read => Operation::Read { length },
                Kind::Write => {
                    let mut data = vec![0; length];
                    job.chain
                        .readable
                        .read(memory, HEADER + job.done, &mut data)?;
                    Operation::Write { data }
                }
                Kind::Flush => Operation::Flush,
            };
            self.tag += 1;
            self.port.send(DiskRequest {
                tag: self.tag,
                sector: job.sector + job.done / SECTOR,
                operation,
            });
            self.outside.insert(self.tag, job);
        }
        Ok(())
    }

    /// Goes on with the request whose part was answered.
    fn answered(
        &mut self,
        tag: u64,
        result: DiskAnswer,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault> {
        // The device was reset since.
        let Some(mut job) = self.outside.remove(&tag) else {
            return Ok(());
        };
        let part = job.part();
        let result = result.ok().filter(|data| match job.kind {
            Kind::Read => data.len() == part,
            Kind::Write | Kind::Flush => true,
        });
        let Some(data) = result else {
            return answer(&job.chain, S_IOERR, 0, queue, memory);
        };
        if job.kind == Kind::Read {
            job.chain.writable.write(memory, job.done, &data)?;
        }
        job.done += part as u64;
        if job.done < job.length {
            self.waiting.push_back(job);
            return Ok(());
        }
        let written = if job.kind == Kind::Read {
            job.length
        } else {
            0
        };
        answer(&job.chain, S_OK, written, queue, memory)
    }
}

/// Ends a request: the status is the last byte of what the device may write to. `written` bytes were written in front of it.
fn answer(
    chain: &Chain,
    status: u8,
    written: u64,
    queue: &mut Queue,
    memory: &dyn SharedMemory,
) -> Result<(), Fault> {
    let last = chain.writable.len() - 1;
    chain.writable.write(memory, last, &[status])?;
    queue.give_back(memory, chain.head, (written + 1) as u32)
}

impl Device for Block {
    const ID: u32 = 2;
    const QUEUES: &'static [u16] = &[QUEUE_SIZE];

    fn features(&self) -> u64 {
        let read_only = if self.disk.read_only { F_RO } else { 0 };
        F_SEG_MAX | F_BLK_SIZE | F_FLUSH | read_only
    }

    fn config(&self, space: &mut [u8; 64]) {
        space[0..8].copy_from_slice(&self.disk.sectors.to_le_bytes());
        // All descriptors but those of the header and the status.
        space[12..16].copy_from_slice(&u32::from(QUEUE_SIZE - 2).to_le_bytes());
        space[20..24].copy_from_slice(&(SECTOR as u32).to_le_bytes());
    }

    fn reset(&mut self) {
        self.outside.clear();
        self.waiting.clear();
        self.port.forget();
    }

    fn serve(
        &mut self,
        _index: usize,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault> {
        for (tag, result) in self.port.take_answers() {
            self.answered(tag, result, queue, memory)?;
        }
        let mut batch = queue.batch(memory)?;
        while let Some(chain) = queue.next(&mut batch, memory)? {
            self.take(chain, queue, memory)?;
        }
        self.send(memory)
    }
}
