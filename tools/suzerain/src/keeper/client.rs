//! The side of the commands.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use realm_vmm::control::Kind;
use realm_vmm::control::message::{Answer, Call, Details, Spec, Status};
use realm_vmm::report::{Outcome, Report};

use super::place::Place;
use super::protocol::{Ask, Backing, Drawn, Reply, Said, Wire, parse};
use crate::blueprint::Contents;
use crate::failure::Failure;
use crate::session::{Hello, Listing};

/// How often who waits looks whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(100);

/// A connection to a machine that is up.
pub(crate) struct Client {
    wire: Wire,
}

/// How a console ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// How its realm ended, if it has.
    pub(crate) outcome: Option<Outcome>,
    /// Why, if badly.
    pub(crate) error: Option<String>,
}

impl Client {
    /// Connects to the machine of that place.
    ///
    /// # Errors
    ///
    /// When none is up, and why, if that is known.
    pub(crate) fn connect(place: &Place) -> Result<Self, Failure> {
        Self::try_connect(place).ok_or_else(|| {
            let (which, option) = match place.name.as_str() {
                "default" => (String::new(), String::new()),
                name => (format!(" `{name}`"), format!(" --on {name}")),
            };
            let last = place.last_error();
            let last = last.map(|why| format!(" (the last one ended: {why})"));
            Failure::input(format!(
                "no machine{which} is up; start one with `suzerain up{option}`{}",
                last.unwrap_or_default()
            ))
        })
    }

    /// As [`connect`](Self::connect), where it is no failure that none is up.
    pub(crate) fn try_connect(place: &Place) -> Option<Self> {
        let stream = UnixStream::connect(place.socket()).ok()?;
        stream.set_read_timeout(Some(LOOK)).ok()?;
        let wire = Wire::new(stream);
        Some(Self { wire })
    }

    fn ask(&mut self, ask: &Ask) -> Result<Said, Failure> {
        self.wire.say(Kind::Request, ask).map_err(lost)?;
        self.reply(&mut |_| Ok(()))
    }

    /// The reply, with console bytes before it going to `console`.
    fn reply(&mut self, console: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Result<Said, Failure> {
        loop {
            if toolbox::child::interrupted() {
                return Err(Failure::interrupted());
            }
            let frame = match self.wire.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(lost(io::ErrorKind::UnexpectedEof.into())),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(lost(error)),
            };
            match frame.kind {
                Kind::Console => {
                    if console(&frame.payload).is_err() {
                        // Nobody reads what is printed any more.
                        return Ok(Said::Done);
                    }
                }
                Kind::Reply => match parse(&frame).map_err(lost)? {
                    Reply::Ok(said) => return Ok(said),
                    Reply::Failed {
                        code,
                        message,
                        details,
                    } => {
                        let failure = Failure::with_code(code, message);
                        return Err(failure.with_details(details.unwrap_or_default()));
                    }
                },
                kind => return Err(unexpected(&kind)),
            }
        }
    }

    /// Waits until the machine is up.
    ///
    /// # Errors
    ///
    /// When it cannot be, and why.
    pub(crate) fn ready(&mut self) -> Result<Hello, Failure> {
        match self.ask(&Ask::Ready)? {
            Said::Ready { pes, free, rmi } => Ok(Hello { pes, free, rmi }),
            other => Err(unexpected(&other)),
        }
    }

    fn call(&mut self, call: Call) -> Result<Answer, Failure> {
        match self.ask(&Ask::Call { call })? {
            Said::Answer { answer } => Ok(answer),
            other => Err(unexpected(&other)),
        }
    }

    /// Has the host do something that has no answer but that it was done.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(crate) fn done(&mut self, call: Call) -> Result<(), Failure> {
        match self.call(call)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// All realms.
    ///
    /// # Errors
    ///
    /// When the machine is gone.
    pub(crate) fn list(&mut self) -> Result<Listing, Failure> {
        Listing::of(self.call(Call::List)?)
    }

