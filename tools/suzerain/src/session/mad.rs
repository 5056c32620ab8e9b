//! A host that went mad: whatever it sends or does not send, it costs its own machine only.

use std::os::unix::net::UnixStream;
use std::thread;

use realm_vmm::control::block::{Operation, Transfer};
use realm_vmm::control::message::{Answer, Call, Event, Outcome as Said};
use realm_vmm::report::Outcome;

use super::script::Host;
use super::*;
use crate::blueprint::Blueprint;

const SHORT: Duration = Duration::from_millis(300);

/// A channel to a host for which nobody has much patience.
fn channel() -> (Session, Host) {
    channel_with(SHORT)
}

fn channel_with(patience: Duration) -> (Session, Host) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_write_timeout(Some(SHORT)).unwrap();
    let patience = Patience {
        quick: patience,
        long: patience,
    };
    let session = Session::with_patience(ours.try_clone().unwrap(), ours, patience);
    (session, Host::new(theirs))
}

fn spec() -> Spec {
    Blueprint::raw(1, 1 << 20, 0, vec![1; 4096]).spec(0, [0; 64])
}

/// Every command of a channel that is of no use says why, at once.
fn is_lost(session: &Session, why: &str) {
    for failure in [
        session.hello().unwrap_err(),
        session.list().unwrap_err(),
        session.wait_stopped(1).unwrap_err(),
    ] {
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

#[test]
fn bytes_that_are_no_frames_end_the_channel() {
    let mut state = 1_u64;
    let mut noise = [0; 4096];
    for byte in &mut noise {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    // A frame that would have 4 GiB, one of a kind that there is not, one that only the tool sends.
    let huge = [0xff, 0xff, 0xff, 0xff, 5, 0, 0, 0, 1, 0, 0, 0];
    let unknown = [0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [&noise[..], &huge, &unknown] {
        let (session, mut host) = channel();
        host.write(bytes);
        is_lost(&session, "carries a header that nobody writes");
    }
    let (session, mut host) = channel();
    host.send(Kind::Contents, 1, 0, &[]);
    is_lost(&session, "the host sends a frame of kind Contents");
}

/// What is wrong with JSON is said in words of the JSON, which are the host's.
#[test]
fn nonsense_in_frames_ends_the_channel_and_is_shown_only() {
    let deep = "[".repeat(100_000);
    for (kind, json) in [
        (
            Kind::Reply,
            "{\"id\":1,\"ok\":{\"answer\":\"\\u001b[2J\\u009b\"}}",
        ),
        (
            Kind::Event,
            "{\"event\":\"\\u001b]52;c;x\\u0007\\r\\nerror: forged\"}",
        ),
        (Kind::Event, &deep),
        (Kind::Reply, "{\"id\":-1,\"error\":\"\"}"),
        (Kind::Reply, "\u{9b}"),
    ] {
        let (session, mut host) = channel();
        host.send(kind, 0, 0, json.as_bytes());
        is_lost(&session, "cannot be understood");
        let shown = session.list().unwrap_err().to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}

#[test]
fn replies_that_nobody_waits_for_are_nobodys() {
    let (session, mut host) = channel_with(Duration::from_secs(60));
    let act = thread::spawn(move || {
        let first = session.start(1);
        let second = session.create("a", spec());
        (first, second)
    });
    let request = host.request();
    host.reply(request.id + 1, Said::Ok(Answer::Created { realm: 9 }));
    host.reply(u64::MAX, Said::Error("nobody".to_owned()));
    host.reply(request.id, Said::Ok(Answer::Done));
    host.reply(request.id, Said::Error("twice".to_owned()));
    let request = host.request();
    // The one that came too early is gone.
    host.reply(request.id, Said::Ok(Answer::Created { realm: 3 }));
    let (first, second) = act.join().unwrap();
    first.unwrap();
    assert_eq!(second.unwrap(), 3);
}

#[test]
fn who_is_silent_is_not_waited_for() {
    let (session, mut host) = channel();
    host.hello();
    session.hello().unwrap();
    for failure in [
        session.list().unwrap_err(),
        session.activate(1).unwrap_err(),
        session.remove(1).unwrap_err(),
    ] {
        let failure = failure.to_string();
        assert!(failure.contains("has not answered within"), "{failure}");
    }
}

#[test]
fn who_does_not_read_is_not_waited_for() {
    let (session, _host) = channel();
    let bytes = vec![0; PIECE];
    let failure = (0..1000).find_map(|_| session.contents(1, 0, &bytes).err());
    let failure = failure.unwrap().to_string();
    assert!(failure.contains("does not read"), "{failure}");
    is_lost(&session, "does not read");
}

#[test]
fn what_is_said_of_realms_that_nobody_made_is_not_kept() {
    let (session, mut host) = channel_with(Duration::from_secs(60));
    host.hello();
    let flood = thread::spawn(move || {
        for realm in 1..=2000 {
            host.send(Kind::Console, realm, realm as u8, &[b'x'; 1000]);
            host.send(Kind::Network, realm, 0, &[0; 60]);
            host.event(&Event::Stopped {
                realm,
                outcome: Outcome::Ok,
                error: Some("x".repeat(1000)),
            });
        }
        host.create(7);
        host.done(&Call::Start { realm: 7 });
        // A second console of a realm that has one, and the end of it, twice.
        host.send(Kind::Console, 7, 0, b"first");
        host.send(Kind::Console, 7, 1, b"second");
        for error in ["the first", "the second"] {
            host.event(&Event::Stopped {
                realm: 7,
                outcome: Outcome::Error,
                error: Some(error.to_owned()),
            });
        }
        host.create(7);
        host.create(0);
        host
    });
    assert_eq!(session.create("a", spec()).unwrap(), 7);
    session.start(7).unwrap();
    let stopped = session.wait_stopped(7).unwrap();
    assert_eq!(stopped.error.as_deref(), Some("the first"));
    assert_eq!(session.consoles().all(7, 0), b"first");
    for (realm, stream) in [(7, 1), (1, 1), (256, 0), (2000, 208)] {
        assert_eq!(session.consoles().end(realm, stream), 0);
    }
    assert!(
        (1..=2000)
            .filter(|realm| *realm != 7)
            .all(|realm| session.stopped(realm).is_none())
    );
    for _ in 0..2 {
        let failure = session.create("b", spec()).unwrap_err().to_string();
        assert!(
            failure.contains("the host gives a new realm the number"),
            "{failure}"
        );
    }
    drop(flood.join().unwrap());
}

#[test]
fn more_transfers_than_disks_may_want_end_the_channel() {
    let (session, mut host) = channel();
    let transfer = Transfer {
        tag: 0,
        operation: Operation::Write,
        sector: 0,
        data: vec![0; 4096],
    };
    // The realm has no disk.
    host.send(Kind::Block, 1, 0, &transfer.encode());
    is_lost(&session, "more transfers than its disks may");
}
