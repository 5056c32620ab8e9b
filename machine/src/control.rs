//! A host of several realms on this machine, at the end of a control channel.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use realm_host::Host;
use realm_vmm::control::kept::KEEP;
use realm_vmm::control::{About, Link, Outbox, Server};
use realm_vmm::fleet::{Fleet, NoService};

use crate::machine::Machine;
use crate::monitor_platform::on;

/// So many bytes arrive before some of them have to be taken, as in the rings of an emulated machine.
const MOST: usize = 512 << 10;

/// What has come over the channel and was not taken yet.
#[derive(Default)]
struct Arrivals {
    bytes: Mutex<VecDeque<u8>>,
    /// Some were taken, or nobody will.
    taken: Condvar,
    over: AtomicBool,
    any: AtomicBool,
    closed: AtomicBool,
}

impl Arrivals {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u8>> {
        // Moving bytes does not panic.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel whose input another thread reads.
struct Channel<W> {
    arrivals: Arc<Arrivals>,
    to: W,
}

impl<W> Drop for Channel<W> {
    fn drop(&mut self) {
        self.arrivals.over.store(true, Ordering::SeqCst);
        drop(self.arrivals.lock());
        self.arrivals.taken.notify_all();
    }
}

impl<W: Write> Link for Channel<W> {
    fn receive(&mut self, to: &mut [u8]) -> usize {
        let mut bytes = self.arrivals.lock();
        let count = bytes.len().min(to.len());
        for (to, byte) in to.iter_mut().zip(bytes.drain(..count)) {
            *to = byte;
        }
        if bytes.is_empty() {
            self.arrivals.any.store(false, Ordering::SeqCst);
        }
        drop(bytes);
        self.arrivals.taken.notify_all();
        count
    }

    fn send(&mut self, bytes: &[u8]) -> usize {
        // A peer that is gone hears nothing; that it is gone the reading thread notices.
        let _ = self.to.write_all(bytes).and_then(|()| self.to.flush());
        bytes.len()
    }

    fn has_room(&self) -> bool {
        true
    }

    fn has_arrivals(&self) -> bool {
        self.arrivals.any.load(Ordering::SeqCst)
    }

    fn is_closed(&self) -> bool {
        self.arrivals.closed.load(Ordering::SeqCst) && !self.has_arrivals()
    }
}

impl Machine {
    /// Serves a control channel ([`realm_vmm::control`]) on all processing elements until it is told to shut down, or its peer
    /// is gone. Realms that start where a program is [installed](Machine::install) run that. Input is read by a thread that lasts as
    /// long as there is input.
    ///
    /// Returns whether all realms were taken apart.
    pub fn serve(&self, from: impl Read + Send + 'static, to: impl Write + Send) -> bool {
        let arrivals = Arc::new(Arrivals::default());
        self.read_from(from, &arrivals);
        self.serve_link(Channel { arrivals, to })
    }

    /// As [`Machine::serve`], with a channel of the caller's. What makes [`Link::has_arrivals`] true should call processing element 0.
    pub fn serve_link(&self, link: impl Link + Send) -> bool {
        let host = on(self.board(), 0, || {
            Host::new(self.transport(), self.supply())
        });
        let host = match host {
            Ok(host) => host,
            Err(error) => panic!("no realms on this machine: {error}"),
        };
        let outbox = Outbox::default();
        let fleet = Fleet::default();
        let about = About {
            pes: self.pes() as u32,
            free: Box::new(|| self.supply().free_bytes()),
            // That of its process.
            heap: Box::new(|| None),
            keep: KEEP,
        };
        let mut server = Server::new(&host, &fleet, &outbox, link, about);
        thread::scope(|scope| {
            for index in 1..self.pes() {
                let fleet = &fleet;
                scope.spawn(move || {
                    self.guarded(|| {
                        let mut pe = self.host_pe(index);
                        pe.stop_with_guests();
                        on(self.board(), index, || {
                            fleet.run_pe(&mut pe, &mut NoService);
                        });
                    });
                });
            }
            self.guarded(|| {
                let mut pe = self.host_pe(0);
                pe.stop_with_guests();
                on(self.board(), 0, || fleet.run_pe(&mut pe, &mut server));
            });
        });
        let account = host.account();
        account.delegated == account.returned
    }

    fn read_from(&self, mut from: impl Read + Send + 'static, arrivals: &Arc<Arrivals>) {
        let arrivals = Arc::clone(arrivals);
        let kick = self.kicker(0);
        thread::spawn(move || {
            let mut bytes = [0; 64 << 10];
            loop {
                let count = match from.read(&mut bytes) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => count,
                };
                let full = |waiting: &mut VecDeque<u8>| {
                    waiting.len() >= MOST && !arrivals.over.load(Ordering::SeqCst)
                };
                let waiting = arrivals.taken.wait_while(arrivals.lock(), full);
                let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
                if arrivals.over.load(Ordering::SeqCst) {
                    break;
                }
                waiting.extend(&bytes[..count]);
                drop(waiting);
                arrivals.any.store(true, Ordering::SeqCst);
                kick();
            }
            arrivals.closed.store(true, Ordering::SeqCst);
            kick();
        });
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use super::*;
    use crate::Config;

    /// A tool that never stops to say something.
    struct Chatter(Arc<AtomicUsize>);

    impl Read for Chatter {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(to.len(), Ordering::SeqCst);
            Ok(to.len())
        }
    }

    #[test]
    fn what_arrives_waits_outside_until_there_is_room() {
        let machine = Machine::new(Config {
            pes: 1,
            dram_bytes: 64 << 20,
            ..Config::default()
        });
        let said = Arc::new(AtomicUsize::new(0));
        let arrivals = Arc::new(Arrivals::default());
        let mut channel = Channel {
            arrivals: Arc::clone(&arrivals),
            to: io::sink(),
        };
        machine.read_from(Chatter(Arc::clone(&said)), &arrivals);
        let settled = || {
            let mut before = usize::MAX;
            while before != said.load(Ordering::SeqCst) {
                before = said.load(Ordering::SeqCst);
                thread::sleep(Duration::from_millis(200));
            }
            before
        };
        // What was read last waits for room.
        let most = MOST + 2 * (64 << 10);
        assert!(settled() <= most);
        let mut bytes = vec![0; most];
        assert!(channel.receive(&mut bytes) >= MOST);
        let more = settled();
        assert!(more > most && more <= 2 * most, "{more}");
        // The thread ends with the channel.
        drop(channel);
        while !arrivals.closed.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
