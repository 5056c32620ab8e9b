//! What the tool makes of all that a hypervisor says, in one thread, with the parts that its commands use: the session that
//! reads the channel, its disks and networks, and what shows answers to people.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use realm_vmm::control::message::{Answer, Call};
use realm_vmm::virtio::{LONGEST_TRANSFER, TRANSFERS_IN_FLIGHT};
use suzerain::parts::{
    Checked, Disk, Doors, Failure, Filter, Identity, KEPT_OF_CONSOLE, Listing, MOST_NETWORK_BYTES,
    Mailbox, Mode, Patience, Peer, Session, Trust, json_or_error, listing_tables, parse_hex,
    realm_tables, top_frame,
};

/// The realms, each with the number of its consoles. The first has a disk and a network.
const REALMS: [(u32, usize); 2] = [(1, 2), (2, 1)];
/// Bytes of the disk.
const DISK: u64 = 64 << 10;
/// The most bytes that a session keeps of what a host says: three consoles, a disk, a network.
pub(crate) const MOST: usize =
    3 * KEPT_OF_CONSOLE + TRANSFERS_IN_FLIGHT * LONGEST_TRANSFER + MOST_NETWORK_BYTES;
/// Requests that somebody waits for have these numbers.
pub(crate) const WAITING: RangeInclusive<u64> = 1..=8;

/// What has come of it.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Text that is shown to people: lines, none of which a terminal obeys.
    pub(crate) shown: Vec<String>,
    /// JSON that is printed for programs, a line each.
    pub(crate) json: Vec<String>,
    /// What somebody sees who sits at a console.
    pub(crate) consoles: Vec<String>,
    /// Bytes that the session has kept at most.
    pub(crate) kept: usize,
    /// Why the channel came to its end.
    pub(crate) gone: String,
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

/// Hears what a host says that has [`REALMS`]; the tool waits for the answers to the requests [`WAITING`]. The bytes arrive in
/// pieces of those lengths.
///
/// # Errors
///
/// When there is no file for a disk, or the process has no file descriptors left.
pub(crate) fn hear(said: &[u8], pieces: &[usize]) -> Result<Heard, Box<dyn Error>> {
    let told = |failure: Failure| failure.to_string();
    let session = Session::unheard(io::sink(), Patience::USUAL);
    for (realm, consoles) in REALMS {
        session.made(realm, consoles).map_err(told)?;
    }
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(DISK)?;
    session.add_disk(1, 0, Disk::open(file.path(), false).map_err(told)?);
    let mailbox = Arc::new(Mailbox::new()?);
    session.set_network(1, mailbox.clone(), None);
    for id in WAITING {
        assert_eq!(session.ask(Call::List).map_err(told)?, id);
    }

    session.listen(Pieces(said, pieces.iter().copied().collect()));
    let mut heard = Heard {
        kept: session.kept(),
        ..Heard::default()
    };
    heard.gone = Failure::machine(session.gone().unwrap_or_default()).to_string();
    heard.shown.push(heard.gone.clone());
    // Whatever it wants of disks and of the network is done, too.
    session.serve_disks();
    let mut peer = Peer::new(Doors::default());
    for frame in mailbox.take() {
        peer.turn([frame], &mut |_| true);
    }
    for (realm, consoles) in REALMS {
        for stream in 0..consoles as u8 {
            let bytes = session.consoles().all(realm, stream);
            let seen = |mode| Filter::new(mode).pass(&bytes);
            heard.shown.push(seen(Mode::Lines));
            heard.consoles.push(seen(Mode::Console));
            heard
                .shown
                .extend(session.consoles().tail(realm, stream, 9));
        }
        heard
            .shown
            .extend(session.stopped(realm).and_then(|stopped| stopped.error));
    }
    for id in WAITING {
        match session.answer(id, Duration::ZERO) {
            Ok(answer) => show(answer, &mut heard),
            Err(failure) => heard.shown.push(told(failure)),
        }
    }
    Ok(heard)
}

/// An answer, as every command shows it that could have asked for it.
fn show(answer: Answer, heard: &mut Heard) {
    heard.json.push(json_or_error(&answer));
    match answer {
        Answer::Realm { details } => {
            heard.shown.push(realm_tables(&details, None));
            heard.shown.push(realm_tables(&details, Some(80)));
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
            heard.shown.extend(top_frame(listing, Some(*details)));
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
                heard.shown.push(listing_tables(&listing, None));
                heard.shown.push(listing_tables(&listing, Some(80)));
                heard.shown.extend(top_frame(listing, None));
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
    let (Some(trust), Ok(bytes)) = (trust, parse_hex(token)) else {
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

#[cfg(test)]
mod tests {
    use realm_vmm::control::block::{Operation, Transfer};
    use realm_vmm::control::{Kind, frame};

    use super::*;

    #[test]
    fn everything_that_is_said_gets_to_whom_it_concerns() {
        let mut said = Vec::new();
        let mut say = |kind, realm, stream, payload: &[u8]| {
            frame::write(kind, realm, stream, payload, &mut said).expect("it fits");
        };
        let listing = r#"{"id":1,"ok":{"answer":"realms","realms":[],"granules":{"delegated":1,"returned":0,"quarantined":0},"pes":1,"free":0}}"#;
        say(Kind::Reply, 0, 0, listing.as_bytes());
        say(Kind::Reply, 0, 0, br#"{"id":8,"error":"no \u001b[2J"}"#);
        say(Kind::Reply, 0, 0, br#"{"id":9,"error":"nobody asked"}"#);
        say(Kind::Console, 1, 1, b"a\x1b[2Jb\n");
        say(Kind::Console, 3, 0, b"there is no such realm");
        let write = Transfer {
            tag: 1,
            operation: Operation::Write,
            sector: 0,
            data: vec![0; 512],
        };
        say(Kind::Block, 1, 0, &write.encode());
        say(Kind::Network, 1, 0, &[0; 60]);
        let stopped = br#"{"event":"stopped","realm":2,"outcome":"error","error":"for good"}"#;
        say(Kind::Event, 0, 0, stopped);

        let heard = hear(&said, &[5]).expect("a file");
        assert_eq!(heard.kept, 7 + 512 + 60);
        assert_eq!(heard.gone, "the machine has ended");
        assert_eq!(heard.json.len(), 1, "{:?}", heard.json);
        let shown = |text: &str| heard.shown.iter().any(|shown| shown.contains(text));
        for text in [
            "no \\u{1b}[2J",
            "a\\u{1b}[2Jb",
            "for good",
            "with the Realm world",
        ] {
            assert!(shown(text), "{text} in {:#?}", heard.shown);
        }
        assert!(!shown("nobody asked") && !shown("no such realm"));
        assert_eq!(heard.consoles, ["", "a\x1b[2Jb\n", ""]);
    }
}
