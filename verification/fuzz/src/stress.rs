//! Threads that create, run and destroy realms at once, on the same monitors and on the same granules.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, HostPe, Machine, Supply, Transport};
use realm_host::rec::{Decision, Entry, Exit};
use realm_host::{Host, Ipa, IpaRange, RealmConfig, SmcTransport, VcpuConfig};

use crate::script::{CODE, MEMORY, UNPROTECTED};

/// What the threads have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Realms that were created.
    pub realms: u64,
    /// Calls of the host.
    pub calls: u64,
    /// Exits of RECs.
    pub exits: u64,
}

impl Work {
    /// Adds what somebody else has done.
    pub fn add(&mut self, other: Self) {
        self.realms += other.realms;
        self.calls += other.calls;
        self.exits += other.exits;
    }
}

/// Until when the threads work.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Each of them has had so many rounds: for a builder, realms.
    Rounds(u64),
    /// So much time has passed.
    Time(Duration),
}

impl Until {
    /// From now on. Whether a thread that has had so many rounds is done.
    pub(crate) fn begin(self) -> impl Fn(u64) -> bool + Sync {
        let begin = Instant::now();
        move |rounds| match self {
            Self::Rounds(count) => rounds >= count,
            Self::Time(time) => begin.elapsed() >= time,
        }
    }
}

/// Runs `work` on `threads` threads, with their numbers. If one panics, the machine stops, so that nobody waits for a
/// lock that it holds.
///
/// # Panics
///
/// If one of them does.
pub(crate) fn together(machine: &Machine, threads: usize, work: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        for n in 0..threads {
            let work = &work;
            scope.spawn(move || {
                let outcome = catch_unwind(AssertUnwindSafe(|| work(n)));
                if let Err(cause) = outcome {
                    machine.stop("one of the threads has panicked".to_owned());
                    resume_unwind(cause);
                }
            });
        }
    });
}

/// A transport that counts.
struct Counting<'c> {
    transport: Transport,
    calls: &'c AtomicU64,
}

impl SmcTransport for Counting<'_> {
    fn smc(&self, registers: &mut Registers) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.transport.smc(registers);
    }
}

/// Lets `builders` threads build realms, and one disturb them, each on a PE of its own.
///
/// # Panics
///
/// If anything does, or anything is left behind.
#[must_use]
pub fn run(builders: usize, until: Until) -> Work {
    let machine = Machine::new(Config {
        pes: builders + 1,
        dram_bytes: 256 << 20,
        ..Config::default()
    });
    let before = machine.snapshot();
    let [calls, realms, exits, working] = [0, 0, 0, builders as u64].map(AtomicU64::new);
    let transport = Counting {
        transport: machine.transport(),
        calls: &calls,
    };
    let host = machine
        .host_pe(0)
        .run(|| Host::new(transport, machine.supply()).expect("a monitor"));
    machine.install(CODE, Arc::new(program));
    let over = until.begin();
    together(&machine, builders + 1, |n| {
        let pe = machine.host_pe(n);
        if n == builders {
            let mut state = 0x2545_F491_4F6C_DD1D;
            while working.load(Ordering::Acquire) != 0 {
                disturb(&pe, &mut state);
                calls.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let _done = Done(&working);
        let mut done = 0;
        while !over(done) {
            exits.fetch_add(one_realm(&host, &pe, done), Ordering::Relaxed);
            realms.fetch_add(1, Ordering::Relaxed);
            done += 1;
        }
    });
    assert_eq!(machine.failure(), None);
    assert_eq!(machine.guest_failures(), [""; 0]);
    let account = host.account();
    assert_eq!(account.delegated, account.returned);
    drop(host);
    assert_eq!(machine.supply().in_use(), 0);
    let left = machine.snapshot().differences(&before);
    assert!(left.is_empty(), "left behind: {left:?}");
    Work {
        realms: realms.into_inner(),
        calls: calls.into_inner(),
        exits: exits.into_inner(),
    }
}

/// Says that a builder has ended, however it has.
struct Done<'a>(&'a AtomicU64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

const SYSTEM_OFF: u64 = 0x8400_0008;

/// Touches memory of both kinds, asks the host for something, and turns itself off.
fn program(guest: &GuestCpu) {
    for page in 0..16 {
        let at = CODE + 0x10_0000 + page * 0x1000;
        guest.store(at, 8, page ^ 0x5A).expect("RAM");
        assert_eq!(guest.load(at, 8).expect("RAM"), page ^ 0x5A);
    }
    // The host emulates, or shares a page.
    let _ = guest.load(UNPROTECTED | CODE, 4);
    let mut call = Registers::default();
    call.0[0] = SYSTEM_OFF;
    guest.call(&mut call);
}

/// One realm from its creation to its end; how often its REC was entered.
fn one_realm(host: &Host<Counting<'_>, &Supply>, pe: &HostPe, round: u64) -> u64 {
    pe.run(|| {
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let ram = IpaRange::new(Ipa::new(CODE), Ipa::new(CODE + MEMORY)).expect("a range");
        realm.init_ripas(ram).expect("RAM");
        realm
            .populate(Ipa::new(CODE), b"a program", round.is_multiple_of(2))
            .expect("an image");
        let vcpu = VcpuConfig {
            index: 0,
            gprs: [0; 8],
            pc: CODE,
            runnable: true,
        };
        realm.add_vcpu(vcpu).expect("a vCPU");
        let realm = realm.activate().expect("active");
        let mut entries = 0;
        // Now and then a realm is destroyed before it has come to its end.
        let patience = if round % 5 == 4 { 7 } else { 1000 };
        while !realm.is_off() && entries < patience {
            let mut session = realm.rec(0).expect("a REC");
            entries += 1;
            let entry = Entry {
                trap_wfi: true,
                ..Entry::default()
            };
            match session.enter(&entry).expect("an exit").exit {
                Exit::Interrupt | Exit::Wait(_) => {}
                Exit::Abort(abort) => {
                    let _ = abort.back().expect("memory");
                }
                Exit::Mmio(mmio) if round.is_multiple_of(3) => {
                    mmio.share().expect("memory to share");
                }
                Exit::Mmio(mmio) => mmio.complete(7),
                Exit::Psci(call) => {
                    let _ = call.complete(Decision::Accept).expect("completed");
                }
                other => panic!("{}", other.name()),
            }
        }
        if let Err(failed) = realm.destroy() {
            panic!("the realm is not destroyed: {}", failed.error);
        }
        entries
    })
}

/// A command about somebody else's granule that must not do any harm: it fails, or it only looks.
fn disturb(pe: &HostPe, state: &mut u64) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    // The library takes memory from the bottom; these are its granules.
    let granule = |n: u64| 0x4192_0000 + ((n % 256) << 12);
    let (a, b) = (granule(*state >> 8), granule(*state >> 24));
    let ipa = CODE + (*state >> 40 & 0xFF) * 0x1000;
    let (command, arguments) = match *state % 6 {
        0 => (Command::RttReadEntry, vec![a, ipa, 3]),
        1 => (Command::RecAuxCount, vec![a]),
        // No such flags, no such level, no such status.
        2 => (Command::DataCreate, vec![a, b, ipa, b, 2]),
        3 => (Command::RttCreate, vec![a, b, ipa, 7]),
        4 => (Command::PsciComplete, vec![a, b, 77]),
        _ => (Command::RealmActivate, vec![granule(*state >> 8) | 8]),
    };
    let mut registers = Registers::call(command.function_id(), &arguments);
    pe.smc(&mut registers);
}
