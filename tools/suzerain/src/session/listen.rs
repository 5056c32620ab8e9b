//! The thread that reads the channel, and the one that serves disks.

use std::io::Read;

use realm_vmm::control::block::Transfer;
use realm_vmm::control::message::{Event, Reply};
use realm_vmm::control::{Frame, FrameReader, Kind, VERSION};

use super::{Hello, Shared, Stopped};
use crate::foreign::printable;

impl Shared {
    /// Reads the channel to its end.
    pub(super) fn listen(&self, mut reader: impl Read) {
        let mut frames = FrameReader::default();
        let mut bytes = vec![0; 64 << 10];
        let why = 'channel: loop {
            match reader.read(&mut bytes) {
                Ok(0) => break "the machine has ended".to_owned(),
                Ok(read) => frames.push(&bytes[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break format!("lost the machine: {error}"),
            }
            loop {
                match frames.take() {
                    Ok(Some(frame)) => {
                        if let Err(why) = self.dispatch(frame) {
                            break 'channel why;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => break 'channel error.to_string(),
                }
            }
        };
        self.state().gone.get_or_insert(why);
        self.consoles.close_all();
        self.disks.close();
        self.networks.close_all();
        self.changed.notify_all();
    }

    /// Gives a frame to whom it concerns; an error is the end of the channel.
    fn dispatch(&self, frame: Frame) -> Result<(), String> {
        let Frame {
            kind,
            stream,
            realm,
            payload,
        } = frame;
        match kind {
            Kind::Reply => {
                let reply: Reply = parse(&payload, "reply")?;
                if let Some(waiting) = self.state().replies.get_mut(&reply.id) {
                    // The first counts.
                    waiting.get_or_insert(reply.result);
                }
                self.changed.notify_all();
            }
            Kind::Event => self.event(parse(&payload, "event")?)?,
            Kind::Console => {
                let consoles = self.state().realms.get(&realm).copied();
                if consoles.is_some_and(|consoles| usize::from(stream) < consoles) {
                    self.consoles.push(realm, stream, &payload);
                }
            }
            Kind::Block => {
                let transfer = Transfer::decode(&payload)
                    .ok_or_else(|| "the host asks for a transfer that is none".to_owned())?;
                self.disks.push(realm, stream, transfer)?;
            }
            Kind::Network => self.networks.push(realm, payload),
            Kind::Request | Kind::Contents => {
                return Err(format!("the host sends a frame of kind {kind:?}"));
            }
        }
        Ok(())
    }

    fn event(&self, event: Event) -> Result<(), String> {
        match event {
            Event::Hello { version, .. } if version != VERSION => {
                return Err(format!(
                    "the hypervisor speaks version {version} of the control protocol, this tool version {VERSION}; build both \
                     from the same source"
                ));
            }
            Event::Hello { pes, free, rmi, .. } => {
                let rmi = printable(&rmi);
                let mut state = self.state();
                state.hello.get_or_insert(Hello { pes, free, rmi });
            }
            Event::Failed { error } => {
                return Err(format!("the host failed: {}", printable(&error)));
            }
            Event::Stopped {
                realm,
                outcome,
                error,
            } => {
                let error = error.as_deref().map(printable);
                let mut state = self.state();
                // A realm stops once, and one that nobody made does not.
                if !state.realms.contains_key(&realm) || state.stopped.contains_key(&realm) {
                    return Ok(());
                }
                state.stopped.insert(realm, Stopped { outcome, error });
                drop(state);
                self.consoles.close(realm);
                self.networks.close(realm);
            }
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Serves requests of disks until the channel ends.
    pub(super) fn serve_disks(&self) {
        while let Some(wanted) = self.disks.next() {
            let answer = self.disks.serve(&wanted).encode();
            let (realm, stream, _) = wanted;
            if self.send(Kind::Block, realm, stream, &answer).is_err() {
                return;
            }
        }
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(payload: &'a [u8], what: &str) -> Result<T, String> {
    serde_json::from_slice(payload)
        .map_err(|error| format!("the host's {what} cannot be understood: {error}"))
}
