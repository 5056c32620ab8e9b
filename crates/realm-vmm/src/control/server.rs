//! The host's side of the channel: does what the tool asks for.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use realm_host::{Host, PageSupply, SmcTransport};

use super::frame::{Frame, FrameReader, Kind};
use super::message::{Answer, Call, Event, HeapUse, Outcome, Reply, Request, Spec, State};
use super::outbox::{Outbox, Port};
use super::ports::Ports;
use super::removal::{Leaving, is_going};
use super::{VERSION, bounds, kept, status};
use crate::build::Assembly;
use crate::config::Config;
use crate::fleet::{Fleet, Member, Service};
use crate::machine::RealmMachine;
use crate::pe::HostPe;
use crate::report;
use crate::text::{bounded, json_bytes};

/// So many bytes are taken from the channel before vCPUs get their turn.
const BUDGET: usize = 128 << 10;

/// The bytes of the channel. Owned by PE 0.
pub trait Link {
    /// Moves bytes that have arrived to the start of `to`, and says how many; 0 if none have.
    fn receive(&mut self, to: &mut [u8]) -> usize;

    /// Sends the first of the bytes, as many as there is room for, and says how many. Does not wait for the other side to take any.
    fn send(&mut self, bytes: &[u8]) -> usize;

    /// Whether there may be room since the last [`Link::send`] that sent less than all.
    fn has_room(&self) -> bool;

    /// Whether bytes may have arrived since the last [`Link::receive`] that returned 0.
    fn has_arrivals(&self) -> bool;

    /// Whether the other side is gone for good, so that nobody can ask for anything any more.
    fn is_closed(&self) -> bool {
        false
    }
}

/// What the host tells of itself.
pub struct About<'a> {
    /// Physical PEs that run vCPUs.
    pub pes: u32,
    /// Bytes of memory that no realm has.
    pub free: Box<dyn Fn() -> u64 + Send + 'a>,
    /// How much of its heap is in use, if it has one of its own.
    pub heap: Box<dyn Fn() -> Option<HeapUse> + Send + 'a>,
    /// Bytes of the heap that realms can be promised for what they make the host keep beside their granules. Who would take
    /// more is refused.
    pub keep: u64,
}

/// Serves the channel, on PE 0, between vCPUs.
pub struct Server<'f, 'a, T: SmcTransport, M: PageSupply, L> {
    host: &'a Host<T, M>,
    pub(super) fleet: &'f Fleet<'a, T, M, Port<'a>>,
    pub(super) outbox: &'a Outbox,
    about: About<'f>,
    pub(super) link: L,
    reader: FrameReader,
    /// What is being sent, and how much of it has been.
    sending: (Vec<u8>, usize),
    pub(super) realms: BTreeMap<u32, Entry<'a, T, M>>,
    next: u32,
    greeted: bool,
    broken: bool,
    /// Frames wait here until the tool has fetched some of what was said to it.
    held: bool,
    pub(super) leaving: Option<Leaving>,
}

/// A realm that the server knows.
pub(super) struct Entry<'a, T: SmcTransport, M: PageSupply> {
    pub(super) name: String,
    pub(super) spec: Spec,
    pub(super) stage: Stage<'a, T, M>,
    /// When it was started.
    pub(super) started: Option<u64>,
    /// Whether the tool knows that it has stopped.
    told: bool,
}

pub(super) enum Stage<'a, T: SmcTransport, M: PageSupply> {
    /// Contents arrive; what went wrong with them, if anything.
    New(Result<Box<Assembly<'a, T, M>>, String>),
    Whole(Arc<Member<'a, T, M, Port<'a>>>, Box<Ports>),
    /// Is taken apart; the number of the request that waits for the end of it.
    Going(Arc<Member<'a, T, M, Port<'a>>>, Option<u64>),
}

/// What a request comes to: an answer, or a line that says why not.
type Answered = Result<Answer, String>;

impl<'f, 'a, T: SmcTransport, M: PageSupply, L: Link> Server<'f, 'a, T, M, L> {
    /// A server of realms on `host`, which run in `fleet` and whose consoles write to `outbox`.
    pub fn new(
        host: &'a Host<T, M>,
        fleet: &'f Fleet<'a, T, M, Port<'a>>,
        outbox: &'a Outbox,
        link: L,
        about: About<'f>,
    ) -> Self {
        Self {
            host,
            fleet,
            outbox,
            about,
            link,
            reader: FrameReader::default(),
            sending: (Vec::new(), 0),
            realms: BTreeMap::new(),
            next: 1,
            greeted: false,
            broken: false,
            held: false,
            leaving: None,
        }
    }

    fn greet(&mut self) {
        self.greeted = true;
        self.outbox.event(&Event::Hello {
            version: VERSION,
            pes: self.about.pes,
            free: (self.about.free)(),
            rmi: "1.0".to_string(),
        });
    }

