//! The tool's side of the control channel, and a host at its other end.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use machine::{Config, Machine, Time};
use realm_vmm::control::frame::{self, FrameReader, Kind};
use realm_vmm::control::message::{
    Answer, Call, Details, Event, Outcome, Reply, Request, Spec, Status,
};
use realm_vmm::report::{self, GranuleReport};

pub(crate) const RAM: u64 = 0x4000_0000;
pub(crate) const ALIAS: u64 = 1 << 39;

/// The tool's side.
pub(crate) struct Tool {
    stream: UnixStream,
    reader: FrameReader,
    next: u64,
    pub(crate) events: VecDeque<Event>,
    pub(crate) consoles: Vec<(u32, String)>,
}

impl Tool {
    fn new(stream: UnixStream, on_pes: usize) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut tool = Self {
            stream,
            reader: FrameReader::default(),
            next: 1,
            events: VecDeque::new(),
            consoles: Vec::new(),
        };
        let Event::Hello { version, pes, .. } = tool.event() else {
            panic!("the host does not greet");
        };
        assert_eq!((version, pes), (realm_vmm::control::VERSION, on_pes as u32));
        tool
    }

    pub(crate) fn send(&mut self, kind: Kind, realm: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(kind, realm, 0, payload, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Option<Reply> {
        loop {
            if let Some(frame) = self.reader.take().unwrap() {
                match frame.kind {
                    Kind::Reply => return Some(serde_json::from_slice(&frame.payload).unwrap()),
                    Kind::Event => {
                        let event = serde_json::from_slice(&frame.payload).unwrap();
                        self.events.push_back(event);
                        return None;
                    }
                    Kind::Console => {
                        let text = String::from_utf8(frame.payload).unwrap();
                        self.consoles.push((frame.realm, text));
                        return None;
                    }
                    other => panic!("{other:?} from the host"),
                }
            }
            let mut bytes = [0; 4096];
            let count = self.stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "the host hung up");
            self.reader.push(&bytes[..count]);
        }
    }

    pub(crate) fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            assert_eq!(self.receive(), None);
        }
    }

    pub(crate) fn call(&mut self, call: Call) -> Result<Answer, String> {
        let id = self.next;
        self.next += 1;
        let request = serde_json::to_vec(&Request { id, call }).unwrap();
        self.send(Kind::Request, 0, &request);
        loop {
            if let Some(reply) = self.receive() {
                assert_eq!(reply.id, id);
                return match reply.result {
                    Outcome::Ok(answer) => Ok(answer),
                    Outcome::Error(error) => Err(error),
                };
            }
        }
    }

    pub(crate) fn create(&mut self, name: &str, spec: Spec) -> u32 {
        let name = name.to_owned();
        match self.call(Call::Create { name, spec }) {
            Ok(Answer::Created { realm }) => realm,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn contents(&mut self, realm: u32, ipa: u64, bytes: &[u8]) {
        let mut payload = ipa.to_le_bytes().to_vec();
        payload.extend_from_slice(bytes);
        self.send(Kind::Contents, realm, &payload);
    }

    /// A whole realm, not started.
    pub(crate) fn realm(&mut self, name: &str, spec: Spec) -> u32 {
        let realm = self.create(name, spec);
        self.contents(realm, RAM, &[7; 5000]);
        self.activate(realm);
        realm
    }

    pub(crate) fn activate(&mut self, realm: u32) {
        match self.call(Call::Activate { realm }) {
            Ok(Answer::Activated { rim, .. }) => assert_eq!(rim.len(), 64),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn done(&mut self, call: Call) {
        assert_eq!(self.call(call), Ok(Answer::Done));
    }

    pub(crate) fn list(&mut self) -> (Vec<Status>, GranuleReport) {
        match self.call(Call::List) {
            Ok(Answer::Realms {
                realms, granules, ..
            }) => (realms, granules),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn inspect(&mut self, realm: u32) -> Details {
        match self.call(Call::Inspect { realm, from: 0 }) {
            Ok(Answer::Realm { details }) => *details,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn stopped(&mut self, realm: u32) -> (report::Outcome, Option<String>) {
        match self.event() {
            Event::Stopped {
                realm: which,
                outcome,
                error,
            } => {
                assert_eq!(which, realm);
                (outcome, error)
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn spec(vcpus: u32) -> Spec {
    Spec {
        vcpus,
        memory: 8 << 20,
        sve_bits: 0,
        entry: RAM,
        arguments: realm_vmm::Config::raw(8 << 20, &[]).arguments,
        lines: true,
        overcommit: false,
        time_limit_ms: 60_000,
        challenge: [0; 8],
        devices: Vec::new(),
    }
}

/// Runs `script` against a host with two processing elements, on which realms run `program`; everything must have come back at the end.
pub(crate) fn with_host(install: impl FnOnce(&Machine), script: impl FnOnce(&mut Tool)) {
    with_host_of(256 << 20, install, script);
}

/// As [`with_host`], with so much memory.
pub(crate) fn with_host_of(
    dram_bytes: u64,
    install: impl FnOnce(&Machine),
    script: impl FnOnce(&mut Tool),
) {
    let config = Config {
        pes: 2,
        dram_bytes,
        time: Time::Real,
        ..Config::default()
    };
    with_host_on(config, install, script);
}

/// As [`with_host`], on such a machine.
pub(crate) fn with_host_on(
    config: Config,
    install: impl FnOnce(&Machine),
    script: impl FnOnce(&mut Tool),
) {
    let pes = config.pes;
    let machine = Machine::new(config);
    install(&machine);
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let machine = &machine;
        let host = scope.spawn(move || machine.serve(theirs.try_clone().unwrap(), theirs));
        let mut tool = Tool::new(ours, pes);
        script(&mut tool);
        drop(tool);
        assert!(host.join().unwrap(), "{:?}", machine.failure());
    });
    assert_eq!(machine.failure(), None);
    assert_eq!(machine.supply().in_use(), 0);
}
