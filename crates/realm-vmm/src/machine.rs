//! The machine: builds a realm, and lets all PEs run its vCPUs. `account.rs` says what is known of it, `teardown.rs` takes it apart.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cca_abi::rmi::Ripas;
use realm_host::ledger::RealmId;
use realm_host::realm::Active;
use realm_host::{Host, Ipa, PageSupply, Realm, SmcTransport, VcpuConfig};
use spin::Mutex;

use crate::account::{End, Vcpu};
use crate::attest::Attestation;
use crate::build::build;
use crate::bus::{DriverFault, MmioDevice};
use crate::config::Config;
use crate::console::Console;
use crate::devices::{Devices, Printer};
use crate::gic::Targets;
use crate::idle::Idle;
use crate::memory::RealmMemory;
use crate::neighbours::{Alone, Neighbours};
use crate::pe::HostPe;
use crate::report::{Event, GranuleReport, Outcome, Phase, Report};
use crate::schedule::Schedule;
use crate::teardown::Teardown;

/// A realm with everything around it.
///
/// `new` builds it on one PE; then every PE calls [`RealmMachine::run_pe`]; when that has returned, one calls
/// [`RealmMachine::teardown`].
pub struct RealmMachine<'a, T: SmcTransport, M: PageSupply, C: Console> {
    pub(crate) host: &'a Host<T, M>,
    pub(crate) console: C,
    pub(crate) id: RealmId,
    pub(crate) realm: Mutex<Option<Arc<Realm<'a, T, M, Active>>>>,
    pub(crate) teardown: Mutex<Teardown<'a, T, M>>,
    pub(crate) rim: String,
    pub(crate) auxiliary: u64,
    pub(crate) memory: u64,
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) devices: Devices,
    pub(crate) mpidrs: Vec<u64>,
    pub(crate) schedule: Mutex<Schedule>,
    /// The PEs that may run its vCPUs and have nothing to do.
    pub(crate) idle: Arc<Idle>,
    pub(crate) end: Mutex<Option<End>>,
    pub(crate) attestation: Mutex<Attestation>,
    stopped: AtomicBool,
    paused: AtomicBool,
    /// When the first vCPU ran, 0 before that.
    started: AtomicU64,
    /// How long vCPUs have run, in ticks.
    pub(crate) ran: AtomicU64,
    /// The vCPUs that wait for memory.
    pub(crate) starved: AtomicU64,
    /// How often memory was added where the realm touched it.
    pub(crate) pages_added: AtomicU64,
    pub(crate) slice: u64,
    /// After how many ticks the run is given up.
    time_limit: Option<u64>,
    time_limit_ms: u64,
}

impl<'a, T: SmcTransport, M: PageSupply, C: Console> RealmMachine<'a, T, M, C> {
    /// Builds the realm and activates it.
    ///
    /// # Errors
    ///
    /// The report of a run that ended before it began: what is wrong with the configuration, or what could not be
    /// done. It has been given to the console as well.
    pub fn new(
        host: &'a Host<T, M>,
        console: C,
        config: &Config<'_>,
        pe: &mut impl HostPe,
    ) -> Result<Self, Box<Report>> {
        phase(&console, Phase::Booted, pe);
        let fail = |error: String| {
            let report = Report {
                outcome: Outcome::Error,
                error: Some(error),
                rim: String::new(),
                token: None,
                recs: Vec::new(),
                granules: granules(host),
            };
            console.event(&Event::Report(report.clone()));
            Box::new(report)
        };
        let realm = build(host, config).map_err(fail)?;
        phase(&console, Phase::Created, pe);
        Ok(Self::with_realm(host, console, realm, config, pe))
    }

    /// A machine for a realm that has been built ([`crate::Assembly`]) as the configuration says.
    pub fn with_realm(
        host: &'a Host<T, M>,
        console: C,
        realm: Realm<'a, T, M, Active>,
        config: &Config<'_>,
        pe: &impl HostPe,
    ) -> Self {
        let ticks = |parts: u64, per_second: u64| {
            let ticks = u128::from(parts) * u128::from(pe.frequency()) / u128::from(per_second);
            u64::try_from(ticks).unwrap_or(u64::MAX)
        };
        Self {
            host,
            console,
            id: realm.id(),
            teardown: Mutex::default(),
            rim: realm.rim().to_string(),
            auxiliary: realm.auxiliary_granules() as u64,
            memory: config.memory,
            vcpus: (0..config.vcpus).map(|_| Vcpu::default()).collect(),
            devices: Devices::new(config.vcpus, config.lines),
            mpidrs: realm.vcpus().map(VcpuConfig::mpidr).collect(),
            schedule: Mutex::new(Schedule::new(config.vcpus)),
            idle: Arc::default(),
            end: Mutex::new(None),
            attestation: Mutex::new(Attestation::new(config.challenge)),
            stopped: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            started: AtomicU64::new(0),
            ran: AtomicU64::new(0),
            starved: AtomicU64::new(0),
            pages_added: AtomicU64::new(0),
            slice: ticks(config.slice_us.max(1), 1_000_000).max(1),
            time_limit: (config.time_limit_ms != 0).then(|| ticks(config.time_limit_ms, 1_000)),
            time_limit_ms: config.time_limit_ms,
            realm: Mutex::new(Some(Arc::new(realm))),
        }
    }

