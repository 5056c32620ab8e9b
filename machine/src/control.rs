//! A host of several realms on this machine, at the end of a control channel.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use realm_host::Host;
use realm_vmm::control::{About, Link, Outbox, Server};
use realm_vmm::fleet::{Fleet, NoService};

use crate::machine::Machine;
use crate::monitor_platform::on;

/// What has come over the channel and was not taken yet.
#[derive(Default)]
struct Arrivals {
    bytes: Mutex<VecDeque<u8>>,
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
            // As much as the hypervisor of the emulated machine has for that.
            keep: 96 << 20,
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
                arrivals.lock().extend(&bytes[..count]);
                arrivals.any.store(true, Ordering::SeqCst);
                kick();
            }
            arrivals.closed.store(true, Ordering::SeqCst);
            kick();
        });
    }
}