    /// The realm of that name or number.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn find(&mut self, name: &str) -> Result<Status, Failure> {
        let realms = self.list()?.realms;
        let number = name.parse().ok();
        let named = realms.iter().position(|realm| realm.name == name);
        let found = named.or_else(|| realms.iter().position(|realm| Some(realm.realm) == number));
        found
            .and_then(|index| realms.into_iter().nth(index))
            .ok_or_else(|| {
                Failure::input(format!(
                    "there is no realm `{name}`; `suzerain ps` shows those that there are"
                ))
            })
    }

    /// One realm, its memory from an address on.
    ///
    /// # Errors
    ///
    /// When there is none of that number.
    pub(crate) fn inspect(&mut self, realm: u32, from: u64) -> Result<Details, Failure> {
        match self.call(Call::Inspect { realm, from })? {
            Answer::Realm { details } => Ok(*details),
            other => Err(unexpected(&other)),
        }
    }

    /// What the token of a realm is compared with.
    ///
    /// # Errors
    ///
    /// When there is no realm of that number.
    pub(crate) fn drawn(&mut self, realm: u32) -> Result<Drawn, Failure> {
        match self.ask(&Ask::Drawn { realm })? {
            Said::Drawn(drawn) => Ok(drawn),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a realm apart.
    ///
    /// # Errors
    ///
    /// When it runs.
    pub(crate) fn remove(&mut self, realm: u32) -> Result<Report, Failure> {
        match self.call(Call::Remove { realm })? {
            Answer::Removed { report } => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a realm and returns its number and its initial measurement; `progress` is told how many bytes are over.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(crate) fn create(
        &mut self,
        name: &str,
        (spec, rim): (Spec, String),
        backing: Backing,
        contents: &[Contents],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(u32, String), Failure> {
        let name = name.to_owned();
        let realm = match self.ask(&Ask::Create {
            name,
            spec,
            backing,
            rim,
        })? {
            Said::Created { realm } => realm,
            other => return Err(unexpected(&other)),
        };
        let mut over = 0;
        for (ipa, bytes) in contents.iter().flat_map(Contents::pieces) {
            if toolbox::child::interrupted() {
                return Err(Failure::interrupted());
            }
            let payload = [&ipa.to_le_bytes(), bytes].concat();
            self.wire
                .send(Kind::Contents, realm, &payload)
                .map_err(lost)?;
            over += bytes.len() as u64;
            progress(over);
        }
        match self.ask(&Ask::Activate)? {
            Said::Activated { rim } => Ok((realm, rim)),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives what a console prints to `print`, at most `recent` bytes of what is kept first, until it ends: `None` if that
    /// is because somebody left. `typist` gets what types on it.
    ///
    /// # Errors
    ///
    /// When the machine is gone.
    pub(crate) fn console(
        mut self,
        (realm, stream): (u32, u8),
        (recent, follow): (u64, bool),
        typist: impl FnOnce(Typist),
        print: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Option<Ended>, Failure> {
        let ask = Ask::Console {
            realm,
            stream,
            recent,
            follow,
        };
        self.wire.say(Kind::Request, &ask).map_err(lost)?;
        let left = Arc::new(AtomicBool::new(false));
        typist(Typist {
            wire: self.wire.another().map_err(lost)?,
            left: left.clone(),
        });
        match self.reply(print) {
            Ok(Said::Ended { outcome, error }) => Ok(Some(Ended { outcome, error })),
            Ok(Said::Done) => Ok(None),
            Ok(other) => Err(unexpected(&other)),
            Err(_) if left.load(Ordering::SeqCst) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Ends the machine.
    ///
    /// # Errors
    ///
    /// When it does not end as it should.
    pub(crate) fn down(&mut self) -> Result<(), Failure> {
        self.ask(&Ask::Down).map(drop)
    }
}

/// Types on a console.
pub(crate) struct Typist {
    wire: Wire,
    left: Arc<AtomicBool>,
}

impl Typist {
    /// Types bytes; false once nobody takes them.
    pub(crate) fn type_in(&mut self, bytes: &[u8]) -> bool {
        self.wire.send(Kind::Console, 0, bytes).is_ok()
    }

    /// Ends the connection, and with it [`Client::console`].
    pub(crate) fn leave(&mut self) {
        self.left.store(true, Ordering::SeqCst);
        self.wire.close();
    }
}

fn lost(error: io::Error) -> Failure {
    Failure::machine(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the machine has ended".to_owned(),
        _ => format!("lost the machine: {error}"),
    })
}

fn unexpected(what: &dyn std::fmt::Debug) -> Failure {
    Failure::machine(format!(
        "the machine answers something else than was asked, perhaps it is of another version: {what:?}"
    ))
}
