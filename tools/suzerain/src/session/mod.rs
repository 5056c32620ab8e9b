//! The tool's end of the control channel: calls of the host in the machine, and what comes by itself.
//!
//! The protocol is [`realm_vmm::control`]. A thread reads the channel and gives everything to whom it concerns: replies to
//! who waits for them, console bytes to the [`Consoles`], requests of disks to the thread that serves the [`Disks`], frames of
//! a network to the thread of that network. It never writes, so that a host that does not read cannot stop it.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable
)]

pub(crate) mod boot;
mod consoles;
mod disk;
mod listen;
#[cfg(test)]
mod mad;
mod networks;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::btree_map::{BTreeMap, Entry};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use realm_vmm::control::message::{Answer, Call, Device, HeapUse, Request, Spec, Status};
use realm_vmm::control::{Kind, frame, message};
use realm_vmm::report::{GranuleReport, Outcome, Report};

pub(crate) use self::consoles::Sink;
pub use self::consoles::{Consoles, KEPT};
pub use self::disk::Disk;
use self::disk::Disks;
use self::networks::Networks;
use crate::blueprint::Contents;
use crate::failure::Failure;
use crate::network::{self, Doors, Mailbox};

/// Bytes of a realm's memory in a frame.
pub(crate) const PIECE: usize = 64 << 10;
/// Console bytes in a frame.
const INPUT: usize = 4 << 10;
/// How often who waits looks whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a host may take for its answers before nobody waits for them any more.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// What it does at once, between other work.
    pub(crate) quick: Duration,
    /// What takes as long as the realm has memory: activating one, taking one apart.
    pub(crate) long: Duration,
}

impl Patience {
    /// Enough for a slow machine that is busy.
    pub const USUAL: Self = Self {
        quick: Duration::from_secs(120),
        long: Duration::from_secs(3600),
    };

    fn of(self, call: &Call) -> Duration {
        match call {
            Call::Activate { .. } | Call::Remove { .. } | Call::Shutdown => self.long,
            _ => self.quick,
        }
    }
}

/// What a host says of itself.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Physical PEs.
    pub(crate) pes: u32,
    /// Bytes of memory that realms can have.
    pub(crate) free: u64,
    /// The monitor's RMI version.
    pub(crate) rmi: String,
}

/// How a realm stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// How.
    pub outcome: Outcome,
    /// Why, if badly.
    pub error: Option<String>,
}

/// All realms of a machine.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Listing {
    /// In order of their numbers.
    pub realms: Vec<Status>,
    /// The host's account, over all realms that there are and were.
    pub granules: GranuleReport,
    /// Physical PEs that run vCPUs.
    pub pes: u32,
    /// Bytes of memory that no realm has.
    pub free: u64,
    /// The hypervisor's heap, if it has one of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heap: Option<HeapUse>,
}

impl Listing {
    /// The answer to [`Call::List`].
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub fn of(answer: Answer) -> Result<Self, Failure> {
        match answer {
            Answer::Realms {
                realms,
                granules,
                pes,
                free,
                heap,
            } => Ok(Self {
                realms,
                granules,
                pes,
                free,
                heap,
            }),
            other => Err(unexpected(&other)),
        }
    }
}

/// The tool's end of a control channel.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    writer: Mutex<Box<dyn Write + Send>>,
    requests: AtomicU64,
    patience: Patience,
    consoles: Consoles,
    disks: Disks,
    networks: Networks,
}

#[derive(Default)]
struct State {
    hello: Option<Hello>,
    /// Requests that somebody waits for; `Some` once the reply is there.
    replies: HashMap<u64, Option<message::Outcome>>,
    /// The realms that were made here, with the number of their consoles. What a host says of others does not count.
    realms: BTreeMap<u32, usize>,
    stopped: BTreeMap<u32, Stopped>,
    /// Why nothing will come any more.
    gone: Option<String>,
    deadline: Option<(Instant, String)>,
}