    /// Reads what has arrived, up to a budget. Says whether there may be more.
    fn receive(&mut self, pe: &mut impl HostPe) -> bool {
        let mut bytes = [0; 4096];
        let mut budget = BUDGET;
        while budget > 0 && self.answers(pe) {
            let count = self.link.receive(&mut bytes);
            if count == 0 {
                return false;
            }
            budget = budget.saturating_sub(count);
            self.reader.push(bytes.get(..count).unwrap_or(&bytes));
        }
        if self.broken {
            // Until the tool hangs up, which shows only when everything that it has said was taken.
            while budget > 0 {
                let count = self.link.receive(&mut bytes);
                if count == 0 {
                    return false;
                }
                budget = budget.saturating_sub(count);
            }
            return true;
        }
        self.answers(pe)
    }

    /// Does what the frames ask for that are here, as long as there is room for what is said to them: a tool that fetches no answer
    /// gets none. Says whether that is all of them.
    fn answers(&mut self, pe: &mut impl HostPe) -> bool {
        while !self.broken && !self.fleet.is_over() {
            if !self.outbox.has_room() {
                self.held = true;
                return false;
            }
            match self.reader.take() {
                Ok(Some(frame)) => self.frame(frame, pe),
                Ok(None) => {
                    self.held = false;
                    return true;
                }
                Err(malformed) => {
                    // Where the next frame starts nobody knows, so this was the last.
                    self.broken = true;
                    self.held = false;
                    self.outbox.event(&Event::Failed {
                        error: malformed.to_string(),
                    });
                }
            }
        }
        false
    }

    /// Sends what there is to send, until the other side has to take some of it first. Says whether that was all.
    pub(super) fn send(&mut self) -> bool {
        loop {
            let (bytes, sent) = &mut self.sending;
            if *sent == bytes.len() {
                (*bytes, *sent) = (self.outbox.take(), 0);
                if bytes.is_empty() {
                    return true;
                }
            }
            let rest = bytes.get(*sent..).unwrap_or_default();
            *sent += self.link.send(rest).min(rest.len());
            if *sent < bytes.len() {
                return false;
            }
        }
    }

    fn frame(&mut self, frame: Frame, pe: &mut impl HostPe) {
        match frame.kind {
            Kind::Request => self.request(&frame.payload, pe),
            Kind::Contents => self.contents(&frame),
            Kind::Console | Kind::Block | Kind::Network => {
                if let Some(Entry {
                    stage: Stage::Whole(member, ports),
                    ..
                }) = self.realms.get_mut(&frame.realm)
                {
                    ports.deliver(&member.machine, &frame, pe);
                }
            }
            // Those go the other way; a tool that sends them is wrong about itself, but harms nobody.
            Kind::Reply | Kind::Event => {}
        }
    }

    fn request(&mut self, json: &[u8], pe: &mut impl HostPe) {
        let request: Request = match serde_json::from_slice(json) {
            Ok(request) => request,
            Err(error) => {
                // A request that is known by nothing but its number is at least answered.
                #[derive(serde::Deserialize)]
                struct Numbered {
                    id: u64,
                }
                let id = serde_json::from_slice(json).map_or(0, |numbered: Numbered| numbered.id);
                let result =
                    Outcome::Error(format!("the host does not know this request: {error}"));
                return self.reply(id, result);
            }
        };
        let id = request.id;
        let result = match request.call {
            Call::Remove { realm } => self.remove(realm, id),
            Call::Shutdown => {
                self.take_all_apart(Leaving::Asked(id));
                Ok(None)
            }
            call => self.call(call, pe).map(Some),
        };
        match result {
            Ok(Some(answer)) => self.reply(id, Outcome::Ok(answer)),
            // It takes a while.
            Ok(None) => {}
            Err(error) => self.reply(id, Outcome::Error(error)),
        }
    }

    pub(super) fn reply(&self, id: u64, result: Outcome) {
        // Why not may quote what the tool has sent.
        let result = match result {
            Outcome::Error(error) => Outcome::Error(bounded(&error, bounds::REFUSAL)),
            answer => answer,
        };
        let said = self.outbox.message(Kind::Reply, &Reply { id, result });
        if let Err(too_long) = said {
            // Everything in an answer has its bound, and all of them together fit: if they do not, the tool is told, and no realm suffers.
            let result = Outcome::Error(format!("the answer cannot be said: {too_long}"));
            let _ = self.outbox.message(Kind::Reply, &Reply { id, result });
        }
    }

