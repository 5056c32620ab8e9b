use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use realm_vmm::control::block::{Answer as BlockAnswer, Operation, SECTOR, Transfer};
use realm_vmm::control::message::{Answer, Call, Event, Outcome as Said};
use realm_vmm::control::{Kind, VERSION};
use realm_vmm::report::Outcome;

use super::script::{Host, channel};
use super::*;
use crate::blueprint::Blueprint;
use crate::failure;

/// What becomes of `act` while a host does `script`.
fn with<T: Send>(
    script: impl FnOnce(&mut Host) + Send + 'static,
    act: impl FnOnce(&Session) -> T,
) -> T {
    let (session, mut host) = channel();
    session.set_deadline(Some((
        Instant::now() + Duration::from_secs(60),
        "the test hangs".to_owned(),
    )));
    let host = thread::spawn(move || script(&mut host));
    let result = act(&session);
    drop(session);
    host.join().unwrap();
    result
}

#[test]
fn a_realm_is_made_and_runs_to_its_end() {
    let blueprint = Blueprint::raw(2, 1 << 20, 0, vec![7; 2 * PIECE + 100]);
    let spec = blueprint.spec(500, [7; 64]);
    let wanted = spec.clone();
    let script = move |host: &mut Host| {
        host.hello();
        let name = "demo".to_owned();
        let created = Answer::Created { realm: 4 };
        host.answer(&Call::Create { name, spec: wanted }, Said::Ok(created));
        let mut next = 0x4000_0000u64;
        for length in [PIECE, PIECE, 100] {
            let frame = host.next().unwrap();
            assert_eq!((frame.kind, frame.realm), (Kind::Contents, 4));
            assert_eq!(frame.payload[..8], next.to_le_bytes());
            assert_eq!(frame.payload[8..], vec![7; length]);
            next += PIECE as u64;
        }
        let (rim, aux_granules) = ("ab".to_owned(), 0);
        let activated = Answer::Activated { rim, aux_granules };
        host.answer(&Call::Activate { realm: 4 }, Said::Ok(activated));
        host.done(&Call::Start { realm: 4 });
        host.send(Kind::Console, 4, 0, b"hello\n");
        host.event(&Event::Stopped {
            realm: 4,
            outcome: Outcome::GuestFailed,
            error: Some("why".to_owned()),
        });
        host.done(&Call::Shutdown);
    };
    with(script, |session| {
        let hello = session.hello().unwrap();
        assert_eq!((hello.pes, hello.free), (2, 1 << 30));
        let realm = session.create("demo", spec).unwrap();
        let mut over = Vec::new();
        session
            .upload(realm, &blueprint.contents, &mut |bytes| over.push(bytes))
            .unwrap();
        assert_eq!(over.last(), Some(&blueprint.length()));
        assert_eq!(session.activate(realm).unwrap(), "ab");
        session.start(realm).unwrap();
        let stopped = session.wait_stopped(realm).unwrap();
        assert_eq!(stopped.outcome, Outcome::GuestFailed);
        assert_eq!(stopped.error.as_deref(), Some("why"));
        assert_eq!(session.consoles().all(realm, 0), b"hello\n");
        session.shutdown().unwrap();
    });
}

#[test]
fn replies_find_who_waits_for_them_whatever_comes_between() {
    let script = |host: &mut Host| {
        let first = host.request();
        assert_eq!(first.call, Call::Pause { realm: 1 });
        host.send(Kind::Console, 1, 0, b"x");
        // Nobody asked for this one.
        host.reply(first.id + 77, Said::Ok(Answer::Done));
        host.reply(first.id, Said::Error("realm 1 is not running".to_owned()));
        host.done(&Call::Resume { realm: 1 });
        host.answer(
            &Call::Stop { realm: 1 },
            Said::Ok(Answer::Created { realm: 1 }),
        );
    };
    with(script, |session| {
        let failure = session.call(Call::Pause { realm: 1 }).unwrap_err();
        assert_eq!(failure.to_string(), "realm 1 is not running");
        session.call(Call::Resume { realm: 1 }).unwrap();
        let failure = session.stop(1).unwrap_err();
        assert!(failure.to_string().contains("something else"), "{failure}");
    });
}

fn spec() -> Spec {
    Blueprint::raw(1, 1 << 20, 0, vec![1; 4096]).spec(0, [0; 64])
}