impl Session {
    /// A session on a channel. Its threads end with the channel.
    pub(crate) fn new(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
    ) -> Self {
        Self::with_patience(reader, writer, Patience::USUAL)
    }

    /// As [`new`](Self::new), with a host of whom another patience is due.
    pub(crate) fn with_patience(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        patience: Patience,
    ) -> Self {
        let session = Self::unheard(writer, patience);
        let serving = session.clone();
        thread::spawn(move || serving.serve_disks());
        let listening = session.clone();
        thread::spawn(move || listening.listen(reader));
        session
    }

    /// A session for whose threads somebody else cares: one that [listens](Self::listen), one that [serves disks](Self::serve_disks).
    pub fn unheard(writer: impl Write + Send + 'static, patience: Patience) -> Self {
        Self(Arc::new(Shared::new(writer, patience)))
    }

    /// Reads the channel to its end.
    pub fn listen(&self, reader: impl Read) {
        self.0.listen(reader);
    }

    /// Serves requests of disks until the channel ends.
    pub fn serve_disks(&self) {
        self.0.serve_disks();
    }

    /// Bytes that are kept of what the host says, or wait for somebody.
    pub fn kept(&self) -> usize {
        self.0.consoles.kept() + self.0.disks.waiting() + self.0.networks.waiting()
    }

    /// Waits for no answer after this; `why` is the line of the failure then.
    pub(crate) fn set_deadline(&self, deadline: Option<(Instant, String)>) {
        self.0.state().deadline = deadline;
        self.0.changed.notify_all();
    }

    /// Waits for the host to say that it is there.
    ///
    /// # Errors
    ///
    /// When it speaks another version of the protocol, or is gone.
    pub(crate) fn hello(&self) -> Result<Hello, Failure> {
        self.0.wait(|state| state.hello.clone())
    }

