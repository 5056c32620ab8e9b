//! A console with one port (virtio 1.2, section 5.3).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use spin::Mutex;

use super::Fault;
use super::chain::Chain;
use super::queue::Queue;
use super::transport::{Device, Transport};
use crate::bus::SharedMemory;

/// Feature: the configuration space has the size.
const F_SIZE: u64 = 1 << 0;

const RECEIVE: usize = 0;
/// What is copied at once.
const PIECE: usize = 512;

/// Bytes that are kept in each direction until somebody takes them.
pub const ROOM: usize = 64 << 10;

/// What happens to output that nobody takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The driver waits. Nothing is lost, and the vCPU that prints may make no progress: the console of Linux waits with locks held.
    Wait,
    /// The oldest output is lost.
    DropOldest,
}

#[derive(Debug)]
struct State {
    output: VecDeque<u8>,
    input: VecDeque<u8>,
    lost: u64,
    columns: u16,
    rows: u16,
    is_resized: bool,
}

/// The host's side of a console.
#[derive(Clone, Debug)]
pub struct ConsolePort(Arc<Mutex<State>>);

impl ConsolePort {
    /// Takes at most so many bytes of what the realm has written.
    pub fn take_output(&self, most: usize) -> Vec<u8> {
        let mut state = self.0.lock();
        let count = most.min(state.output.len());
        state.output.drain(..count).collect()
    }

    /// Whether there is output to take.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.0.lock().output.is_empty()
    }

    /// Bytes of output that were lost because nobody took them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }

    /// Gives the realm input; returns how many bytes there was room for. The device brings it to the realm when it is polled.
    pub fn send_input(&self, bytes: &[u8]) -> usize {
        let mut state = self.0.lock();
        let count = bytes.len().min(ROOM - state.input.len());
        state.input.extend(&bytes[..count]);
        count
    }

    /// Changes the size of the terminal, in characters. The device tells the realm when it is polled.
    pub fn resize(&self, columns: u16, rows: u16) {
        let mut state = self.0.lock();
        state.is_resized |= (state.columns, state.rows) != (columns, rows);
        (state.columns, state.rows) = (columns, rows);
    }
}

/// The device's side of a console.
#[derive(Debug)]
pub struct Console {
    port: ConsolePort,
    overflow: Overflow,
    /// What is being printed, and how much of it is.
    sending: Option<(Chain, u64)>,
}

/// A console of 80 by 24 characters.
#[must_use]
pub fn console(overflow: Overflow) -> (Transport<Console>, ConsolePort) {
    let port = ConsolePort(Arc::new(Mutex::new(State {
        output: VecDeque::new(),
        input: VecDeque::new(),
        lost: 0,
        columns: 80,
        rows: 24,
        is_resized: false,
    })));
    let device = Console {
        port: port.clone(),
        overflow,
        sending: None,
    };
    (Transport::new(device), port)
}

impl Console {
    fn receive(&self, queue: &mut Queue, memory: &dyn SharedMemory) -> Result<(), Fault> {
        let mut batch = queue.batch(memory)?;
        loop {
            let waiting = self.port.0.lock().input.len();
            if waiting == 0 {
                return Ok(());
            }
            let Some(chain) = queue.next(&mut batch, memory)? else {
                return Ok(());
            };
            let count = chain.writable.len().min(waiting as u64) as usize;
            // Only this device takes input.
            let bytes: Vec<u8> = self.port.0.lock().input.drain(..count).collect();
            chain.writable.write(memory, 0, &bytes)?;
            queue.give_back(memory, chain.head, count as u32)?;
        }
    }

    fn transmit(&mut self, queue: &mut Queue, memory: &dyn SharedMemory) -> Result<(), Fault> {
        let mut batch = queue.batch(memory)?;
        let mut left = ROOM;
        loop {
            let next = match self.sending.take() {
                Some(sending) => Some(sending),
                None => queue.next(&mut batch, memory)?.map(|chain| (chain, 0)),
            };
            let Some((chain, mut done)) = next else {
                return Ok(());
            };
            while done < chain.readable.len() {
                let count = (chain.readable.len() - done).min(PIECE as u64) as usize;
                let count = count.min(self.room(left));
                if count == 0 {
                    self.sending = Some((chain, done));
                    return Ok(());
                }
                let mut bytes = [0; PIECE];
                let bytes = &mut bytes[..count];
                chain.readable.read(memory, done, bytes)?;
                self.print(bytes);
                done += count as u64;
                left -= count;
            }
            queue.give_back(memory, chain.head, 0)?;
        }
    }

    /// How many bytes may be printed now, if so many are left in this call.
    fn room(&self, left: usize) -> usize {
        match self.overflow {
            Overflow::Wait => left.min(ROOM - self.port.0.lock().output.len()),
            Overflow::DropOldest => left,
        }
    }

    fn print(&self, bytes: &[u8]) {
        let mut state = self.port.0.lock();
        let over = (state.output.len() + bytes.len()).saturating_sub(ROOM);
        state.output.drain(..over);
        state.lost += over as u64;
        state.output.extend(bytes);
    }
}

impl Device for Console {
    const ID: u32 = 3;
    const QUEUES: &'static [u16] = &[64, 64];

    fn features(&self) -> u64 {
        F_SIZE
    }

    fn config(&self, space: &mut [u8; 64]) {
        let state = self.port.0.lock();
        space[0..2].copy_from_slice(&state.columns.to_le_bytes());
        space[2..4].copy_from_slice(&state.rows.to_le_bytes());
    }

    fn is_reconfigured(&mut self) -> bool {
        core::mem::take(&mut self.port.0.lock().is_resized)
    }

    fn reset(&mut self) {
        self.sending = None;
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