#[test]
fn disks_are_served_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk");
    std::fs::write(&path, vec![3; 2 * SECTOR]).unwrap();
    let (ready, go) = mpsc::channel();
    let script = move |host: &mut Host| {
        host.create(1);
        go.recv().unwrap();
        for (disk, sector, done) in [(0, 1, true), (0, 2, false), (1, 0, false)] {
            let transfer = Transfer {
                tag: 9,
                operation: Operation::Read(512),
                sector,
                data: Vec::new(),
            };
            host.send(Kind::Block, 1, disk, &transfer.encode());
            let frame = host.next().unwrap();
            assert_eq!(
                (frame.kind, frame.realm, frame.stream),
                (Kind::Block, 1, disk)
            );
            let answer = BlockAnswer::decode(&frame.payload).unwrap();
            assert_eq!((answer.tag, answer.done), (9, done));
            assert_eq!(answer.data, vec![3; if done { 512 } else { 0 }]);
        }
        host.event(&Event::Stopped {
            realm: 1,
            outcome: Outcome::Ok,
            error: None,
        });
    };
    with(script, |session| {
        session.create("a", spec()).unwrap();
        session.add_disk(1, 0, Disk::open(&path, false).unwrap());
        ready.send(()).unwrap();
        assert_eq!(session.wait_stopped(1).unwrap().outcome, Outcome::Ok);
    });
}

#[test]
fn a_network_is_served_until_its_realm_stops() {
    // Who has 10.0.2.2?
    let question = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 10, 0, 2, 15, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0,
        10, 0, 2, 15, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2,
    ];
    let (ready, go) = mpsc::channel();
    let script = move |host: &mut Host| {
        host.create(1);
        go.recv().unwrap();
        // A realm without a network is none of its business.
        host.send(Kind::Network, 2, 0, &question);
        host.send(Kind::Network, 1, 0, &question);
        let frame = host.next().unwrap();
        assert_eq!(
            (frame.kind, frame.realm, frame.stream),
            (Kind::Network, 1, 0)
        );
        // From 10.0.2.2, to the realm.
        assert_eq!(frame.payload[28..32], [10, 0, 2, 2]);
        assert_eq!(frame.payload[..6], question[6..12]);
        host.event(&Event::Stopped {
            realm: 1,
            outcome: Outcome::Ok,
            error: None,
        });
        let report = Said::Error("no report".to_owned());
        host.answer(&Call::Remove { realm: 1 }, report);
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let plan = crate::network::Plan {
        publish: vec![crate::network::Publish { at, port: 80 }],
        host_ports: Vec::new(),
    };
    with(script, |session| {
        session.create("a", spec()).unwrap();
        session.add_network(1, plan.open().unwrap()).unwrap();
        assert!(plan.open().is_err() && !session.is_network_used(1));
        ready.send(()).unwrap();
        session.wait_stopped(1).unwrap();
        assert!(session.is_network_used(1));
        session.abandon(1);
        plan.open().unwrap();
    });
}

#[test]
fn what_is_typed_reaches_the_realm() {
    let script = |host: &mut Host| {
        let mut typed = 0;
        while typed < 5000 {
            let frame = host.next().unwrap();
            assert_eq!(
                (frame.kind, frame.realm, frame.stream),
                (Kind::Console, 2, 0)
            );
            typed += frame.payload.len();
        }
        assert_eq!(typed, 5000);
    };
    with(script, |session| {
        session.input(2, 0, &[b'k'; 5000]).unwrap();
    });
}

#[test]
fn a_host_that_is_no_host_ends_the_session_with_a_reason() {
    let hello = |version| Event::Hello {
        version,
        pes: 1,
        free: 0,
        rmi: String::new(),
    };
    type Script = Box<dyn FnOnce(&mut Host) + Send>;
    let scripts: [(Script, &str); 6] = [
        (Box::new(|_| ()), "has ended"),
        (
            Box::new(move |host| host.event(&hello(VERSION + 1))),
            "same source",
        ),
        (
            Box::new(|host| {
                host.event(&Event::Failed {
                    error: "no\x1bmonitor".to_owned(),
                });
            }),
            "no\\u{1b}monitor",
        ),
        (Box::new(|host| host.write(&[0xff; 12])), "header"),
        (
            Box::new(|host| host.send(Kind::Reply, 0, 0, b"{")),
            "understood",
        ),
        (
            Box::new(|host| host.send(Kind::Block, 1, 0, b"short")),
            "transfer",
        ),
    ];
    for (script, why) in scripts {
        with(script, |session| {
            let failure = session.hello().unwrap_err();
            assert_eq!(failure.code(), failure::MACHINE);
            assert!(failure.to_string().contains(why), "{failure}");
            assert!(session.list().is_err());
            assert_eq!(session.consoles().read(1, 0, 0, Duration::ZERO), None);
        });
    }
}

#[test]
fn nobody_waits_longer_than_the_deadline() {
    let (session, _host) = channel();
    session.set_deadline(Some((Instant::now(), "time is up".to_owned())));
    let failure = session.hello().unwrap_err();
    assert_eq!(failure.code(), failure::TIMEOUT);
    assert_eq!(failure.to_string(), "time is up");
}
