//! What is said on the socket.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use realm_vmm::control::frame::MAX_PAYLOAD;
use realm_vmm::control::message::{Answer, Call, Spec};
use realm_vmm::control::{Frame, FrameReader, Kind};
use realm_vmm::report::Outcome;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::network::Plan;

/// What a command wants. One [`Reply`] follows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase")]
pub(super) enum Ask {
    /// To know when the machine is up: [`Said::Ready`].
    Ready,
    /// What the host in the machine does: [`Said::Answer`].
    Call {
        /// What.
        call: Call,
    },
    /// A new realm: [`Said::Created`]. Its contents follow, then [`Ask::Activate`], on the same connection.
    Create {
        /// Its name, which no other realm has.
        name: String,
        /// Its shape.
        spec: Spec,
        /// What stands behind its devices.
        backing: Backing,
        /// Its initial measurement in hexadecimal, computed from what it is made of.
        rim: String,
    },
    /// What is known of a realm without its host: [`Said::Drawn`].
    Drawn {
        /// Which realm.
        realm: u32,
    },
    /// To complete it: [`Said::Activated`].
    Activate,
    /// The bytes of a console as they come, then [`Said::Ended`]. What the command sends as console bytes is typed.
    Console {
        /// Which realm.
        realm: u32,
        /// Which console.
        stream: u8,
        /// How much of what is kept comes first, in bytes.
        recent: u64,
        /// Whether to go on with what comes.
        follow: bool,
    },
    /// The end of the machine: [`Said::Done`] once it has ended.
    Down,
}

/// What a realm's token is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Drawn {
    /// The challenge that was drawn for the realm, in hexadecimal.
    pub(crate) challenge: String,
    /// What was computed from what it is made of, in hexadecimal.
    pub(crate) rim: String,
}

/// What stands behind a realm's devices, and is in the hands of the process that keeps the machine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Backing {
    /// Its disks.
    pub(crate) disks: Vec<DiskFile>,
    /// Its network, if it has one.
    pub(crate) network: Option<Plan>,
}

/// A file that is a realm's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskFile {
    /// Where; on the socket, absolute.
    pub(crate) path: PathBuf,
    /// Whether it must not be written.
    pub(crate) read_only: bool,
}

impl DiskFile {
    /// Reads `FILE[:ro]`. What stands behind the last colon says how the file may be used, unless it holds something that such words
    /// have not, as the numbers and slashes of device names; `:rw` is there for files whose name ends like that.
    ///
    /// # Errors
    ///
    /// What it should look like.
    pub(crate) fn parse(text: OsString) -> Result<Self, &'static str> {
        let text = text.as_bytes();
        let is_use = |rest: &[u8]| {
            rest.iter()
                .all(|byte| byte.is_ascii_lowercase() || *byte == b',')
        };
        let colon = text.iter().rposition(|&byte| byte == b':');
        let (path, how) = match colon.map(|at| (&text[..at], &text[at + 1..])) {
            Some((path, how)) if is_use(how) => (path, how),
            _ => (text, &b"rw"[..]),
        };
        let read_only = match how {
            b"ro" => true,
            b"rw" => false,
            _ => {
                return Err(
                    "use FILE[:ro]; a file whose own name ends in a colon and a word is FILE:rw",
                );
            }
        };
        match path {
            b"" => Err("use FILE[:ro]"),
            path => Ok(Self {
                path: PathBuf::from(OsStr::from_bytes(path)),
                read_only,
            }),
        }
    }
}

/// The reply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reply {
    /// It was done.
    Ok(Said),
    /// It was not: the exit code, the line, and details.
    Failed {
        /// Exit code.
        code: u8,
        /// Why.
        message: String,
        /// What explains it.
        details: Option<String>,
    },
}

/// What was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "lowercase")]
pub(super) enum Said {
    /// The machine is up.
    Ready {
        /// Physical PEs.
        pes: u32,
        /// Bytes of memory that realms can have.
        free: u64,
        /// The monitor's RMI version.
        rmi: String,
    },
    /// What the host says.
    Answer {
        /// That.
        answer: Answer,
    },
    /// A realm has begun.
    Created {
        /// Its number.
        realm: u32,
    },
    /// What is known of a realm without its host.
    Drawn(Drawn),
    /// It is complete.
    Activated {
        /// Its initial measurement in hexadecimal.
        rim: String,
    },
    /// A console says nothing any more.
    Ended {
        /// How its realm ended, if it has.
        outcome: Option<Outcome>,
        /// Why, if badly.
        error: Option<String>,
    },
    /// Nothing more to say.
    Done,
}

/// A connection with frames on it.
pub(super) struct Wire {
    stream: UnixStream,
    frames: FrameReader,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Self {
        let frames = FrameReader::default();
        Self { stream, frames }
    }

    /// The same connection for another thread, which must not read when this one does.
    pub(super) fn another(&self) -> io::Result<Self> {
        self.stream.try_clone().map(Self::new)
    }

    /// Ends the connection for all of its threads.
    pub(super) fn close(&self) {
        // Fails only when it has ended.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    pub(super) fn send(&mut self, kind: Kind, realm: u32, payload: &[u8]) -> io::Result<()> {
        if payload.len() > MAX_PAYLOAD {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut bytes = Vec::new();
        realm_vmm::control::frame::write(kind, realm, 0, payload, &mut bytes)
            .map_err(io::Error::other)?;
        self.stream.write_all(&bytes)
    }

    pub(super) fn say(&mut self, kind: Kind, what: &impl Serialize) -> io::Result<()> {
        self.send(kind, 0, &serde_json::to_vec(what)?)
    }

    /// The next frame; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let frame = self.frames.take();
            if let Some(frame) = frame.map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(read) => self.frames.push(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Takes a payload apart.
pub(super) fn parse<T: DeserializeOwned>(frame: &Frame) -> io::Result<T> {
    serde_json::from_slice(&frame.payload).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_a_file_and_how_it_may_be_used() {
        for (text, path, read_only) in [
            ("a", "a", false),
            ("a:ro", "a", true),
            ("a:rw", "a", false),
            ("a:ro:rw", "a:ro", false),
            (
                "/dev/disk/by-path/pci-0:1",
                "/dev/disk/by-path/pci-0:1",
                false,
            ),
            ("a:b/c", "a:b/c", false),
        ] {
            let path = PathBuf::from(path);
            let disk = DiskFile::parse(text.into());
            assert_eq!(disk, Ok(DiskFile { path, read_only }), "{text}");
        }
        for bad in ["", ":ro", "a:rom", "a:ro,rw", "a:"] {
            let why = DiskFile::parse(bad.into()).unwrap_err();
            assert!(why.contains("FILE[:ro]"), "{bad}: {why}");
        }
    }
}
