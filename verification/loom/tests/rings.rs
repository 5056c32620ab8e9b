//! The two ends of a ring of the control channel, in every order.

use loom::thread;
use loom_models::ring::{CAPACITY, PLACE, RingMemory};
use loom_models::{Flaw, check};
use suzerain_wire::{Moved, Receiver, Sender};

type Ends<const FENCED: bool> = (Sender<RingMemory<FENCED>>, Receiver<RingMemory<FENCED>>);

/// Both ends, after so many bytes have gone from one to the other.
fn ends<const FENCED: bool>(flaw: Flaw, gone: usize) -> Ends<FENCED> {
    let memory = RingMemory::new(flaw);
    let mut sender = Sender::new(memory.clone(), PLACE);
    let mut receiver = Receiver::new(memory, PLACE);
    let mut bytes = [0; CAPACITY];
    let _ = sends(&mut sender, &bytes[..gone], gone);
    let moved = receiver.receive(&mut bytes).expect("an honest sender");
    assert_eq!(moved.bytes, gone);
    (sender, receiver)
}

fn sends<const FENCED: bool>(
    sender: &mut Sender<RingMemory<FENCED>>,
    bytes: &[u8],
    count: usize,
) -> Moved {
    let moved = sender.send(bytes).expect("an honest receiver");
    assert_eq!(moved.bytes, count);
    moved
}

/// A word and a half, the second word of which is where the first one was, while the other end takes what has come.
fn bytes_arrive_as_they_were_sent(flaw: Flaw) {
    let (mut sender, mut receiver) = ends::<true>(flaw, 0);
    let sending = thread::spawn(move || {
        let _ = sends(&mut sender, &[1, 2, 3, 4, 5, 6], 6);
        let moved = sender.send(&[7, 8, 9, 10]).expect("an honest receiver");
        6 + moved.bytes
    });
    let mut bytes = [0; 10];
    let moved = receiver.receive(&mut bytes).expect("an honest sender");
    let mut taken = moved.bytes;
    let sent = sending.join().expect("it sends");
    taken += receiver
        .receive(&mut bytes[taken..])
        .expect("an honest sender")
        .bytes;
    assert_eq!(taken, sent, "bytes are lost");
    for (byte, n) in bytes[..taken].iter().zip(1..) {
        assert_eq!(*byte, n, "bytes are not those that were sent");
    }
}

#[test]
fn a_ring_gives_what_was_put_into_it() {
    check(
        bytes_arrive_as_they_were_sent,
        &[
            (Flaw::NoAcquire, "bytes are not those that were sent"),
            (Flaw::NoRelease, "bytes are not those that were sent"),
            (Flaw::Early, "bytes are not those that were sent"),
        ],
    );
}

/// The receiver finds nothing and wants to sleep, while something comes.
fn a_receiver_that_sleeps<const FENCED: bool>(flaw: Flaw) {
    let (mut sender, mut receiver) = ends::<FENCED>(flaw, 1);
    let sending = thread::spawn(move || sends(&mut sender, &[1], 1).bell);
    let sleeps = receiver.wait().expect("an honest sender");
    let bell = sending.join().expect("it sends");
    assert!(bell || !sleeps, "the bell is lost");
}

/// The sender finds no room and wants to sleep, while the receiver makes some.
fn a_sender_that_sleeps<const FENCED: bool>(flaw: Flaw) {
    let (mut sender, mut receiver) = ends::<FENCED>(flaw, CAPACITY);
    let _ = sends(&mut sender, &[1; CAPACITY], CAPACITY);
    let receiving = thread::spawn(move || {
        let moved = receiver.receive(&mut [0; CAPACITY]);
        moved.expect("an honest sender").bell
    });
    let sleeps = sender.wait().expect("an honest receiver");
    let bell = receiving.join().expect("it receives");
    assert!(bell || !sleeps, "the bell is lost");
}

fn wake(flaw: Flaw) {
    match flaw {
        Flaw::NoFence => a_receiver_that_sleeps::<false>(flaw),
        _ => a_receiver_that_sleeps::<true>(flaw),
    }
}

fn wake_sender(flaw: Flaw) {
    match flaw {
        Flaw::NoFence => a_sender_that_sleeps::<false>(flaw),
        _ => a_sender_that_sleeps::<true>(flaw),
    }
}

#[test]
fn nobody_sleeps_through_a_bell() {
    check(wake, &[(Flaw::NoFence, "the bell is lost")]);
    check(wake_sender, &[(Flaw::NoFence, "the bell is lost")]);
}
