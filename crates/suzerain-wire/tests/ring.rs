//! Both ends of a channel: what goes in comes out, whoever is mad hurts nobody but himself, and nobody sleeps for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use suzerain_wire::channel::{self, Unserved};
use suzerain_wire::ring::{Place, SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER};
use suzerain_wire::{Broken, Moved, Receiver, Sender};

type Words = &'static [AtomicU64];

/// Words of the ring's own, and then room for the bytes.
const DATA: usize = 32;

fn memory(words: usize) -> Words {
    (0..words)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak()
}

fn ring(words: usize) -> (Words, Sender<Words>, Receiver<Words>) {
    let memory = memory(DATA + words);
    let place = Place::new(0, DATA, words);
    (
        memory,
        Sender::new(memory, place),
        Receiver::new(memory, place),
    )
}

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[test]
fn what_is_sent_in_pieces_arrives_in_other_pieces() {
    for (words, seed) in [(1, 1), (2, 2), (3, 3), (7, 4), (64, 5)] {
        let mut dice = Dice(seed);
        let (_, mut sender, mut receiver) = ring(words);
        let capacity = 8 * words;
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for _ in 0..5000 {
            let free = capacity - (sent.len() - received.len());
            assert_eq!(sender.room(), Ok(free));
            let bytes: Vec<u8> = (0..dice.below(2 * capacity + 2))
                .map(|_| dice.next() as u8)
                .collect();
            let moved = sender.send(&bytes).unwrap();
            assert_eq!(moved.bytes, bytes.len().min(free));
            sent.extend_from_slice(&bytes[..moved.bytes]);

            let here = sent.len() - received.len();
            assert_eq!(receiver.arrived(), Ok(here));
            let mut piece = vec![0; dice.below(2 * capacity + 2)];
            let moved = receiver.receive(&mut piece).unwrap();
            assert_eq!(moved.bytes, piece.len().min(here));
            assert!(piece[moved.bytes..].iter().all(|&byte| byte == 0));
            received.extend_from_slice(&piece[..moved.bytes]);
            assert!(sent.starts_with(&received));
        }
    }
}

#[test]
fn the_bell_rings_once_for_each_wait() {
    let (_, mut sender, mut receiver) = ring(2);
    let moved = |bytes, bell| Ok(Moved { bytes, bell });
    let mut to = [0; 16];
    assert_eq!(receiver.wait(), Ok(true));
    assert_eq!(sender.send(b"abc"), moved(3, true));
    assert_eq!(sender.send(b"d"), moved(1, false), "it is awake");
    assert_eq!(receiver.wait(), Ok(false), "something is there");
    assert_eq!(receiver.receive(&mut to).unwrap().bytes, 4);
    assert_eq!(sender.send(b"e"), moved(1, false), "nobody has asked");
    assert_eq!(receiver.receive(&mut to).unwrap().bytes, 1);
    assert_eq!(receiver.wait(), Ok(true));
    assert_eq!(sender.send(b""), moved(0, false), "nothing arrives");
    assert_eq!(sender.send(b"f"), moved(1, true));

    assert_eq!(sender.wait(), Ok(false), "there is room");
    assert_eq!(sender.send(&[1; 20]).unwrap().bytes, 15);
    assert_eq!(sender.wait(), Ok(true));
    assert_eq!(receiver.receive(&mut to[..7]), moved(7, false));
    assert_eq!(receiver.receive(&mut to[..1]), moved(1, true), "half of it");
    assert_eq!(sender.wait(), Ok(false));
    assert_eq!(receiver.receive(&mut to), moved(8, false));
}

#[test]
fn a_sender_that_is_mad_is_found_out() {
    for word in [18, u64::MAX, 1 << 63, 1 << 32, 1, 0] {
        let (memory, mut sender, mut receiver) = ring(2);
        assert_eq!(sender.send(b"ab").unwrap().bytes, 2);
        assert_eq!(receiver.receive(&mut [0]).unwrap().bytes, 1);
        memory[SENT].store(17, Ordering::Relaxed);
        assert_eq!(receiver.arrived(), Ok(16), "as far as it can be");
        memory[SENT].store(2, Ordering::Relaxed);
        assert!(receiver.arrived().is_err(), "it goes back");
        memory[SENT].store(word, Ordering::Relaxed);
        let broken = Broken {
            theirs: word,
            from: 17,
            to: 17,
        };
        assert_eq!(receiver.arrived(), Err(broken));
        assert_eq!(receiver.receive(&mut [0; 100]), Err(broken));
        assert_eq!(receiver.wait(), Err(broken));
    }
}

