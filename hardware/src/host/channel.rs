//! The control channel: how somebody outside of the machine talks to the hypervisor, through memory that both see.

use core::ops::Range;
use core::sync::atomic::AtomicU64;

use suzerain_wire::{Broken, Moved, Receiver, Sender, channel};

use super::gic::Gic;
use super::memory::Dram;
use super::{pe, power};

type Words = &'static [AtomicU64];

/// What the firmware says of the channel.
#[derive(Clone, Debug)]
pub struct Place {
    /// The memory.
    pub memory: Range<u64>,
    /// The interrupt that says that the other end rings.
    pub intid: u32,
    /// The function id of the call that rings for the other end.
    pub bell: u32,
}

/// This end of the channel. For PE 0.
#[derive(Debug)]
pub struct Channel {
    to_tool: Sender<Words>,
    from_tool: Receiver<Words>,
    bell: u32,
    /// The other end has said what cannot be. It is not listened to any more.
    broken: bool,
}

impl Channel {
    /// The channel with its memory there, if somebody is at the other end, with its interrupt enabled for this PE.
    ///
    /// # Panics
    ///
    /// If the memory is not all the normal world's, or somebody has it already.
    pub fn open(place: &Place, dram: &mut Dram, gic: &Gic) -> Option<Self> {
        let words = dram.words(place.memory.clone());
        let (to_tool, from_tool) = channel::host(words).ok()?;
        gic.enable_shared(place.intid);
        Some(Self {
            to_tool,
            from_tool,
            bell: place.bell,
            broken: false,
        })
    }

    /// Rings if that is what a call asks for, and says how many bytes it has moved.
    fn moved(&mut self, result: Result<Moved, Broken>) -> usize {
        match result {
            Ok(moved) => {
                if moved.bell {
                    power::ring(self.bell);
                }
                moved.bytes
            }
            Err(_) => {
                self.broken = true;
                0
            }
        }
    }

    /// Moves bytes that have arrived to the start of `to`, and says how many. After a 0 the next arrival is an interrupt.
    pub fn receive(&mut self, to: &mut [u8]) -> usize {
        while !self.broken {
            let result = self.from_tool.receive(to);
            let count = self.moved(result);
            if count != 0 {
                return count;
            }
            pe::device_interrupt_taken();
            match self.from_tool.wait() {
                Ok(true) => return 0,
                // Something has arrived meanwhile.
                Ok(false) => {}
                Err(_) => self.broken = true,
            }
        }
        0
    }

    /// Sends the first of the bytes, as many as there is room for, and says how many. If those are not all, there is an interrupt when
    /// there is room again.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() && !self.broken {
            let result = self.to_tool.send(&bytes[sent..]);
            sent += self.moved(result);
            if sent < bytes.len() {
                match self.to_tool.wait() {
                    Ok(true) => return sent,
                    // Room has been made meanwhile.
                    Ok(false) => {}
                    Err(_) => self.broken = true,
                }
            }
        }
        sent
    }

    /// Whether bytes are there, or the other end has rung since `receive` last returned 0.
    pub fn has_arrivals(&self) -> bool {
        !self.broken && (self.from_tool.has_arrivals() || pe::device_interrupt())
    }

    /// Whether there is room again.
    pub fn has_room(&self) -> bool {
        !self.broken && self.to_tool.has_room()
    }

    /// Whether the other end has said what cannot be.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}
