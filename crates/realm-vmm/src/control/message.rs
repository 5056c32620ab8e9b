//! What is said on the channel in JSON.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::report::{GranuleReport, RecReport, Report};

/// What a tool wants of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Repeated in the reply.
    pub id: u64,
    /// What.
    #[serde(flatten)]
    pub call: Call,
}

/// The requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "lowercase")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, for a moment"
)]
pub enum Call {
    /// Begins a realm: [`Answer::Created`]. Its contents follow, then `activate`.
    Create {
        /// Its name, for people.
        name: String,
        /// Its shape.
        spec: Spec,
    },
    /// Completes a realm: [`Answer::Activated`]. If that fails, or the contents could not be loaded, the realm is gone.
    Activate {
        /// Which.
        realm: u32,
    },
    /// Lets an active realm run: [`Answer::Done`].
    Start {
        /// Which.
        realm: u32,
    },
    /// Lets none of a realm's vCPUs run: [`Answer::Done`], once none does.
    Pause {
        /// Which.
        realm: u32,
    },
    /// Lets them run again: [`Answer::Done`].
    Resume {
        /// Which.
        realm: u32,
    },
    /// Ends a realm whatever it does: [`Answer::Done`], [`Event::Stopped`] follows.
    Stop {
        /// Which.
        realm: u32,
    },
    /// Takes a realm apart that has stopped, or that was never started: [`Answer::Removed`] once that is done, while other requests are
    /// answered and other realms run; [`Answer::Done`] at once if it was never active.
    Remove {
        /// Which.
        realm: u32,
    },
    /// All realms: [`Answer::Realms`].
    List,
    /// One realm: [`Answer::Realm`].
    Inspect {
        /// Which.
        realm: u32,
        /// From which address of its RAM on the map is to be; 0 for all of it.
        #[serde(default)]
        from: u64,
    },
    /// Takes all realms apart and switches the machine off: [`Answer::Done`] before that.
    Shutdown,
}

/// The shape of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Bytes of RAM, a multiple of 4K.
    pub memory: u64,
    /// SVE vector length in bits, 0 for none.
    #[serde(default)]
    pub sve_bits: u32,
    /// Where vCPU 0 starts.
    pub entry: u64,
    /// X0 to X7 of vCPU 0.
    pub arguments: [u64; 8],
    /// Whether lines of console 0 say which vCPU printed them, as the demo guest's do: several of its vCPUs print at once, each
    /// whole lines. Otherwise console 0 has the bytes as they come.
    #[serde(default)]
    pub lines: bool,
    /// Ends the realm after so many milliseconds of running, 0 for never.
    #[serde(default)]
    pub time_limit_ms: u64,
    /// What the realm is given when it asks for a challenge: drawn by whoever wants to believe its token.
    #[serde(default)]
    pub challenge: [u64; 8],
    /// Whether the host takes the realm although it cannot promise all the memory that the realm can ever need. Such a realm waits while there
    /// is none: [`State::Starved`].
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub overcommit: bool,
    /// The realm's devices besides GIC, timers and the PL011 (console 0).
    #[serde(default)]
    pub devices: Vec<Device>,
}

/// A device of a realm: a virtio device in the slot that its place in the list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "device", rename_all = "lowercase")]
pub enum Device {
    /// A virtio console; its stream is the number of consoles before it, the PL011 included.
    Console,
    /// A disk; its stream is the number of disks before it.
    Disk {
        /// Its size in sectors of 512 bytes.
        sectors: u64,
        /// Whether it refuses to be written.
        read_only: bool,
    },
    /// A network device.
    Network {
        /// Its address.
        mac: [u8; 6],
    },
    /// A source of entropy.
    Entropy {
        /// What its bytes are made of, with the host's own time: as random as the tool can make it.
        seed: [u64; 4],
    },
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// That of the request.
    pub id: u64,
    /// The answer, or why there is none.
    #[serde(flatten)]
    pub result: Outcome,
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Ok(Answer),
    /// It was not, and nothing changed; why, in a line.
    Error(String),
}

/// Answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// A realm has begun.
    Created {
        /// Its number from now on, never 0, never used again.
        realm: u32,
    },
    /// A realm is active.
    Activated {
        /// Its initial measurement in hexadecimal.
        rim: String,
        /// Auxiliary granules of each REC.
        aux_granules: u64,
    },
    /// A realm is gone.
    Removed {
        /// What it did, as at the end of a run.
        report: Box<Report>,
    },
    /// All realms.
    Realms {
        /// In order of their numbers.
        realms: Vec<Status>,
        /// The host's account, over all realms that there are and were.
        granules: GranuleReport,
        /// Physical PEs that run vCPUs.
        pes: u32,
        /// Bytes of memory that no realm has.
        free: u64,
        /// The host's heap, if it has one of its own.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        heap: Option<HeapUse>,
    },
    /// One realm.
    Realm {
        /// All of it.
        details: Box<Details>,
    },
}

/// How much of its heap a host uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapUse {
    /// All of it.
    pub size: u64,
    /// What is in use now.
    pub used: u64,
    /// The most that ever was.
    pub peak: u64,
}