    fn call(&mut self, call: Call, pe: &mut impl HostPe) -> Answered {
        match call {
            Call::Create { .. } if self.leaving.is_some() => {
                Err("the machine is being switched off".to_string())
            }
            Call::Create { name, spec } => self.create(name, spec),
            Call::Activate { realm } => self.activate(realm, pe),
            Call::Start { realm } => {
                let entry = self.entry(realm)?;
                let member = entry.member()?;
                if member.is_started() {
                    return Err(format!("realm {realm} was started already"));
                }
                entry.started = Some(pe.counter());
                member.start(pe);
                Ok(Answer::Done)
            }
            Call::Pause { realm } => {
                let member = self.running(realm)?;
                if member.machine.is_paused() {
                    return Err(format!("realm {realm} is paused already"));
                }
                member.machine.pause(pe);
                Ok(Answer::Done)
            }
            Call::Resume { realm } => {
                let member = self.running(realm)?;
                if !member.machine.is_paused() {
                    return Err(format!("realm {realm} is not paused"));
                }
                member.machine.resume(pe);
                Ok(Answer::Done)
            }
            Call::Stop { realm } => {
                let member = self.running(realm)?;
                member.machine.stop(
                    report::Outcome::Stopped,
                    Some("its host was asked to stop it".to_string()),
                    pe,
                );
                Ok(Answer::Done)
            }
            Call::List => Ok(self.list(pe)),
            Call::Inspect { realm, from } => self.inspect(realm, from, pe),
            // They are answered when they are done.
            Call::Remove { .. } | Call::Shutdown => Ok(Answer::Done),
        }
    }

    fn create(&mut self, name: String, spec: Spec) -> Answered {
        let bytes = json_bytes(&name);
        if bytes > bounds::NAME {
            let most = bounds::NAME;
            return Err(format!(
                "a name of {bytes} bytes is too long, the longest has {most}"
            ));
        }
        let (devices, most) = (spec.devices.len(), bounds::DEVICES);
        if devices > most {
            return Err(format!("a realm has at most {most} virtio devices"));
        }
        if self.realms.len() >= bounds::REALMS {
            return Err(format!(
                "there are {} realms, and no more at once: remove one first",
                bounds::REALMS
            ));
        }
        let promised = self.realms.values().map(|entry| kept::keeps(&entry.spec));
        kept::admit(&spec, promised.sum(), self.about.keep)?;
        let config = config(&spec);
        let realm = self.next;
        let next = realm
            .checked_add(1)
            .ok_or("all numbers of realms are used up")?;
        let assembly = Assembly::begin(self.host, &config)?;
        self.next = next;
        let entry = Entry {
            name,
            spec,
            stage: Stage::New(Ok(Box::new(assembly))),
            started: None,
            told: false,
        };
        self.realms.insert(realm, entry);
        Ok(Answer::Created { realm })
    }

    fn contents(&mut self, frame: &Frame) {
        let Some(Entry {
            stage: Stage::New(assembly),
            ..
        }) = self.realms.get_mut(&frame.realm)
        else {
            return;
        };
        let Ok(building) = assembly else { return };
        let result = match frame.payload.split_first_chunk() {
            Some((ipa, bytes)) => building.populate(u64::from_le_bytes(*ipa), bytes),
            None => Err("contents without an address".to_string()),
        };
        if let Err(error) = result {
            // The realm is of no use; dropping it gives its memory back.
            *assembly = Err(error);
        }
    }

    fn activate(&mut self, realm: u32, pe: &mut impl HostPe) -> Answered {
        let entry = self.entry(realm)?;
        let Stage::New(assembly) = &mut entry.stage else {
            return Err(format!("realm {realm} is active already"));
        };
        let taken = core::mem::replace(assembly, Err("it could not be completed".to_string()));
        let config = config(&entry.spec);
        match taken.and_then(|assembly| assembly.finish()) {
            Ok(active) => {
                let port = Port {
                    realm,
                    outbox: self.outbox,
                };
                let aux_granules = active.auxiliary_granules() as u64;
                let mut machine = RealmMachine::with_realm(self.host, port, active, &config, pe);
                let entry = self.realms.get(&realm);
                let devices = entry.map_or(&[][..], |entry| &entry.spec.devices);
                let ports = match Ports::attach(&mut machine, devices, pe.counter()) {
                    Ok(ports) => Box::new(ports),
                    Err(error) => {
                        self.realms.remove(&realm);
                        return Err(format!("{error}; realm {realm} is gone"));
                    }
                };
                let rim = machine.rim().to_string();
                let member = self.fleet.add(Member::new(realm, machine));
                self.entry(realm)?.stage = Stage::Whole(member, ports);
                Ok(Answer::Activated { rim, aux_granules })
            }
            Err(error) => {
                self.realms.remove(&realm);
                Err(format!("{error}; realm {realm} is gone"))
            }
        }
    }

