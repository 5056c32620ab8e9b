//! Split virtqueues (virtio 1.2, section 2.7), the device's side.
//!
//! # Order
//!
//! The realm runs on other PEs meanwhile. All accesses go through [`SharedMemory`], whose reads acquire and whose writes release:
//!
//! - The index of the available ring is read before the entries and descriptors that it covers, so what the driver wrote before it moved
//!   the index is seen.
//! - The entry in the used ring, and everything that the device wrote to the buffer, is written before the index of the used ring, so a
//!   driver that sees the index sees these.
//! - The driver says that it wants interrupts and then looks at the index; the device moves the index and then asks whether interrupts
//!   are wanted. Release and acquire do not keep a later read behind an earlier write, so there is a full fence between the
//!   two, and at least one side sees what the other did.
//!
//! # Trust
//!
//! Each word is read once. What a call can be made to do is bounded: it looks at the available index once, at as many chains as that
//! covers, which is at most the size of the queue, and at as many descriptors as the queue has. No honest driver can have more: a descriptor
//! is in one chain at a time until the device has used it.

use core::sync::atomic::{Ordering, fence};

use super::Fault;
use super::chain::{Buffer, Chain};
use crate::bus::SharedMemory;

/// Descriptor flag: another descriptor follows.
const NEXT: u16 = 1;
/// Descriptor flag: the device may write.
const WRITE: u16 = 2;
/// Descriptor flag: the buffer holds descriptors.
const INDIRECT: u16 = 4;
/// Flag of the available ring: no interrupts, please.
const NO_INTERRUPT: u16 = 1;

/// A part of a queue in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// The table of descriptors.
    Descriptors,
    /// The available ring.
    Driver,
    /// The used ring.
    Device,
}

/// How much of the available ring is looked at in one go.
#[derive(Debug)]
pub struct Batch {
    chains: u16,
    descriptors: u16,
}

/// A virtqueue.
#[derive(Debug)]
pub struct Queue {
    /// The largest size that is offered.
    max: u16,
    /// The size, as the driver chose it.
    size: u32,
    ready: bool,
    areas: [u64; 3],
    next_available: u16,
    next_used: u16,
    /// Whether anything was used since the driver was asked whether it wants an interrupt.
    news: bool,
}

impl Queue {
    /// A queue of at most this size, which is a power of two.
    #[must_use]
    pub const fn new(max: u16) -> Self {
        Self {
            max,
            size: 0,
            ready: false,
            areas: [0; 3],
            next_available: 0,
            next_used: 0,
            news: false,
        }
    }

    pub(super) const fn max(&self) -> u16 {
        self.max
    }

    /// Whether the driver has set it up.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Sets the size. Ignored while the queue is ready.
    pub(super) const fn set_size(&mut self, size: u32) {
        if !self.ready {
            self.size = size;
        }
    }

    /// Sets half of an address. Ignored while the queue is ready.
    pub(super) const fn set_address(&mut self, area: Area, high: bool, value: u32) {
        if !self.ready {
            let address = &mut self.areas[area as usize];
            let shift = if high { 32 } else { 0 };
            *address = *address & !(0xFFFF_FFFF << shift) | (value as u64) << shift;
        }
    }

    pub(super) const fn reset(&mut self) {
        *self = Self::new(self.max);
    }

    /// Starts the queue.
    ///
    /// # Errors
    ///
    /// A size or an address that cannot be.
    pub(super) fn start(&mut self) -> Result<(), Fault> {
        if !self.size.is_power_of_two() || self.size > self.max.into() {
            return Err(Fault::QueueSize);
        }
        let size = u64::from(self.size);
        let rules = [(16, 16 * size), (2, 6 + 2 * size), (4, 6 + 8 * size)];
        for (address, (alignment, length)) in self.areas.into_iter().zip(rules) {
            if !address.is_multiple_of(alignment) || address.checked_add(length).is_none() {
                return Err(Fault::QueueAddress);
            }
        }
        self.ready = true;
        Ok(())
    }