#[test]
fn a_receiver_that_is_mad_is_found_out() {
    for word in [4, u64::MAX, 1 << 63, 0xFFFF_FFFF] {
        let (memory, mut sender, mut receiver) = ring(2);
        assert_eq!(sender.send(b"abc").unwrap().bytes, 3);
        assert_eq!(receiver.receive(&mut [0]).unwrap().bytes, 1);
        assert_eq!(sender.room(), Ok(14));
        memory[TAKEN].store(word, Ordering::Relaxed);
        let broken = Broken {
            theirs: word,
            from: 1,
            to: 3,
        };
        assert_eq!(sender.room(), Err(broken));
        assert_eq!(sender.send(b"x"), Err(broken));
        assert_eq!(sender.wait(), Err(broken));
        memory[TAKEN].store(0, Ordering::Relaxed);
        assert!(sender.room().is_err(), "it goes back");
    }
}

#[test]
fn who_never_receives_gets_no_more_than_fits() {
    let (memory, mut sender, _) = ring(4);
    let mut sent = 0;
    for _ in 0..100 {
        sent += sender.send(&[7; 100]).unwrap().bytes;
    }
    assert_eq!((sent, sender.room()), (32, Ok(0)));
    assert_eq!(memory[SENT].load(Ordering::Relaxed), 32);
}

/// An end that writes anything anywhere, at any time, meets an end that goes on: no panic, and nothing is read or written outside of
/// the ring's own words.
#[test]
fn whatever_the_memory_says_an_end_stays_in_its_ring() {
    let mut dice = Dice(99);
    for _ in 0..300 {
        let memory = memory(40);
        let place = Place::new(0, DATA, 3);
        let (mut sender, mut receiver) = (Sender::new(memory, place), Receiver::new(memory, place));
        memory[DATA + 3..]
            .iter()
            .for_each(|word| word.store(0x55, Ordering::Relaxed));
        for _ in 0..40 {
            let position = match dice.below(4) {
                0 => dice.next(),
                1 => u64::MAX - dice.next() % 64,
                _ => dice.next() % 64,
            };
            let which = [SENT, TAKEN, WAKE_RECEIVER, WAKE_SENDER, DATA][dice.below(5)];
            memory[which].store(position, Ordering::Relaxed);
            let mut bytes = vec![0; dice.below(60)];
            // Each says where it is after it has looked where the other one is, so that either has to go first.
            let mut moved = [Ok(0), Ok(0)];
            let first = dice.below(2);
            for which in [first, 1 - first] {
                moved[which] = if which == 0 {
                    sender.send(&bytes).map(|moved| moved.bytes)
                } else {
                    receiver.receive(&mut bytes).map(|moved| moved.bytes)
                };
            }
            let [sent, received] = moved;
            let results = [
                sent,
                received,
                sender.wait().map(usize::from),
                receiver.wait().map(usize::from),
            ];
            assert!(results.iter().flatten().all(|&count| count <= 24));
        }
        assert!(
            memory[DATA + 3..]
                .iter()
                .all(|word| word.load(Ordering::Relaxed) == 0x55)
        );
    }
}

/// Two threads that sleep whenever they can, and are woken by the bell alone.
#[test]
fn nobody_sleeps_for_ever() {
    const BYTES: usize = 1 << 20;
    let memory = memory(512 + 2 * 16);
    let (mut sender, _) = channel::tool(memory);
    let (_, mut receiver) = channel::host(memory).unwrap();
    let (ring_receiver, receiver_bell) = mpsc::channel();
    let (ring_sender, sender_bell) = mpsc::channel();
    let from = thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(|n| (n % 251) as u8).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let moved = sender.send(&rest[..rest.len().min(37)]).unwrap();
            if moved.bell {
                let _ = ring_receiver.send(());
            }
            rest = &rest[moved.bytes..];
            while moved.bytes == 0 && sender.wait().unwrap() {
                sender_bell.recv().unwrap();
            }
        }
    });
    let mut count = 0;
    let mut bytes = [0; 50];
    while count < BYTES {
        let moved = receiver.receive(&mut bytes).unwrap();
        for byte in &bytes[..moved.bytes] {
            assert_eq!(*byte, (count % 251) as u8);
            count += 1;
        }
        if moved.bell {
            let _ = ring_sender.send(());
        }
        while moved.bytes == 0 && receiver.wait().unwrap() {
            receiver_bell.recv().unwrap();
        }
    }
    from.join().unwrap();
}

#[test]
fn a_host_without_a_tool_is_told_so() {
    let memory = memory(1 << 10);
    assert_eq!(channel::host(memory).unwrap_err(), Unserved);
    let (mut to_host, mut from_host) = channel::tool(memory);
    let (mut to_tool, mut from_tool) = channel::host(memory).unwrap();
    assert_eq!(to_host.send(b"down").unwrap().bytes, 4);
    assert_eq!(to_tool.send(b"up").unwrap().bytes, 2);
    let mut bytes = [0; 8];
    assert_eq!(from_tool.receive(&mut bytes).unwrap().bytes, 4);
    assert_eq!(&bytes[..4], b"down");
    assert_eq!(from_host.receive(&mut bytes).unwrap().bytes, 2);
    assert_eq!(&bytes[..2], b"up");
}