    /// Why the channel is of no use any more, if it is not.
    pub fn gone(&self) -> Option<String> {
        self.0.state().gone.clone()
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    ///
    /// When the host refuses, or is gone.
    pub(crate) fn call(&self, call: Call) -> Result<Answer, Failure> {
        let patience = self.0.patience.of(&call);
        let id = self.ask(call)?;
        self.answer(id, patience)
    }

    /// Sends a request, and returns the number that its [answer](Self::answer) will have: 1 for the first.
    ///
    /// # Errors
    ///
    /// When the host is gone.
    pub fn ask(&self, call: Call) -> Result<u64, Failure> {
        let id = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let payload = serde_json::to_vec(&Request { id, call })
            .map_err(|error| Failure::machine(format!("cannot say it: {error}")))?;
        self.0.state().replies.insert(id, None);
        let sent = self.0.send(Kind::Request, 0, 0, &payload);
        if sent.is_err() {
            self.0.state().replies.remove(&id);
        }
        sent.map(|()| id)
    }

    /// Waits so long for the answer to a request that was [asked](Self::ask).
    ///
    /// # Errors
    ///
    /// When the host refuses, does not answer in time, or is gone.
    pub fn answer(&self, id: u64, patience: Duration) -> Result<Answer, Failure> {
        let end = Instant::now() + patience;
        let reply = self.0.wait(|state| {
            if let Some(outcome) = state.replies.get_mut(&id)?.take() {
                return Some(Ok(outcome));
            }
            (Instant::now() >= end).then(|| {
                let seconds = patience.as_secs();
                let why = format!("the host has not answered within {seconds} s");
                Err(Failure::machine(why))
            })
        });
        self.0.state().replies.remove(&id);
        match reply?? {
            message::Outcome::Ok(answer) => Ok(answer),
            message::Outcome::Error(error) => Err(Failure::machine(error)),
        }
    }

    fn done(&self, call: Call) -> Result<(), Failure> {
        match self.call(call)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Begins a realm and returns its number.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn create(&self, name: &str, spec: Spec) -> Result<u32, Failure> {
        let name = name.to_owned();
        let is_console = |device: &&Device| matches!(device, Device::Console);
        let consoles = 1 + spec.devices.iter().filter(is_console).count();
        match self.call(Call::Create { name, spec })? {
            Answer::Created { realm } => self.made(realm, consoles).map(|()| realm),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes note of a new realm that has so many consoles: what the host says of it counts from now on.
    ///
    /// # Errors
    ///
    /// When there is one with this number, or the number is none.
    pub fn made(&self, realm: u32, consoles: usize) -> Result<(), Failure> {
        match self.0.state().realms.entry(realm) {
            Entry::Vacant(new) if realm != 0 => {
                new.insert(consoles);
                Ok(())
            }
            _ => Err(Failure::machine(format!(
                "the host gives a new realm the number {realm}, which is none or another realm's"
            ))),
        }
    }

    /// Puts bytes into the memory of a realm that is being made.
    ///
    /// # Errors
    ///
    /// When the channel is gone. What is wrong with the contents, [`activate`](Self::activate) says.
    pub(crate) fn contents(&self, realm: u32, ipa: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut payload = Vec::with_capacity(8 + bytes.len());
        payload.extend_from_slice(&ipa.to_le_bytes());
        payload.extend_from_slice(bytes);
        self.0.send(Kind::Contents, realm, 0, &payload)
    }

    /// Puts everything into a realm's memory that is there from the start; `progress` is told how many bytes are over.
    ///
    /// # Errors
    ///
    /// When the channel is gone, or somebody interrupts.
    pub(crate) fn upload(
        &self,
        realm: u32,
        contents: &[Contents],
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let mut over = 0;
        for (ipa, bytes) in contents.iter().flat_map(Contents::pieces) {
            if toolbox::child::interrupted() {
                return Err(Failure::interrupted());
            }
            self.contents(realm, ipa, bytes)?;
            over += bytes.len() as u64;
            progress(over);
        }
        Ok(())
    }

    /// Completes a realm and returns its initial measurement in hexadecimal.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn activate(&self, realm: u32) -> Result<String, Failure> {
        match self.call(Call::Activate { realm })? {
            Answer::Activated { rim, .. } => Ok(rim),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets an active realm run.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn start(&self, realm: u32) -> Result<(), Failure> {
        self.done(Call::Start { realm })
    }

    /// Ends a realm whatever it does.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn stop(&self, realm: u32) -> Result<(), Failure> {
        self.done(Call::Stop { realm })
    }

    /// Takes a realm apart that has stopped, and forgets what is kept for it here.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn remove(&self, realm: u32) -> Result<Report, Failure> {
        let answer = self.call(Call::Remove { realm })?;
        self.forget(realm);
        match answer {
            Answer::Removed { report } => Ok(*report),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives up a realm that could not be made, and forgets what is kept for it here.
    pub(crate) fn abandon(&self, realm: u32) {
        // The host may have taken it apart already. If it cannot do that, `ps` shows it.
        let _ = self.call(Call::Remove { realm });
        self.forget(realm);
    }

    fn forget(&self, realm: u32) {
        self.0.consoles.forget(realm);
        self.0.disks.forget(realm);
        self.0.networks.forget(realm);
        let mut state = self.0.state();
        state.realms.remove(&realm);
        state.stopped.remove(&realm);
    }

    /// All realms.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn list(&self) -> Result<Listing, Failure> {
        Listing::of(self.call(Call::List)?)
    }

    /// Takes all realms apart and switches the machine off.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub(crate) fn shutdown(&self) -> Result<(), Failure> {
        self.done(Call::Shutdown)
    }

    /// Waits until a realm has stopped.
    ///
    /// # Errors
    ///
    /// When the deadline passes, somebody interrupts, or the host is gone.
    pub(crate) fn wait_stopped(&self, realm: u32) -> Result<Stopped, Failure> {
        self.0.wait(|state| state.stopped.get(&realm).cloned())
    }

    /// Whether a realm has stopped, and how.
    pub fn stopped(&self, realm: u32) -> Option<Stopped> {
        self.0.state().stopped.get(&realm).cloned()
    }

    /// What realms print.
    pub fn consoles(&self) -> &Consoles {
        &self.0.consoles
    }

    /// Types bytes on a console of a realm.
    ///
    /// # Errors
    ///
    /// When the channel is gone.
    pub(crate) fn input(&self, realm: u32, stream: u8, bytes: &[u8]) -> Result<(), Failure> {
        bytes
            .chunks(INPUT)
            .try_for_each(|piece| self.0.send(Kind::Console, realm, stream, piece))
    }

    /// Makes this file the realm's disk of that number. Before the realm starts.
    pub fn add_disk(&self, realm: u32, stream: u8, disk: Disk) {
        self.0.disks.add(realm, stream, disk);
    }

    /// Starts the realm's network. It ends when the realm stops, or with the channel.
    ///
    /// # Errors
    ///
    /// When the process has no file descriptors or threads left.
    pub(crate) fn add_network(&self, realm: u32, doors: Doors) -> Result<(), Failure> {
        let shared = self.0.clone();
        let send = move |frame: &[u8]| shared.send(Kind::Network, realm, 0, frame).is_ok();
        let network = network::start(doors, send)
            .map_err(|error| Failure::machine(format!("no network for the realm: {error}")))?;
        self.set_network(realm, network.0, Some(network.1));
        Ok(())
    }

    /// Has frames of the realm go into this mailbox, which the thread empties, or whoever else has it.
    pub fn set_network(&self, realm: u32, mailbox: Arc<Mailbox>, thread: Option<JoinHandle<()>>) {
        self.0.networks.add(realm, mailbox, thread);
    }

    /// Whether the realm has ever sent something to its network.
    pub(crate) fn is_network_used(&self, realm: u32) -> bool {
        self.0.networks.is_used(realm)
    }
}

impl Shared {
    fn new(writer: impl Write + Send + 'static, patience: Patience) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            writer: Mutex::new(Box::new(writer)),
            requests: AtomicU64::new(0),
            patience,
            consoles: Consoles::default(),
            disks: Disks::default(),
            networks: Networks::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn send(&self, kind: Kind, realm: u32, stream: u8, payload: &[u8]) -> Result<(), Failure> {
        let mut bytes = Vec::with_capacity(frame::HEADER + payload.len());
        frame::write(kind, realm, stream, payload, &mut bytes)
            .map_err(|error| Failure::machine(format!("cannot be said: {error}")))?;
        let mut writer = lock(&self.writer);
        writer
            .write_all(&bytes)
            .and_then(|()| writer.flush())
            .map_err(|error| {
                // A part of a frame may be over: nothing that follows would be understood.
                let why = match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        "the host does not read what it is sent".to_owned()
                    }
                    _ => format!("lost the machine: {error}"),
                };
                let why = self.state().gone.get_or_insert(why).clone();
                self.changed.notify_all();
                Failure::machine(why)
            })
    }

    /// Waits until `ready` finds something.
    fn wait<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> Result<T, Failure> {
        let mut state = self.state();
        loop {
            if let Some(found) = ready(&mut state) {
                return Ok(found);
            }
            if toolbox::child::interrupted() {
                return Err(Failure::interrupted());
            }
            if let Some(why) = &state.gone {
                return Err(Failure::machine(why.clone()));
            }
            if let Some((deadline, why)) = &state.deadline
                && Instant::now() >= *deadline
            {
                return Err(Failure::timeout(why.clone()));
            }
            state = self
                .changed
                .wait_timeout(state, LOOK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A lock, also after a thread panicked that held it: what it protects is whole between any two statements.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unexpected(answer: &Answer) -> Failure {
    Failure::machine(format!(
        "the host answers something else than was asked: {answer:?}"
    ))
}