    /// Puts a device into the realm's next virtio slot, before the realm runs: which slot that is. `None` if there is no room for it.
    pub fn attach(&mut self, device: impl MmioDevice + 'static) -> Option<usize> {
        self.devices.slots.add(device)
    }

    /// Bytes for the realm's PL011. Returns how many it has taken; the rest may be offered again later.
    pub fn input(&self, bytes: &[u8], pe: &mut impl HostPe) -> usize {
        let (taken, targets) = self.devices.input(bytes);
        self.notify(targets, None, pe);
        taken
    }

    /// Something has changed outside of the realm for the device in this slot: input, or room for output.
    pub fn poll(&self, slot: usize, pe: &mut impl HostPe) {
        let Some(realm) = self.realm.lock().clone() else {
            return;
        };
        let targets = self.devices.poll(slot, &self.shared_memory(&realm));
        self.notify(targets, None, pe);
    }

    /// What the drivers of the realm's virtio devices have done wrong last, by slot.
    pub fn driver_faults(&self) -> impl Iterator<Item = (usize, DriverFault)> {
        let slots = &self.devices.slots;
        (0..slots.len()).filter_map(|slot| Some((slot, slots.driver_fault(slot)?)))
    }

    /// The memory that the realm's devices reach.
    pub(crate) fn shared_memory<'r>(
        &self,
        realm: &'r Realm<'a, T, M, Active>,
    ) -> RealmMemory<'r, 'a, T, M> {
        RealmMemory::new(realm, self.ram())
    }

    /// Whether an unprotected address is the alias of RAM that the realm has made EMPTY, so that it means to share it.
    pub(crate) fn is_shared(&self, realm: &Realm<'a, T, M, Active>, ipa: Ipa) -> bool {
        let private = Ipa::new(ipa.get() & !realm.geometry().unprotected_bit());
        let is_ram = self.is_ram(private.get(), private.get().saturating_add(1));
        is_ram
            && realm
                .entry(private)
                .is_ok_and(|entry| entry.ripas == Ripas::Empty)
    }

    /// Whether addresses without the bit of the unprotected alias are all in RAM.
    pub(crate) fn is_ram(&self, base: u64, top: u64) -> bool {
        let ram = self.ram();
        ram.start <= base && base < top && top <= ram.end
    }

    fn ram(&self) -> Range<u64> {
        Config::RAM_BASE..Config::RAM_BASE + self.memory
    }

    /// Interrupts have changed for some vCPUs: they are woken, or called out of the realm so that they come back with them. `here` is the vCPU
    /// that this PE is about to enter again anyway.
    pub(crate) fn notify(&self, targets: Targets, here: Option<usize>, pe: &mut impl HostPe) {
        if targets.is_empty() {
            return;
        }
        for target in targets.iter().filter(|&target| Some(target) != here) {
            let (is_ready, runs_on) = {
                let mut schedule = self.schedule.lock();
                (schedule.wake(target), schedule.pe(target))
            };
            if is_ready {
                self.idle.call(pe);
            } else if let Some(index) = runs_on {
                pe.kick(index);
            }
        }
    }

    /// Runs vCPUs on this PE until the realm has stopped.
    pub fn run_pe(&self, pe: &mut impl HostPe) {
        let Some(realm) = self.realm.lock().clone() else {
            return;
        };
        while !self.is_stopped() {
            pe.acknowledge_interrupts();
            let now = pe.counter();
            if let Some(vcpu) = self.next(now, pe) {
                self.run_vcpu(&realm, vcpu, &Alone, pe);
            } else if !self.is_stopped() {
                self.idle.enter(pe);
                if !self.has_ready(pe.counter()) {
                    pe.wait(self.deadline());
                }
                self.idle.leave(pe);
            }
        }
        pe.disarm_slice();
    }

    /// Takes the next vCPU that is to run, if one can. Ends the run if its time is over.
    pub(crate) fn next(&self, now: u64, pe: &mut impl HostPe) -> Option<usize> {
        if self.is_stopped() || self.is_paused() {
            return None;
        }
        if self
            .started
            .compare_exchange(0, now.max(1), Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            phase(&self.console, Phase::Running, pe);
        }
        if self.time_is_over(now) {
            self.stop_for_time(pe);
            return None;
        }
        self.schedule.lock().next(now, pe.index())
    }

    /// When a vCPU that waits wants to run, or the run's time is over.
    pub(crate) fn deadline(&self) -> Option<u64> {
        if self.is_stopped() || self.is_paused() {
            return None;
        }
        earliest(self.schedule.lock().deadline(), self.time_limit())
    }

    /// When the run is given up.
    pub(crate) fn time_limit(&self) -> Option<u64> {
        let started = self.started.load(Ordering::Acquire);
        let limit = self.time_limit.filter(|_| started != 0)?;
        Some(started.saturating_add(limit))
    }

    pub(crate) fn time_is_over(&self, now: u64) -> bool {
        self.time_limit().is_some_and(|limit| now >= limit)
    }

    /// Runs a vCPU that [`RealmMachine::next`] has given, on a PE that others want too.
    pub(crate) fn run_shared(
        &self,
        vcpu: usize,
        neighbours: &impl Neighbours,
        pe: &mut impl HostPe,
    ) {
        let realm = self.realm.lock().clone();
        if let Some(realm) = realm {
            self.run_vcpu(&realm, vcpu, neighbours, pe);
        }
    }

    /// Whether a vCPU is ready to run.
    pub(crate) fn has_ready(&self, now: u64) -> bool {
        if self.is_stopped() || self.is_paused() {
            return false;
        }
        let schedule = self.schedule.lock();
        schedule.has_ready() || schedule.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Keeps all vCPUs from running, and waits until none does.
    pub fn pause(&self, pe: &mut impl HostPe) {
        self.paused.store(true, Ordering::Release);
        loop {
            let running: Vec<_> = self.schedule.lock().pes().collect();
            if running.is_empty() {
                return;
            }
            running.into_iter().for_each(|index| pe.kick(index));
            pe.acknowledge_interrupts();
            core::hint::spin_loop();
        }
    }

    /// Lets vCPUs run again.
    pub fn resume(&self, pe: &mut impl HostPe) {
        self.paused.store(false, Ordering::Release);
        pe.kick_others();
    }

    /// Whether the vCPUs are kept from running.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Whether a vCPU waits for memory that the host has not got.
    pub fn is_starved(&self) -> bool {
        self.starved.load(Ordering::Relaxed) != 0
    }

    /// Whether the realm has stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the run; who comes first decides how.
    pub fn stop(&self, outcome: Outcome, error: Option<String>, pe: &mut impl HostPe) {
        {
            let mut end = self.end.lock();
            if end.is_none() {
                *end = Some(End::new(outcome, error));
            }
        }
        self.stopped.store(true, Ordering::Release);
        // This PE may be the one that tells the world outside, and about to wait.
        self.console.device_changed();
        pe.kick_others();
    }

    pub(crate) fn stop_for_time(&self, pe: &mut impl HostPe) {
        let error = format!(
            "the realm did not switch itself off within {} ms; {}",
            self.time_limit_ms,
            self.states()
        );
        self.stop(Outcome::Timeout, Some(error), pe);
    }
}

impl<T: SmcTransport, M: PageSupply, C: Console> Printer for RealmMachine<'_, T, M, C> {
    fn bytes(&self, bytes: &[u8]) {
        self.console.output(0, bytes);
    }

    fn line(&self, vcpu: usize, text: String) {
        self.print(vcpu, text);
    }
}

fn granules<T: SmcTransport, M: PageSupply>(host: &Host<T, M>) -> GranuleReport {
    let account = host.account();
    GranuleReport {
        delegated: account.delegated,
        returned: account.returned,
        quarantined: account.quarantined,
    }
}

pub(crate) fn phase(console: &impl Console, name: Phase, pe: &impl HostPe) {
    console.event(&Event::Phase {
        name,
        ticks: pe.counter(),
        frequency: pe.frequency(),
    });
}

/// The earlier of two times, where there may be none.
pub(crate) fn earliest(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}