/// What a realm is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being filled.
    New,
    /// Complete, not started.
    Active,
    /// Running.
    Running,
    /// Started; a vCPU at least waits for memory that the host has not got.
    Starved,
    /// Paused.
    Paused,
    /// At its end.
    Stopped,
    /// Being taken apart: its granules become fewer.
    Removing,
}

impl State {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Running => "running",
            Self::Starved => "waiting for memory",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Removing => "removing",
        }
    }
}

/// A realm in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its number.
    pub realm: u32,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: State,
    /// Number of vCPUs.
    pub vcpus: u32,
    /// Bytes of RAM that it believes to have.
    pub memory: u64,
    /// Microseconds since it was started.
    pub age_us: u64,
    /// Microseconds that its vCPUs have run, in all.
    pub run_us: u64,
    /// Entries of all of its RECs.
    pub entries: u64,
    /// Exits of all of its RECs by reason.
    pub exits: BTreeMap<String, u64>,
    /// Granules that it has now, by what they are for.
    pub granules: BTreeMap<String, u64>,
    /// How it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub outcome: Option<crate::report::Outcome>,
    /// Why, if it ended badly.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// All that the host knows of a realm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What a list says of it.
    pub status: Status,
    /// Its shape.
    pub spec: Spec,
    /// Its initial measurement in hexadecimal; empty while it is being filled.
    pub rim: String,
    /// Its RECs.
    pub recs: Vec<RecReport>,
    /// Its RAM by RIPAS and state, as much of it as an answer has room for ([`REGIONS`](super::bounds::REGIONS),
    /// [`ENTRIES`](super::bounds::ENTRIES)).
    pub map: Vec<Region>,
    /// The first address of RAM that is not in the map, if not all of it is: ask from there on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rest: Option<u64>,
    /// Its devices that got nonsense from their drivers.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub faults: Vec<DeviceFault>,
    /// The attestation token that it has handed over to its host, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
}

/// A device that got nonsense from the realm's driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFault {
    /// Its place in [`Spec::devices`].
    pub device: u32,
    /// What the driver did wrong last.
    pub fault: String,
    /// Whether the device does nothing until the driver resets it. Otherwise it has been reset since.
    pub stopped: bool,
}

/// A part of a realm's RAM that is alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its first address.
    pub base: u64,
    /// The first address after it.
    pub top: u64,
    /// RIPAS as the realm sees it: `empty`, `ram`, `destroyed`. What it shares is empty.
    pub ripas: String,
    /// Bytes of it that memory stands behind.
    pub present: u64,
}

/// What happened by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The host is there: the first frame of all.
    Hello {
        /// [`VERSION`](super::VERSION) of the host.
        version: u32,
        /// Physical PEs.
        pes: u32,
        /// Bytes of memory that realms can have.
        free: u64,
        /// The monitor's RMI version, such as 1.0.
        rmi: String,
    },
    /// Nothing works any more; why.
    Failed {
        /// A line.
        error: String,
    },
    /// A realm has stopped.
    Stopped {
        /// Which.
        realm: u32,
        /// How.
        outcome: crate::report::Outcome,
        /// Why, if badly.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        error: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    extern crate std;
    use alloc::string::ToString;
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;

    fn is_said<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, json: &str) {
        assert_eq!(serde_json::to_string(value).unwrap(), json);
        assert_eq!(&serde_json::from_str::<T>(json).unwrap(), value);
    }

    #[test]
    fn the_words_are_those_of_the_documentation() {
        is_said(
            &Request {
                id: 7,
                call: Call::Pause { realm: 2 },
            },
            r#"{"id":7,"request":"pause","realm":2}"#,
        );
        is_said(
            &Request {
                id: 8,
                call: Call::List,
            },
            r#"{"id":8,"request":"list"}"#,
        );
        is_said(
            &Reply {
                id: 7,
                result: Outcome::Ok(Answer::Created { realm: 3 }),
            },
            r#"{"id":7,"ok":{"answer":"created","realm":3}}"#,
        );
        is_said(
            &Reply {
                id: 7,
                result: Outcome::Error("no".to_string()),
            },
            r#"{"id":7,"error":"no"}"#,
        );
        is_said(
            &Device::Disk {
                sectors: 8,
                read_only: false,
            },
            r#"{"device":"disk","sectors":8,"read_only":false}"#,
        );
        is_said(
            &Event::Stopped {
                realm: 1,
                outcome: crate::report::Outcome::GuestFailed,
                error: Some("x".to_string()),
            },
            r#"{"event":"stopped","realm":1,"outcome":"guest-failed","error":"x"}"#,
        );
    }

    #[test]
    fn a_spec_may_leave_out_what_has_a_default() {
        let spec: Spec = serde_json::from_str(
            r#"{"vcpus":2,"memory":4096,"entry":0,"arguments":[0,0,0,0,0,0,0,0]}"#,
        )
        .unwrap();
        assert!(
            spec.devices.is_empty() && spec.sve_bits == 0 && spec.time_limit_ms == 0 && !spec.lines
        );
    }
}
