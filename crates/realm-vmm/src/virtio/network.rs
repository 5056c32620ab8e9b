//! A network interface without offloads (virtio 1.2, section 5.1).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use spin::Mutex;

use super::Fault;
use super::queue::Queue;
use super::transport::{Device, Transport};
use crate::bus::SharedMemory;

/// Feature: the configuration space has the hardware address.
const F_MAC: u64 = 1 << 5;

const RECEIVE: usize = 0;
/// The header in front of each frame.
const HEADER: usize = 12;
/// The field of the header that says how many buffers a frame takes.
const BUFFERS: usize = 10;

/// The shortest frame: its addresses and its type.
pub const SHORTEST_FRAME: usize = 14;
/// The longest frame: 1500 bytes behind a header with a VLAN tag. The check sequence is no part of it.
pub const LONGEST_FRAME: usize = 1518;
/// Frames that wait in each direction until somebody takes them. What comes then is lost.
pub const WAITING_FRAMES: usize = 128;

#[derive(Debug, Default)]
struct State {
    outgoing: VecDeque<Vec<u8>>,
    incoming: VecDeque<Vec<u8>>,
    counts: FrameCounts,
}

/// What became of frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    /// Frames that the realm sent.
    pub sent: u64,
    /// Frames that the realm got.
    pub received: u64,
    /// Frames of the realm that were lost: nobody took those before them, or they were no frames.
    pub lost_out: u64,
    /// Frames for the realm that were lost: it had no buffers, or they were no frames.
    pub lost_in: u64,
}

/// The host's side of a network interface.
#[derive(Clone, Debug)]
pub struct NetworkPort(Arc<Mutex<State>>);

impl NetworkPort {
    /// Takes a frame that the realm has sent.
    pub fn take_frame(&self) -> Option<Vec<u8>> {
        self.0.lock().outgoing.pop_front()
    }

    /// Whether there is a frame to take.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        !self.0.lock().outgoing.is_empty()
    }

    /// Sends a frame to the realm; returns whether there was room for it. The device brings it to the realm when it is polled.
    pub fn send_frame(&self, frame: &[u8]) -> bool {
        let mut state = self.0.lock();
        let fits = (SHORTEST_FRAME..=LONGEST_FRAME).contains(&frame.len())
            && state.incoming.len() < WAITING_FRAMES;
        if fits {
            state.incoming.push_back(frame.into());
        } else {
            state.counts.lost_in += 1;
        }
        fits
    }

    /// What became of frames.
    #[must_use]
    pub fn counts(&self) -> FrameCounts {
        self.0.lock().counts
    }
}

/// The device's side of a network interface.
#[derive(Debug)]
pub struct Network {
    port: NetworkPort,
    mac: [u8; 6],
}

/// A network interface with this hardware address.
#[must_use]
pub fn network(mac: [u8; 6]) -> (Transport<Network>, NetworkPort) {
    let port = NetworkPort(Arc::default());
    let device = Network {
        port: port.clone(),
        mac,
    };
    (Transport::new(device), port)
}

impl Network {
    fn receive(&self, queue: &mut Queue, memory: &dyn SharedMemory) -> Result<(), Fault> {
        let mut batch = queue.batch(memory)?;
        // Only this device takes frames out.
        while !self.port.0.lock().incoming.is_empty() {
            let Some(chain) = queue.next(&mut batch, memory)? else {
                return Ok(());
            };
            let frame = self.port.0.lock().incoming.pop_front().unwrap_or_default();
            let length = HEADER + frame.len();
            if chain.writable.len() < length as u64 {
                self.port.0.lock().counts.lost_in += 1;
                queue.give_back(memory, chain.head, 0)?;
                continue;
            }
            let mut bytes = vec![0; length];
            bytes[BUFFERS] = 1;
            bytes[HEADER..].copy_from_slice(&frame);
            chain.writable.write(memory, 0, &bytes)?;
            queue.give_back(memory, chain.head, length as u32)?;
            self.port.0.lock().counts.received += 1;
        }
        Ok(())
    }

    fn transmit(&self, queue: &mut Queue, memory: &dyn SharedMemory) -> Result<(), Fault> {
        let mut batch = queue.batch(memory)?;
        while let Some(chain) = queue.next(&mut batch, memory)? {
            // Without offloads, nothing in the header says anything.
            let length = chain.readable.len().saturating_sub(HEADER as u64);
            let is_frame = (SHORTEST_FRAME as u64..=LONGEST_FRAME as u64).contains(&length);
            let is_lost = !is_frame || self.port.0.lock().outgoing.len() >= WAITING_FRAMES;
            if is_lost {
                self.port.0.lock().counts.lost_out += 1;
            } else {
                let mut frame = vec![0; length as usize];
                chain.readable.read(memory, HEADER as u64, &mut frame)?;
                let mut state = self.port.0.lock();
                state.outgoing.push_back(frame);
                state.counts.sent += 1;
            }
            queue.give_back(memory, chain.head, 0)?;
        }
        Ok(())
    }
}

impl Device for Network {
    const ID: u32 = 1;
    const QUEUES: &'static [u16] = &[128, 128];

    fn features(&self) -> u64 {
        F_MAC
    }

    fn config(&self, space: &mut [u8; 64]) {
        space[..6].copy_from_slice(&self.mac);
    }

    fn reset(&mut self) {
        self.port.0.lock().incoming.clear();
    }

    fn serve(
        &mut self,
        index: usize,
        queue: &mut Queue,
        memory: &dyn SharedMemory,
    ) -> Result<(), Fault> {
        match index {
            RECEIVE => self.receive(queue, memory),
            _ => self.transmit(queue, memory),
        }
    }
}