    /// Chains that the device has taken and not used yet.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.next_available.wrapping_sub(self.next_used)
    }

    /// Looks how much is available.
    ///
    /// # Errors
    ///
    /// [`Fault::AvailableIndex`], or [`Fault::NotShared`].
    pub fn batch(&self, memory: &dyn SharedMemory) -> Result<Batch, Fault> {
        let mut index = [0; 2];
        memory.read(self.areas[Area::Driver as usize] + 2, &mut index)?;
        let chains = u16::from_le_bytes(index).wrapping_sub(self.next_available);
        if u32::from(chains) + u32::from(self.in_flight()) > self.size {
            return Err(Fault::AvailableIndex);
        }
        Ok(Batch {
            chains,
            descriptors: self.size as u16,
        })
    }

    /// The next chain of the batch.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn next(
        &mut self,
        batch: &mut Batch,
        memory: &dyn SharedMemory,
    ) -> Result<Option<Chain>, Fault> {
        if batch.chains == 0 {
            return Ok(None);
        }
        let slot = u64::from(self.next_available) & u64::from(self.size - 1);
        let mut head = [0; 2];
        memory.read(self.areas[Area::Driver as usize] + 4 + 2 * slot, &mut head)?;
        let chain = self.chain(u16::from_le_bytes(head), batch, memory)?;
        batch.chains -= 1;
        self.next_available = self.next_available.wrapping_add(1);
        Ok(Some(chain))
    }

    fn chain(
        &self,
        head: u16,
        batch: &mut Batch,
        memory: &dyn SharedMemory,
    ) -> Result<Chain, Fault> {
        let (mut readable, mut writable) = (Buffer::default(), Buffer::default());
        let mut index = head;
        loop {
            if u32::from(index) >= self.size {
                return Err(Fault::DescriptorIndex);
            }
            batch.descriptors = batch.descriptors.checked_sub(1).ok_or(Fault::Loop)?;
            let mut bytes = [0; 16];
            let table = self.areas[Area::Descriptors as usize];
            memory.read(table + 16 * u64::from(index), &mut bytes)?;
            let word = u128::from_le_bytes(bytes);
            let (address, length) = (word as u64, (word >> 64) as u32);
            let (flags, next) = ((word >> 96) as u16, (word >> 112) as u16);
            if flags & INDIRECT != 0 {
                return Err(Fault::Indirect);
            }
            if flags & WRITE != 0 {
                writable.push(address, length)?;
            } else if writable.is_empty() {
                readable.push(address, length)?;
            } else {
                return Err(Fault::Order);
            }
            if flags & NEXT == 0 {
                break;
            }
            index = next;
        }
        Ok(Chain {
            head,
            readable,
            writable,
        })
    }

    /// Gives a chain back to the driver, with so many bytes written to it.
    ///
    /// # Errors
    ///
    /// [`Fault::NotShared`].
    pub fn give_back(
        &mut self,
        memory: &dyn SharedMemory,
        head: u16,
        written: u32,
    ) -> Result<(), Fault> {
        let ring = self.areas[Area::Device as usize];
        let slot = u64::from(self.next_used) & u64::from(self.size - 1);
        let entry = u64::from(written) << 32 | u64::from(head);
        memory.write(ring + 4 + 8 * slot, &entry.to_le_bytes())?;
        let next = self.next_used.wrapping_add(1);
        memory.write(ring + 2, &next.to_le_bytes())?;
        self.next_used = next;
        self.news = true;
        Ok(())
    }

    /// Whether anything was used since the last call, and the driver wants to be interrupted for it.
    ///
    /// # Errors
    ///
    /// [`Fault::NotShared`].
    pub(super) fn wants_interrupt(&mut self, memory: &dyn SharedMemory) -> Result<bool, Fault> {
        if !core::mem::take(&mut self.news) {
            return Ok(false);
        }
        fence(Ordering::SeqCst);
        let mut flags = [0; 2];
        memory.read(self.areas[Area::Driver as usize], &mut flags)?;
        Ok(u16::from_le_bytes(flags) & NO_INTERRUPT == 0)
    }
}
