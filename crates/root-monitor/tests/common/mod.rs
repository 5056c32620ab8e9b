//! A machine for tests: it counts what it is asked to do.

#![allow(dead_code, reason = "each test file uses a part")]

use aarch64_formats::gpt::{AddressSpace, Gpi, L1_BYTES, L1_ENTRIES, ProtectedSpace};
use cca_abi::smccc::Registers;
use root_monitor::attestation::{Signed, Signing};
use root_monitor::gpt::Gpt;
use root_monitor::memory::Range;
use root_monitor::psci::{ProcessingElement, Start};
use root_monitor::{Action, Platform, PowerUp, RootMonitor, World};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a platform was asked for, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Clean(AddressSpace, u64),
    Invalidate(u64),
    Note,
    Wake(usize),
    Ring,
}

/// A platform that writes down what it is asked for.
#[derive(Debug)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    pub(crate) shared: [AtomicU64; 512],
    /// How often an interrupt comes while a signature is made.
    pub(crate) interruptions: AtomicUsize,
    /// How many signatures were begun.
    pub(crate) begun: AtomicUsize,
    suspended: Mutex<Option<Signing>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            events: Mutex::default(),
            shared: [const { AtomicU64::new(0) }; 512],
            interruptions: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            suspended: Mutex::new(None),
        }
    }
}

impl Recorder {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

impl Platform for Recorder {
    fn clean_to_aliasing_point(&self, alias: AddressSpace, address: u64) {
        self.events
            .lock()
            .unwrap()
            .push(Event::Clean(alias, address));
    }

    fn invalidate_protection(&self, address: u64) {
        self.events.lock().unwrap().push(Event::Invalidate(address));
    }

    fn note_delegation(&self) {
        self.events.lock().unwrap().push(Event::Note);
    }

    fn wake(&self, pe: usize) {
        self.events.lock().unwrap().push(Event::Wake(pe));
    }

    fn ring(&self) {
        self.events.lock().unwrap().push(Event::Ring);
    }

    fn shared_buffer(&self) -> &[AtomicU64; 512] {
        &self.shared
    }

    fn start_signing(&self, signing: Signing) -> Option<Signed> {
        self.begun.fetch_add(1, Relaxed);
        *self.suspended.lock().unwrap() = Some(signing);
        self.resume_signing()
    }

    fn resume_signing(&self) -> Option<Signed> {
        let one_less = |left: usize| left.checked_sub(1);
        if self
            .interruptions
            .fetch_update(Relaxed, Relaxed, one_less)
            .is_ok()
        {
            return None;
        }
        let signing = self.suspended.lock().unwrap().take();
        Some(signing.expect("something is suspended").sign())
    }
}

pub(crate) const SPACE: ProtectedSpace = ProtectedSpace::GIB_4;
pub(crate) const L1_ADDRESS: u64 = 8 * L1_BYTES;
/// Root memory, in the first GiB.
pub(crate) const ROOT: Range = Range::between(0x0E00_0000, 0x0F00_0000);
/// Non-secure memory.
pub(crate) const DRAM: Range = Range::between(0x4000_0000, 0x6000_0000);
/// The RMM's memory, inside of it.
pub(crate) const RMM: Range = Range::between(0x4010_0000, 0x4190_0000);
pub(crate) const SHARED: u64 = 0x418F_F000;
pub(crate) const PAYLOAD: Start = Start {
    entry: 0x5000_0000,
    argument: 0x4000_0000,
};

pub(crate) fn words(count: usize) -> &'static [AtomicU64] {
    (0..count)
        .map(|_| AtomicU64::new(0))
        .collect::<Vec<_>>()
        .leak()
}

/// A table without any range.
pub(crate) fn empty_gpt(tables: usize) -> Gpt<'static> {
    Gpt::new(
        SPACE,
        words(SPACE.l0_entries()),
        words(tables * L1_ENTRIES),
        L1_ADDRESS,
    )
    .unwrap()
}

/// The table of the machine above.
pub(crate) fn gpt() -> Gpt<'static> {
    let gpt = empty_gpt(2);
    gpt.protect(ROOT, Gpi::Root).unwrap();
    gpt.protect(DRAM, Gpi::NonSecure).unwrap();
    gpt.protect(RMM, Gpi::Realm).unwrap();
    gpt
}

/// A monitor for `pes` PEs, sixteen to a cluster, at the point at which the primary PE is about to be started.
pub(crate) fn cold(pes: usize, shared: Option<u64>) -> RootMonitor<'static, Recorder> {
    let pes: Vec<_> = (0..pes as u64)
        .map(|n| ProcessingElement::new(((n / 16) << 8) | (n % 16)))
        .collect();
    RootMonitor::new(Recorder::default(), gpt(), pes.leak(), 0, PAYLOAD, shared).unwrap()
}

/// The same after the RMM has booted on the primary PE.
pub(crate) fn booted(pes: usize) -> RootMonitor<'static, Recorder> {
    let monitor = cold(pes, Some(SHARED));
    assert!(matches!(monitor.power_up(0), PowerUp::BootRmm(_)));
    assert_eq!(
        realm(&monitor, 0, 0xC400_01CF, &[0]).0,
        Action::StartNormalWorld(PAYLOAD)
    );
    monitor
}

/// An SMC of the normal world.
pub(crate) fn normal(
    monitor: &RootMonitor<'_, Recorder>,
    pe: usize,
    fid: u32,
    arguments: &[u64],
) -> (Action, Registers) {
    call(monitor, pe, World::NonSecure, fid, arguments)
}

/// An SMC of the RMM.
pub(crate) fn realm(
    monitor: &RootMonitor<'_, Recorder>,
    pe: usize,
    fid: u32,
    arguments: &[u64],
) -> (Action, Registers) {
    call(monitor, pe, World::Realm, fid, arguments)
}

fn call(
    monitor: &RootMonitor<'_, Recorder>,
    pe: usize,
    world: World,
    fid: u32,
    arguments: &[u64],
) -> (Action, Registers) {
    // Registers that no argument names hold something recognisable.
    let mut registers = Registers(std::array::from_fn(|n| 0xA5A5_0000 + n as u64));
    registers.0[0] = u64::from(fid);
    registers.0[1..=arguments.len()].copy_from_slice(arguments);
    let before = registers;
    let action = monitor.smc(pe, world, &mut registers);
    if action == Action::Return {
        assert_eq!(
            registers.0[5..],
            before.0[5..],
            "registers that carry no result are preserved"
        );
    }
    (action, registers)
}

/// X0 of an SMC that returns.
pub(crate) fn status((action, registers): (Action, Registers)) -> i64 {
    assert_eq!(action, Action::Return);
    registers.0[0].cast_signed()
}
