//! The tool's end of the control channel of an emulated machine: [rings](suzerain_wire) in the machine's memory, and a socket whose
//! bytes are the bell. Nothing that is read there is believed.

mod memory;

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{SendFlags, send};
use suzerain_wire::{Broken, Memory, Moved, Receiver, Sender};

pub(crate) use self::memory::{ChannelMemory, MachineMemory};

/// A host that takes nothing for so long is of no use.
const STALL: Duration = Duration::from_secs(60);

/// The bell: who sleeps is woken by it, whatever it is that he waits for.
struct Bell {
    stream: UnixStream,
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct Heard {
    /// How often it was heard.
    count: u64,
    /// It will not be heard any more: the machine is gone.
    closed: bool,
}

impl Bell {
    /// Rings for the machine. If the socket is full, it has been rung for and not listened yet.
    fn ring(&self) {
        let _ = send(
            &self.stream,
            &[0],
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens until the machine is gone.
    fn listen(&self) {
        let mut bytes = [0; 256];
        loop {
            match (&self.stream).read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => self.heard().count += 1,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
            self.changed.notify_all();
        }
        self.heard().closed = true;
        self.changed.notify_all();
    }

    /// Waits until it has been heard again since `before`, or will not be any more: `false`. Or until that time.
    fn wait(&self, before: Heard, until: Option<Instant>) -> bool {
        let mut heard = self.heard();
        while heard.count == before.count && !heard.closed {
            let Some(until) = until else {
                let woken = self.changed.wait(heard);
                heard = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.changed.wait_timeout(heard, left);
            heard = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        !heard.closed
    }

    /// Rings if that is what a call asks for, and says how many bytes it has moved.
    fn moved(&self, result: Result<Moved, Broken>) -> io::Result<usize> {
        let moved = result.map_err(mad)?;
        if moved.bell {
            self.ring();
        }
        Ok(moved.bytes)
    }
}

fn mad(broken: Broken) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, broken)
}

/// The two directions of a channel in memory that is all zero, before its machine starts. `bell` is connected to the machine.
///
/// A thread listens for the bell until the machine is gone.
pub(crate) fn open<M: Memory>(memory: M, bell: UnixStream) -> (Reader<M>, Writer<M>) {
    let (to_host, from_host) = suzerain_wire::channel::tool(memory);
    let bell = Arc::new(Bell {
        stream: bell,
        heard: Mutex::default(),
        changed: Condvar::new(),
    });
    let listening = Arc::clone(&bell);
    thread::spawn(move || listening.listen());
    let reader = Reader {
        ring: from_host,
        bell: Arc::clone(&bell),
    };
    let writer = Writer {
        ring: to_host,
        bell,
    };
    (reader, writer)
}

/// What the host says.
pub(crate) struct Reader<M> {
    ring: Receiver<M>,
    bell: Arc<Bell>,
}

impl<M: Memory> Read for Reader<M> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            // Before the look: who rings after it is heard.
            let heard = *self.bell.heard();
            let count = self.bell.moved(self.ring.receive(to))?;
            if count != 0 {
                return Ok(count);
            }
            if self.ring.wait().map_err(mad)? && (heard.closed || !self.bell.wait(heard, None)) {
                // What it said last has been read.
                return self.bell.moved(self.ring.receive(to));
            }
        }
    }
}

/// What the host is told. Who writes waits until the host has taken enough of it, but not for ever.
pub(crate) struct Writer<M> {
    ring: Sender<M>,
    bell: Arc<Bell>,
}

impl<M: Memory> Write for Writer<M> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = Instant::now() + STALL;
        loop {
            let heard = *self.bell.heard();
            if heard.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let count = self.bell.moved(self.ring.send(bytes))?;
            if count != 0 {
                return Ok(count);
            }
            if self.ring.wait().map_err(mad)? {
                // However often a host rings that takes nothing.
                if Instant::now() >= end {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                self.bell.wait(heard, Some(end));
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
