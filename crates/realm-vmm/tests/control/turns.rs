//! Realms that share one processing element, by instructions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, names};
use machine::{Config, Machine, Time};
use realm_guest::demo::GuestPe;
use realm_vmm::control::message::{Call, Event, Spec};
use realm_vmm::{board, gic, report};

use crate::tool::{ALIAS, RAM, spec, with_host_on};

const SECOND: u64 = RAM + 0x10_0000;
/// Where the second vCPU of the second realm begins.
const OTHER: u64 = SECOND + 0x1000;
const CPU_ON: u64 = 0xC400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;
/// The virtual timer's interrupt.
const TIMER: u32 = 27;
/// Ticks of an instruction, and of a slice: 100 instructions.
const TICKS: u64 = 100_000;
const SLICE: u64 = 100 * TICKS;

fn off(guest: &GuestCpu) {
    let mut call = Registers::default();
    call.0[0] = SYSTEM_OFF;
    guest.call(&mut call);
}

/// Sets this vCPU up to be woken by its virtual timer.
fn listen(guest: &GuestCpu) {
    let index = guest.mpidr() & 0xF;
    let frame = ALIAS | (board::REDISTRIBUTORS + index * gic::REDISTRIBUTOR_SIZE);
    guest.store_device(ALIAS | board::DISTRIBUTOR, 0b10010);
    guest.store_device(frame + 0x14, 0);
    guest.store_device(frame + 0x1_0080, !0);
    guest.store_device(frame + 0x1_0100, 1 << TIMER);
    for (register, value) in [(names::ICC_PMR_EL1, 0xFF), (names::ICC_IGRPEN1_EL1, 1)] {
        guest.write_system(register, value).expect("a register");
    }
}

fn sleep(guest: &GuestCpu, ticks: u64) {
    guest.arm_timer(guest.counter() + ticks);
    let intid = loop {
        guest.wait_for_interrupt();
        if let Some(intid) = guest.acknowledge_interrupt() {
            break intid;
        }
    };
    assert_eq!(intid, TIMER);
    guest.disarm_timer();
    guest.end_of_interrupt(intid);
}

/// Runs two realms, of which the first one is started first, until both have ended. `other` is for a second vCPU of the second one.
fn beside(
    first: impl Fn(&GuestCpu) + Send + Sync + 'static,
    second: impl Fn(&GuestCpu) + Send + Sync + 'static,
    other: impl Fn(&GuestCpu) + Send + Sync + 'static,
) {
    let config = Config {
        pes: 1,
        dram_bytes: 64 << 20,
        time: Time::Counted { ticks: TICKS },
        ..Config::default()
    };
    let install = |machine: &Machine| {
        machine.install(RAM, Arc::new(first));
        machine.install(SECOND, Arc::new(second));
        machine.install(OTHER, Arc::new(other));
    };
    with_host_on(config, install, |tool| {
        let realms = [RAM, SECOND].map(|entry| {
            let spec = Spec {
                entry,
                time_limit_ms: 0,
                ..spec(2)
            };
            let realm = tool.create("one of two", spec);
            tool.contents(realm, entry, &[7; 5000]);
            tool.activate(realm);
            realm
        });
        for realm in realms {
            tool.done(Call::Start { realm });
        }
        for _ in realms {
            match tool.event() {
                Event::Stopped { outcome, .. } => {
                    assert_eq!(outcome, report::Outcome::Ok);
                }
                other => panic!("{other:?}"),
            }
        }
        tool.done(Call::Shutdown);
    });
}

/// Counts what it runs in `ran` until something is in `told`.
fn run_until_told(guest: &GuestCpu, ran: &AtomicU64, told: &AtomicU64) {
    while told.load(Ordering::SeqCst) == u64::MAX {
        guest.read(RAM);
        ran.fetch_add(1, Ordering::SeqCst);
    }
    off(guest);
}

#[test]
fn who_sleeps_while_another_runs_alone_does_not_keep_it_off_its_pe_afterwards() {
    const ALONE: u64 = 300 * SLICE;
    /// Instructions that the late one takes, 50 slices.
    const MINE: u64 = 5_000;
    /// What the first one has run, and how much of it while the late one did.
    static RAN: AtomicU64 = AtomicU64::new(0);
    static MEANWHILE: AtomicU64 = AtomicU64::new(u64::MAX);
    beside(
        |guest| {
            run_until_told(guest, &RAN, &MEANWHILE);
        },
        |guest| {
            listen(guest);
            sleep(guest, ALONE);
            let before = RAN.load(Ordering::SeqCst);
            (0..MINE).for_each(|_| {
                guest.read(SECOND);
            });
            MEANWHILE.store(RAN.load(Ordering::SeqCst) - before, Ordering::SeqCst);
            off(guest);
        },
        |_| {},
    );
    let meanwhile = MEANWHILE.load(Ordering::SeqCst);
    assert!(meanwhile > MINE / 2, "{meanwhile} beside {MINE}");
}

#[test]
fn who_leaves_before_its_slice_is_over_has_used_its_pe_all_the_same() {
    /// Instructions between two waits, less than half a slice, and so many of them.
    const WORK: u64 = 40;
    const WAITS: u64 = 200;
    static RAN: AtomicU64 = AtomicU64::new(0);
    static MEANWHILE: AtomicU64 = AtomicU64::new(u64::MAX);
    fn work_and_sleep(guest: &GuestCpu) {
        (0..WORK).for_each(|_| {
            guest.read(SECOND);
        });
        sleep(guest, TICKS);
    }
    // One vCPU of the second realm waits while the other one works.
    beside(
        |guest| {
            run_until_told(guest, &RAN, &MEANWHILE);
        },
        |guest| {
            listen(guest);
            let mut call = Registers::default();
            call.0[..4].copy_from_slice(&[CPU_ON, 1, OTHER, 0]);
            guest.call(&mut call);
            assert_eq!(call.0[0], 0);
            let before = RAN.load(Ordering::SeqCst);
            (0..WAITS).for_each(|_| work_and_sleep(guest));
            MEANWHILE.store(RAN.load(Ordering::SeqCst) - before, Ordering::SeqCst);
            off(guest);
        },
        |guest| {
            listen(guest);
            loop {
                work_and_sleep(guest);
            }
        },
    );
    let meanwhile = MEANWHILE.load(Ordering::SeqCst);
    let theirs = 2 * WORK * WAITS;
    assert!(meanwhile > theirs / 2, "{meanwhile} beside {theirs}");
}
