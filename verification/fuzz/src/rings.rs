//! The rings of the control channel, with an end at each side and somebody who writes whatever he likes into their memory.

use std::sync::atomic::{AtomicU64, Ordering};

use suzerain_wire::ring::{SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER};
use suzerain_wire::{Broken, Receiver, Sender, channel};

use crate::Hand;

/// Words of a channel with rings of a few words, so that they are soon full and soon around.
const WORDS: usize = 512 + 2 * CAPACITY;
/// Words of bytes of each ring.
const CAPACITY: usize = 5;
/// The first words of the two rings, and of their bytes.
const PLACES: [(usize, usize); 2] = [(64, 512), (128, 512 + CAPACITY)];

type Memory<'m> = &'m [AtomicU64];

/// One direction: what is on its way, if nobody has lied about it so far.
struct Ring<'m> {
    sender: Sender<Memory<'m>>,
    receiver: Receiver<Memory<'m>>,
    control: usize,
    data: usize,
    on_the_way: Vec<u8>,
    honest: bool,
    /// What was sent last.
    last: u8,
}

/// Has both ends send, receive and wait as these bytes say, while words of their memory change.
///
/// # Panics
///
/// If an end moves more than there is room for, writes a word that is not its own, loses or changes bytes of an honest peer, or
/// fails where nobody has lied.
pub fn run(data: &[u8]) {
    let memory: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
    let memory = memory.as_slice();
    let mut hand = Hand::new(data);
    let (to_host, from_host) = channel::tool(memory);
    let (to_tool, from_tool) = channel::host(memory).expect("the tool is there");
    let ring = |(control, data), sender, receiver| Ring {
        sender,
        receiver,
        control,
        data,
        on_the_way: Vec::new(),
        honest: true,
        last: 0,
    };
    let mut rings = [
        ring(PLACES[0], to_host, from_tool),
        ring(PLACES[1], to_tool, from_host),
    ];
    while !hand.is_empty() {
        let which = hand.below(2);
        let ring = &mut rings[which];
        match hand.below(8) {
            0 | 1 => ring.send(memory, &mut hand),
            2 | 3 => ring.receive(memory, &mut hand),
            4 => ring.wait(memory, &mut hand),
            5 => {
                // Looks only.
                let _ = (ring.sender.has_room(), ring.receiver.has_arrivals());
            }
            _ => {
                let changed = ring.lie(memory, &mut hand);
                for ring in &mut rings {
                    ring.honest &= !ring.has(changed);
                }
            }
        }
    }
}

impl Ring<'_> {
    fn send(&mut self, memory: Memory<'_>, hand: &mut Hand<'_>) {
        let bytes: Vec<_> = (0..hand.below(64))
            .map(|_| {
                self.last = self.last.wrapping_add(1);
                self.last
            })
            .collect();
        let own = [self.control + SENT];
        let data = self.data..self.data + CAPACITY;
        let sender = &mut self.sender;
        let moved = touching(
            memory,
            |word| own.contains(&word) || data.contains(&word),
            || sender.send(&bytes),
        );
        let Some(moved) = self.fine(moved) else {
            return;
        };
        assert!(moved.bytes <= bytes.len().min(8 * CAPACITY));
        self.last = self.last.wrapping_sub((bytes.len() - moved.bytes) as u8);
        if self.honest {
            let room = 8 * CAPACITY - self.on_the_way.len();
            assert_eq!(moved.bytes, room.min(bytes.len()));
            self.on_the_way.extend(&bytes[..moved.bytes]);
        }
    }

    fn receive(&mut self, memory: Memory<'_>, hand: &mut Hand<'_>) {
        let mut bytes = vec![0; hand.below(64)];
        let own = self.control + TAKEN;
        let receiver = &mut self.receiver;
        let moved = touching(memory, |word| word == own, || receiver.receive(&mut bytes));
        let Some(moved) = self.fine(moved) else {
            return;
        };
        assert!(moved.bytes <= bytes.len().min(8 * CAPACITY));
        if self.honest {
            assert_eq!(moved.bytes, bytes.len().min(self.on_the_way.len()));
            let sent: Vec<_> = self.on_the_way.drain(..moved.bytes).collect();
            assert_eq!(bytes[..moved.bytes], sent);
        }
    }

    fn wait(&mut self, memory: Memory<'_>, hand: &mut Hand<'_>) {
        let is_sender = hand.seldom(2);
        let (own, due) = if is_sender {
            let room = 8 * CAPACITY - self.on_the_way.len().min(8 * CAPACITY);
            (self.control + WAKE_SENDER, room < 4 * CAPACITY)
        } else {
            (self.control + WAKE_RECEIVER, self.on_the_way.is_empty())
        };
        let Self {
            sender, receiver, ..
        } = self;
        let waits = touching(
            memory,
            |word| word == own,
            || match is_sender {
                true => sender.wait(),
                false => receiver.wait(),
            },
        );
        if let Some(waits) = self.fine(waits)
            && self.honest
        {
            assert_eq!(waits, due, "who waits for what has come sleeps for ever");
        }
    }

    /// Somebody changes a word of the ring, most likely one that an end reads, to something near to what it was.
    /// Says which.
    fn lie(&self, memory: Memory<'_>, hand: &mut Hand<'_>) -> usize {
        let at = match hand.below(8) {
            0 => self.data + hand.below(CAPACITY),
            1 => hand.below(256),
            n => self.control + [SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER][n % 4],
        };
        let word = &memory[at];
        let old = word.load(Ordering::Relaxed);
        let new = match hand.below(4) {
            0 => hand.value(),
            1 => old.wrapping_add(hand.byte().into()),
            2 => old.wrapping_sub(hand.byte().into()),
            _ => old ^ 1 << hand.below(64),
        };
        word.store(new, Ordering::Relaxed);
        at
    }

    fn has(&self, word: usize) -> bool {
        let (control, data) = (self.control, self.data);
        (control..=control + WAKE_SENDER).contains(&word) || (data..data + CAPACITY).contains(&word)
    }

    /// What a call has come to, if its end has not found that the other one lies.
    fn fine<T>(&self, result: Result<T, Broken>) -> Option<T> {
        if let Err(broken) = &result {
            assert!(!self.honest, "{broken}");
        }
        result.ok()
    }
}

/// Carries `call` out, and looks which words it has changed.
fn touching<T>(memory: Memory<'_>, own: impl Fn(usize) -> bool, call: impl FnOnce() -> T) -> T {
    let words = || memory.iter().map(|word| word.load(Ordering::Relaxed));
    let before: Vec<_> = words().collect();
    let result = call();
    for (at, (before, after)) in before.into_iter().zip(words()).enumerate() {
        assert!(before == after || own(at), "word {at} is not its own");
    }
    result
}