    pub(super) fn entry(&mut self, realm: u32) -> Result<&mut Entry<'a, T, M>, String> {
        self.realms.get_mut(&realm).ok_or_else(|| unknown(realm))
    }

    fn running(&mut self, realm: u32) -> Result<Arc<Member<'a, T, M, Port<'a>>>, String> {
        let member = self.entry(realm)?.member()?;
        if !member.is_started() {
            return Err(format!("realm {realm} was not started yet"));
        }
        if member.machine.is_stopped() {
            return Err(format!("realm {realm} has stopped"));
        }
        Ok(member)
    }

    fn inspect(&mut self, realm: u32, from: u64, pe: &mut impl HostPe) -> Answered {
        let entry = self.realms.get(&realm).ok_or_else(|| unknown(realm))?;
        let granules = status::granules(self.host);
        let details = status::details(realm, entry, &granules, from, pe);
        Ok(Answer::Realm {
            details: Box::new(details),
        })
    }

    fn list(&mut self, pe: &mut impl HostPe) -> Answer {
        let granules = status::granules(self.host);
        let realms = self.realms.iter();
        Answer::Realms {
            realms: realms
                .map(|(&realm, entry)| status::listed(status::status(realm, entry, &granules, pe)))
                .collect(),
            granules: status::account(self.host),
            pes: self.about.pes,
            free: (self.about.free)(),
            heap: (self.about.heap)(),
        }
    }

    /// Tells of realms that have stopped since the last time.
    fn tell_of_ends(&mut self) {
        for (&realm, entry) in &mut self.realms {
            if let Stage::Whole(member, _) = &entry.stage
                && !entry.told
                && let Some((outcome, error)) = member.machine.end()
            {
                entry.told = true;
                self.outbox.event(&Event::Stopped {
                    realm,
                    outcome,
                    error,
                });
            }
        }
    }
}

impl<T: SmcTransport, M: PageSupply, L: Link> Service for Server<'_, '_, T, M, L> {
    fn serve(&mut self, pe: &mut impl HostPe) -> bool {
        if !self.greeted {
            self.greet();
        }
        let mut more = self.receive(pe);
        if self.link.is_closed() {
            self.take_all_apart(Leaving::Closed);
        }
        for (&realm, entry) in &mut self.realms {
            if let Stage::Whole(member, ports) = &mut entry.stage {
                more |= ports.collect(realm, &member.machine, self.outbox, pe);
            }
        }
        self.tell_of_ends();
        more |= self.take_apart(pe);
        let had_room = self.outbox.has_room();
        self.send();
        // Who had to wait for room goes on.
        more |= !had_room && self.outbox.has_room();
        more && !self.fleet.is_over()
    }

    fn is_wanted(&self) -> bool {
        let (bytes, sent) = &self.sending;
        let may_send = if *sent < bytes.len() {
            self.link.has_room()
        } else {
            self.outbox.is_urgent()
        };
        let may_hear = (self.held || self.link.has_arrivals()) && self.outbox.has_room();
        may_send || may_hear || self.link.is_closed()
    }
}

impl<'a, T: SmcTransport, M: PageSupply> Entry<'a, T, M> {
    fn member(&self) -> Result<Arc<Member<'a, T, M, Port<'a>>>, String> {
        match &self.stage {
            Stage::Whole(member, _) => Ok(Arc::clone(member)),
            Stage::New(_) => Err("the realm is not active yet".to_string()),
            Stage::Going(member, _) => Err(is_going(member.id)),
        }
    }

    /// The realm and its devices, once it is complete.
    pub(super) fn machine(&self) -> Option<&RealmMachine<'a, T, M, Port<'a>>> {
        match &self.stage {
            Stage::New(_) => None,
            Stage::Whole(member, _) | Stage::Going(member, _) => Some(&member.machine),
        }
    }

    pub(super) fn state(&self) -> State {
        match &self.stage {
            Stage::New(_) => State::New,
            Stage::Going(..) => State::Removing,
            Stage::Whole(member, _) if member.machine.is_stopped() => State::Stopped,
            Stage::Whole(member, _) if !member.is_started() => State::Active,
            Stage::Whole(member, _) if member.machine.is_paused() => State::Paused,
            Stage::Whole(member, _) if member.machine.is_starved() => State::Starved,
            Stage::Whole(..) => State::Running,
        }
    }
}

fn unknown(realm: u32) -> String {
    format!("there is no realm {realm}")
}

fn config(spec: &Spec) -> Config<'static> {
    Config {
        vcpus: spec.vcpus as usize,
        memory: spec.memory,
        sve_bits: spec.sve_bits,
        segments: &[],
        entry: spec.entry,
        arguments: spec.arguments,
        lines: spec.lines,
        overcommit: spec.overcommit,
        time_limit_ms: spec.time_limit_ms,
        slice_us: Config::DEFAULT_SLICE_US,
        challenge: spec.challenge,
    }
}
