//! A host that is a script, for tests: the other end of a channel in this process.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use realm_vmm::control::message::{Answer, Call, Event, Outcome, Reply, Request};
use realm_vmm::control::{Frame, FrameReader, Kind, VERSION};

use super::Session;

/// The host's end.
pub(super) struct Host {
    stream: UnixStream,
    frames: FrameReader,
}

/// A channel: the tool's end and the host's.
pub(super) fn channel() -> (Session, Host) {
    let (ours, stream) = UnixStream::pair().unwrap();
    let session = Session::new(ours.try_clone().unwrap(), ours);
    (session, Host::new(stream))
}

impl Host {
    /// The host at this end of a channel.
    pub(super) fn new(stream: UnixStream) -> Self {
        let frames = FrameReader::default();
        Self { stream, frames }
    }

    /// The next frame; `None` at the end of the channel.
    pub(super) fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.take().unwrap() {
                return Some(frame);
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).unwrap() {
                0 => return None,
                read => self.frames.push(&bytes[..read]),
            }
        }
    }

    /// The next frame, which must be a request.
    pub(super) fn request(&mut self) -> Request {
        let frame = self.next().unwrap();
        assert_eq!(
            (frame.kind, frame.realm, frame.stream),
            (Kind::Request, 0, 0)
        );
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Expects a request and answers it.
    pub(super) fn answer(&mut self, call: &Call, result: Outcome) {
        let request = self.request();
        assert_eq!(&request.call, call);
        self.reply(request.id, result);
    }

    /// Expects somebody to make a realm, which gets this number.
    pub(super) fn create(&mut self, realm: u32) {
        let request = self.request();
        assert!(matches!(request.call, Call::Create { .. }));
        self.reply(request.id, Outcome::Ok(Answer::Created { realm }));
    }

    /// Expects a request and says that it was done.
    pub(super) fn done(&mut self, call: &Call) {
        self.answer(call, Outcome::Ok(Answer::Done));
    }

    pub(super) fn reply(&mut self, id: u64, result: Outcome) {
        let reply = serde_json::to_vec(&Reply { id, result }).unwrap();
        self.send(Kind::Reply, 0, 0, &reply);
    }

    pub(super) fn event(&mut self, event: &Event) {
        self.send(Kind::Event, 0, 0, &serde_json::to_vec(event).unwrap());
    }

    pub(super) fn hello(&mut self) {
        self.event(&Event::Hello {
            version: VERSION,
            pes: 2,
            free: 1 << 30,
            rmi: "1.0".to_owned(),
        });
    }

    pub(super) fn send(&mut self, kind: Kind, realm: u32, stream: u8, payload: &[u8]) {
        let frame = Frame {
            kind,
            stream,
            realm,
            payload: payload.to_vec(),
        };
        let mut bytes = Vec::new();
        frame.write(&mut bytes).unwrap();
        self.write(&bytes);
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }
}
