//! Several realms on the same PEs.
//!
//! Every PE calls [`Fleet::run_pe`]. It gives the PE to the realm that has run least among those that have something to run, so realms
//! share the machine alike however many vCPUs each has. A realm whose vCPUs all wait costs nothing.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use realm_host::{PageSupply, SmcTransport};
use spin::RwLock;

use crate::console::Console;
use crate::idle::Idle;
use crate::machine::{RealmMachine, earliest};
use crate::neighbours::Neighbours;
use crate::pe::HostPe;
use crate::turns::{self, Standing, Stay};

/// The PE that has a service.
const SERVICE: usize = 0;

/// What PE 0 does besides running vCPUs.
pub trait Service {
    /// Does a bounded amount of it. Says whether there is more to do right away.
    fn serve(&mut self, pe: &mut impl HostPe) -> bool;

    /// Whether there is something to do, so that PE 0 should leave the vCPU that it runs.
    fn is_wanted(&self) -> bool;
}

/// Nothing: what all other PEs do besides running vCPUs.
#[derive(Debug)]
pub struct NoService;

impl Service for NoService {
    fn serve(&mut self, _pe: &mut impl HostPe) -> bool {
        false
    }

    fn is_wanted(&self) -> bool {
        false
    }
}

/// A realm of a fleet.
pub struct Member<'a, T: SmcTransport, M: PageSupply, C: Console> {
    /// Its number.
    pub id: u32,
    /// The realm and its devices.
    pub machine: RealmMachine<'a, T, M, C>,
    /// Whether its vCPUs may run.
    started: AtomicBool,
    /// The share of the machine that counts as used by it, in ticks.
    used: AtomicU64,
    /// PEs that run a vCPU of it.
    running: AtomicU32,
}

impl<'a, T: SmcTransport, M: PageSupply, C: Console> Member<'a, T, M, C> {
    /// A realm that does not run yet.
    pub fn new(id: u32, machine: RealmMachine<'a, T, M, C>) -> Self {
        Self {
            id,
            machine,
            started: AtomicBool::new(false),
            used: AtomicU64::new(0),
            running: AtomicU32::new(0),
        }
    }

    /// Whether it has been started.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    /// Lets its vCPUs run.
    pub fn start(&self, pe: &mut impl HostPe) {
        self.started.store(true, Ordering::Release);
        pe.kick_others();
    }

    fn has_ready(&self, now: u64) -> bool {
        self.is_started() && self.machine.has_ready(now)
    }
}

/// A realm that a PE has hold of.
type Shared<'a, T, M, C> = Arc<Member<'a, T, M, C>>;

/// The realms of a machine.
pub struct Fleet<'a, T: SmcTransport, M: PageSupply, C: Console> {
    members: RwLock<Vec<Shared<'a, T, M, C>>>,
    /// What the realm that has run least had used when somebody last looked, at a choice or a slice's end: see [`turns::choose`].
    floor: AtomicU64,
    idle: Arc<Idle>,
    over: AtomicBool,
}

impl<T: SmcTransport, M: PageSupply, C: Console> Default for Fleet<'_, T, M, C> {
    fn default() -> Self {
        Self {
            members: RwLock::new(Vec::new()),
            floor: AtomicU64::new(0),
            idle: Arc::default(),
            over: AtomicBool::new(false),
        }
    }
}

impl<'a, T: SmcTransport, M: PageSupply, C: Console> Fleet<'a, T, M, C> {
    /// Runs vCPUs of all realms on this PE until [`Fleet::finish`].
    pub fn run_pe(&self, pe: &mut impl HostPe, service: &mut impl Service) {
        while !self.is_over() {
            pe.acknowledge_interrupts();
            let more = service.serve(pe);
            if self.is_over() {
                break;
            }
            let now = pe.counter();
            match self.next(now, pe) {
                Some((member, vcpu)) => {
                    let others = Others {
                        fleet: self,
                        me: member.id,
                        console: &member.machine.console,
                        stay: Stay::new(&member.used, now),
                        service,
                        more,
                    };
                    member.running.fetch_add(1, Ordering::Relaxed);
                    member.machine.run_shared(vcpu, &others, pe);
                    others.stay.count(pe.counter());
                    member.running.fetch_sub(1, Ordering::Relaxed);
                    if member.machine.console.calls_for_service(true) {
                        pe.kick(SERVICE);
                    }
                }
                None if more => {}
                None => self.wait(service, pe),
            }
        }
        pe.disarm_slice();
    }

