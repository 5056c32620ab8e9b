//! What waits to be sent to the tool.

use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use spin::Mutex;

use super::frame::{self, HEADER, Kind, MAX_PAYLOAD, TooLong};
use super::message::Event;
use crate::console::Console;
use crate::report;

/// Console output that the tool does not fetch is dropped beyond this many bytes; requests wait, and so do reports of realms that were
/// taken apart, while half of them are there.
pub const MOST: usize = 4 << 20;
/// So many bytes are sent without waiting for the end of a line.
const MANY: usize = 512;

/// Frames in the order in which they are to go out. All PEs add to it; PE 0 sends.
#[derive(Debug, Default)]
pub struct Outbox {
    pending: Mutex<Pending>,
    /// PE 0 should send now.
    urgent: AtomicBool,
    /// PE 0 has not been called for that yet.
    call: AtomicBool,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// The last frame, if it is one of a console: realm, stream, where its header starts. More output of the same console goes into it.
    console: Option<(u32, u8, usize)>,
}

impl Outbox {
    /// Adds a message.
    ///
    /// # Errors
    ///
    /// As for [`Outbox::frame`]: of no message, as everything in one has its bound ([`bounds`](super::bounds)).
    pub fn message(&self, kind: Kind, message: &impl Serialize) -> Result<(), TooLong> {
        // Nothing in a message is something that JSON cannot say.
        let json = serde_json::to_vec(message).unwrap_or_default();
        self.frame(kind, 0, 0, &json)
    }

    /// Adds an event.
    pub fn event(&self, event: &Event) {
        // Texts in events are bounded.
        let _ = self.message(Kind::Event, event);
    }

    /// Adds a frame.
    ///
    /// # Errors
    ///
    /// If the payload is longer than a frame may be. Nothing is added then.
    pub fn frame(&self, kind: Kind, realm: u32, stream: u8, payload: &[u8]) -> Result<(), TooLong> {
        let mut pending = self.pending.lock();
        frame::write(kind, realm, stream, payload, &mut pending.bytes)?;
        pending.console = None;
        drop(pending);
        self.hurry();
        Ok(())
    }

    /// Adds output of a console.
    pub fn console(&self, realm: u32, stream: u8, bytes: &[u8]) {
        let mut pending = self.pending.lock();
        if pending.bytes.len() + bytes.len() > MOST {
            return;
        }
        for bytes in bytes.chunks(MAX_PAYLOAD / 2) {
            pending.console(realm, stream, bytes);
        }
        let many = pending.bytes.len() >= MANY;
        drop(pending);
        if many || bytes.contains(&b'\n') {
            self.hurry();
        }
    }

    /// Whether there is room for output of consoles, and for an answer.
    pub fn has_room(&self) -> bool {
        self.waiting() < MOST / 2
    }

    /// How many bytes wait to be sent.
    pub fn waiting(&self) -> usize {
        self.pending.lock().bytes.len()
    }

    /// PE 0 has something to do.
    pub fn hurry(&self) {
        self.urgent.store(true, Ordering::Release);
        self.call.store(true, Ordering::Release);
    }

    /// Whether PE 0 is to be called. Says so once.
    pub fn calls(&self) -> bool {
        self.call.load(Ordering::Relaxed) && self.call.swap(false, Ordering::AcqRel)
    }

    /// Whether PE 0 should send now.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Acquire)
    }

    /// Takes all that there is to send.
    pub fn take(&self) -> Vec<u8> {
        self.urgent.store(false, Ordering::Release);
        let mut pending = self.pending.lock();
        pending.console = None;
        core::mem::take(&mut pending.bytes)
    }
}

impl Pending {
    fn console(&mut self, realm: u32, stream: u8, bytes: &[u8]) {
        if let Some((last_realm, last_stream, at)) = self.console {
            let length = self.bytes.len() - at - HEADER + bytes.len();
            if (last_realm, last_stream) == (realm, stream)
                && length <= MAX_PAYLOAD
                && let Some(header) = self.bytes.get_mut(at..at + 4)
            {
                header.copy_from_slice(&(length as u32).to_le_bytes());
                self.bytes.extend_from_slice(bytes);
                return;
            }
        }
        let at = self.bytes.len();
        // Pieces of consoles are short.
        let written = frame::write(Kind::Console, realm, stream, bytes, &mut self.bytes);
        self.console = written.is_ok().then_some((realm, stream, at));
    }
}

/// The consoles of one realm.
#[derive(Debug)]
pub struct Port<'o> {
    /// The realm.
    pub realm: u32,
    /// Where output goes.
    pub outbox: &'o Outbox,
}

impl Console for Port<'_> {
    fn event(&self, event: &report::Event<'_>) {
        if let report::Event::Console { vcpu, text } = event {
            let line: String = alloc::format!("[vcpu {vcpu}] {text}\n");
            self.outbox.console(self.realm, 0, line.as_bytes());
        }
    }

    fn output(&self, stream: u8, bytes: &[u8]) {
        self.outbox.console(self.realm, stream, bytes);
    }

    fn device_changed(&self) {
        self.outbox.hurry();
    }

    fn calls_for_service(&self, leaving: bool) -> bool {
        if leaving && self.outbox.waiting() > 0 {
            self.outbox.hurry();
        }
        self.outbox.calls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Frame, FrameReader};

    fn frames(outbox: &Outbox) -> Vec<Frame> {
        let mut reader = FrameReader::default();
        reader.push(&outbox.take());
        let frames = core::iter::from_fn(|| reader.take().unwrap()).collect();
        assert_eq!(reader.waiting(), 0);
        frames
    }

    #[test]
    fn output_of_one_console_is_joined_and_that_of_others_kept_apart() {
        let outbox = Outbox::default();
        for (realm, stream, text) in [
            (1, 0, "ab"),
            (1, 0, "c"),
            (1, 1, "x"),
            (2, 0, "y"),
            (2, 0, "\n"),
        ] {
            outbox.console(realm, stream, text.as_bytes());
        }
        let frames = frames(&outbox);
        let read: Vec<_> = frames
            .iter()
            .map(|frame| (frame.realm, frame.stream, frame.payload.as_slice()))
            .collect();
        assert_eq!(
            read,
            [
                (1, 0, b"abc".as_slice()),
                (1, 1, b"x".as_slice()),
                (2, 0, b"y\n".as_slice())
            ]
        );
    }

    #[test]
    fn a_line_is_urgent_and_a_part_of_one_waits_to_be_asked_for() {
        let outbox = Outbox::default();
        outbox.console(1, 0, b"$ ");
        let port = Port {
            realm: 1,
            outbox: &outbox,
        };
        assert!(!outbox.is_urgent() && !port.calls_for_service(false));
        assert!(port.calls_for_service(true) && outbox.is_urgent());
        assert!(!port.calls_for_service(false), "once is enough");
        outbox.take();
        assert!(!outbox.is_urgent() && !port.calls_for_service(true));
        outbox.console(1, 0, b"x\n");
        assert!(outbox.is_urgent() && port.calls_for_service(false));
    }

    #[test]
    fn output_that_nobody_fetches_is_bounded_and_messages_come_through() {
        let outbox = Outbox::default();
        for _ in 0..100 {
            outbox.console(1, 0, &[b'x'; 100_000]);
        }
        outbox.event(&Event::Failed {
            error: String::new(),
        });
        let frames = frames(&outbox);
        let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
        assert!(bytes <= MOST + 100);
        assert_eq!(frames.last().unwrap().kind, Kind::Event);
    }
}
