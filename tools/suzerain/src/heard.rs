//! What the tool makes of all that a hypervisor says, in one thread: for who looks for a hypervisor that gets more of it than that.
//!
//! The parts are those that commands use: the session that reads the channel, its disks and networks, and what shows answers to people.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::OnceLock;

use realm_vmm::control::message::{Answer, Outcome};

use crate::commands::{inspect, ps, top};
use crate::evidence::{Checked, Trust};
use crate::failure::Failure;
use crate::foreign::{self, Mode};
use crate::hex;
use crate::key::Identity;
use crate::network::{Doors, Peer};
use crate::session::{self, Listing, Quiet};

/// The most bytes that a session keeps of what a host says while it has the realms of [`hear`].
pub const MOST: usize = session::quiet::MOST;
/// Requests that somebody waits for have these numbers.
pub const WAITING: std::ops::RangeInclusive<u64> = session::quiet::WAITING;

/// What has come of it.
#[derive(Debug, Default)]
pub struct Heard {
    /// Text that is shown to people: lines, none of which a terminal obeys.
    pub shown: Vec<String>,
    /// JSON that is printed for programs, a line each.
    pub json: Vec<String>,
    /// What somebody sees who sits at a console.
    pub consoles: Vec<String>,
    /// Bytes that the session has kept at most.
    pub kept: usize,
    /// Why the channel came to its end.
    pub gone: String,
}

/// A stream that comes in pieces of those lengths, again and again.
struct Pieces<'a>(&'a [u8], VecDeque<usize>);

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let piece = self.1.pop_front().unwrap_or(64 << 10).max(1);
        self.1.push_back(piece);
        let count = piece.min(self.0.len()).min(to.len());
        let (now, rest) = self.0.split_at(count);
        to[..count].copy_from_slice(now);
        self.0 = rest;
        Ok(count)
    }
}

/// Hears what a host says that has realm 1, with two consoles, a disk and a network, and realm 2, with a console; the tool waits for the
/// answers to the requests [`WAITING`]. The bytes arrive in pieces of those lengths.
///
/// # Errors
///
/// When the process has no file descriptors left.
pub fn hear(said: &[u8], pieces: &[usize]) -> io::Result<Heard> {
    let quiet = Quiet::new()?;
    let mut heard = Heard::default();
    let listened = quiet.listen(Pieces(said, pieces.iter().copied().collect()));
    heard.kept = quiet.kept();
    heard.gone = Failure::machine(listened).to_string();
    heard.shown.push(heard.gone.clone());
    // Whatever it wants of disks and of the network is done, too.
    quiet.serve_disks();
    let mut peer = Peer::new(Doors::default());
    for frame in quiet.frames() {
        peer.hear(frame);
    }
    for (bytes, tail) in quiet.consoles() {
        for mode in [Mode::Lines, Mode::Console] {
            let text = foreign::seen(mode, &bytes);
            match mode {
                Mode::Lines => heard.shown.push(text),
                Mode::Console => heard.consoles.push(text),
            }
        }
        heard.shown.extend(tail);
    }
    heard.shown.extend(quiet.ends());
    for outcome in quiet.replies() {
        show(outcome, &mut heard);
    }
    Ok(heard)
}

/// An answer, as every command shows it that could have asked for it.
fn show(outcome: Outcome, heard: &mut Heard) {
    let answer = match outcome {
        Outcome::Ok(answer) => answer,
        Outcome::Error(error) => {
            return heard.shown.push(Failure::machine(error).to_string());
        }
    };
    heard.json.push(foreign::json_or_error(&answer));
    match answer {
        Answer::Realm { details } => {
            heard.shown.push(inspect::tables(&details, None));
            heard.shown.push(inspect::tables(&details, Some(80)));
            if let Some(token) = &details.token {
                attest(token, heard);
            }
            let listing = Listing {
                realms: vec![details.status.clone()],
                granules: realm_vmm::report::GranuleReport::default(),
                pes: 1,
                free: 0,
                heap: None,
            };
            heard.shown.extend(top::frame(listing, Some(*details)));
        }
        Answer::Removed { report } => {
            let failure = Failure::of_report(report.outcome, report.error.as_deref());
            heard
                .shown
                .extend(failure.map(|failure| failure.to_string()));
            if let Some(token) = &report.token {
                attest(token, heard);
            }
        }
        answer => match Listing::of(answer) {
            Ok(listing) => {
                heard.shown.push(ps::tables(&listing, None));
                heard.shown.push(ps::tables(&listing, Some(80)));
                heard.shown.extend(top::frame(listing, None));
            }
            Err(failure) => heard.shown.push(failure.to_string()),
        },
    }
}

/// A token of a realm, as `attest` shows it.
fn attest(token: &str, heard: &mut Heard) {
    static TRUST: OnceLock<Option<Trust>> = OnceLock::new();
    let trust = TRUST.get_or_init(|| {
        Some(Trust {
            identity: Identity::development(None).ok()?,
            challenge: Some(vec![1; 64]),
            rim: Some(vec![2; 32]),
        })
    });
    let (Some(trust), Ok(bytes)) = (trust, hex::parse(token)) else {
        return;
    };
    match Checked::new(&bytes, trust) {
        Ok(checked) => {
            heard.shown.extend([checked.digest(), checked.table()]);
            heard.json.push(checked.json());
        }
        Err(failure) => heard.shown.push(failure.to_string()),
    }
}