    /// Waits until there is something to do.
    fn wait(&self, service: &impl Service, pe: &mut impl HostPe) {
        self.idle.enter(pe);
        let now = pe.counter();
        let has_ready = {
            let members = self.members.read();
            members.iter().any(|member| member.has_ready(now))
        };
        if !has_ready && !service.is_wanted() && !self.is_over() {
            pe.wait(self.deadline(None));
        }
        self.idle.leave(pe);
    }

    /// Makes all PEs leave [`Fleet::run_pe`].
    pub fn finish(&self, pe: &mut impl HostPe) {
        self.over.store(true, Ordering::Release);
        pe.kick_others();
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Adds a realm.
    pub fn add(&self, mut member: Member<'a, T, M, C>) -> Arc<Member<'a, T, M, C>> {
        member.machine.idle = Arc::clone(&self.idle);
        let member = Arc::new(member);
        let used = self.floor.load(Ordering::Relaxed);
        member.used.store(used, Ordering::Relaxed);
        self.members.write().push(Arc::clone(&member));
        member
    }

    /// The realm with this number.
    pub fn get(&self, id: u32) -> Option<Arc<Member<'a, T, M, C>>> {
        let members = self.members.read();
        members.iter().find(|member| member.id == id).cloned()
    }

    /// All realms, in the order in which they were added.
    pub fn members(&self) -> Vec<Arc<Member<'a, T, M, C>>> {
        self.members.read().clone()
    }

    /// Takes a realm out. PEs that run it finish first: [`RealmMachine::teardown_step`] destroys nothing before.
    pub fn remove(&self, id: u32) -> Option<Arc<Member<'a, T, M, C>>> {
        let mut members = self.members.write();
        let index = members.iter().position(|member| member.id == id)?;
        Some(members.remove(index))
    }

    fn next(&self, now: u64, pe: &mut impl HostPe) -> Option<(Shared<'a, T, M, C>, usize)> {
        // Whoever loses the race for a vCPU of one realm looks at the next.
        let mut tried = Vec::new();
        loop {
            let candidate = {
                let members = self.members.read();
                let standings = standings(&members, now, &tried);
                let chosen = turns::choose(&self.floor, standings)?;
                Arc::clone(&members[chosen])
            };
            match candidate.machine.next(now, pe) {
                Some(vcpu) => return Some((candidate, vcpu)),
                None => tried.push(candidate.id),
            }
        }
    }

    /// When a realm other than `except` wants a PE.
    fn deadline(&self, except: Option<u32>) -> Option<u64> {
        let members = self.members.read();
        members
            .iter()
            .filter(|member| Some(member.id) != except && member.is_started())
            .fold(None, |first, member| {
                earliest(first, member.machine.deadline())
            })
    }
}

/// How each realm stands, but for those that were `tried`, which are not ready.
fn standings<'m, T: SmcTransport, M: PageSupply, C: Console>(
    members: &'m [Shared<'_, T, M, C>],
    now: u64,
    tried: &'m [u32],
) -> impl Iterator<Item = Standing<'m>> {
    let standing = move |member: &'m Shared<'_, T, M, C>| {
        let lives = member.is_started() && !member.machine.is_stopped();
        let wants = member.has_ready(now) || member.machine.time_is_over(now);
        Standing {
            used: &member.used,
            slice: member.machine.slice,
            is_ready: lives && wants && !tried.contains(&member.id),
            is_running: member.running.load(Ordering::Relaxed) > 0,
        }
    };
    members.iter().map(standing)
}

/// What the PE of a vCPU in a fleet is wanted for.
struct Others<'f, 'a, T: SmcTransport, M: PageSupply, C: Console, S> {
    fleet: &'f Fleet<'a, T, M, C>,
    me: u32,
    console: &'f C,
    stay: Stay<'f>,
    service: &'f S,
    more: bool,
}

impl<T: SmcTransport, M: PageSupply, C: Console, S: Service> Neighbours
    for Others<'_, '_, T, M, C, S>
{
    fn want(&self, now: u64, pe: &mut impl HostPe) -> bool {
        // A vCPU that nobody else wants the PE of may go on for ever: what it has printed of a line is passed on all the same.
        if self.console.calls_for_service(true) {
            pe.kick(SERVICE);
        }
        self.stay.count(now);
        let members = self.fleet.members.read();
        turns::raise(&self.fleet.floor, standings(&members, now, &[]));
        self.more
            || members
                .iter()
                .any(|member| member.id != self.me && member.has_ready(now))
    }

    fn deadline(&self) -> Option<u64> {
        self.fleet.deadline(Some(self.me))
    }

    fn is_urgent(&self, pe: &mut impl HostPe) -> bool {
        if self.console.calls_for_service(false) {
            pe.kick(SERVICE);
        }
        self.service.is_wanted() || self.fleet.is_over()
    }
}
