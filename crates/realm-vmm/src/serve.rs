//! Running a vCPU for a slice, and serving its exits.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::Ordering;

use aarch64_formats::esr::SystemRegister;
use cca_abi::host_calls;
use realm_host::realm::{Active, Backed};
use realm_host::rec::{
    Decision, EnterError, Exit, HostCall, Left, Mmio, PsciCall, PsciRequest, RecSession,
    RegisterAccess, RipasChange, WaitLimit,
};
use realm_host::{Ipa, PageSupply, Realm, SmcTransport};

use crate::account::quoted;
use crate::board::Place;
use crate::console::Console;
use crate::devices::Access;
use crate::gic::{SgiGroup, SgiRequest, Targets};
use crate::machine::{RealmMachine, earliest};
use crate::neighbours::Neighbours;
use crate::pe::HostPe;
use crate::report::Outcome;
use crate::schedule::Verdict;

/// ICC_SGI1R_EL1.
const SGI1R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 5);
/// ICC_ASGI1R_EL1.
const ASGI1R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 6);
/// ICC_SGI0R_EL1.
const SGI0R: SystemRegister = SystemRegister::new(3, 0, 12, 11, 7);
/// ICC_DIR_EL1.
const DIR: SystemRegister = SystemRegister::new(3, 0, 12, 11, 1);

/// How often in a row a vCPU may fault where memory is present before it is given up.
const SPURIOUS_FAULTS: u32 = 10_000;

/// A vCPU that waits for memory looks for it so many times in a second.
const LOOKS: u64 = 100;

/// How many pages a realm gets one by one, where it touches them. One that uses more than these 2 MiB gets blocks of 2 MiB from then
/// on: it uses much of its memory, and a block saves it up to 511 exits, and the monitor as many table entries. One that uses less does
/// not pay for memory that it never touches.
const PAGES_BEFORE_BLOCKS: u64 = 512;

/// What serving an exit led to.
enum Served {
    /// The vCPU can go on.
    Again,
    /// It leaves its PE.
    Leave(Verdict),
    /// There is no memory for what it wants: it waits, and does the same again.
    Starve,
    /// The run is over.
    Stop(Outcome, Option<String>),
}

impl Served {
    fn guest_failed(error: String) -> Self {
        Self::Stop(Outcome::GuestFailed, Some(error))
    }

    fn error(error: String) -> Self {
        Self::Stop(Outcome::Error, Some(error))
    }

    /// The host could not do what an exit asks for. Want of memory is no reason to end: others may give some back.
    fn failed(error: &realm_host::Error, what: impl FnOnce() -> String) -> Self {
        match error {
            realm_host::Error::OutOfMemory { .. } => Self::Starve,
            error => Self::error(format!("{}: {error}", what())),
        }
    }
}

impl<'a, T: SmcTransport, M: PageSupply, C: Console> RealmMachine<'a, T, M, C> {
    /// Runs a vCPU until its slice is over and others want the PE, it has nothing to do, or the run ends.
    pub(crate) fn run_vcpu(
        &self,
        realm: &Realm<'a, T, M, Active>,
        vcpu: usize,
        neighbours: &impl Neighbours,
        pe: &mut impl HostPe,
    ) {
        let mut counted = pe.counter();
        let verdict = match realm.rec(vcpu) {
            Ok(mut session) => {
                self.run_session(realm, &mut session, vcpu, neighbours, &mut counted, pe)
            }
            Err(error) => {
                self.stop(Outcome::Error, Some(format!("vCPU {vcpu}: {error}")), pe);
                Verdict::Off
            }
        };
        let now = pe.counter();
        self.count_time(&mut counted, now);
        let gic = &self.devices.gic;
        if matches!(verdict, Verdict::Off) {
            gic.turn_off(vcpu);
        }
        let mut schedule = self.schedule.lock();
        // Looked at under the schedule's lock, after which a sender finds the vCPU waiting and wakes it.
        let verdict = match verdict {
            Verdict::Wait(_) if gic.is_pending(vcpu, now) => Verdict::Again,
            Verdict::Wait(limit) => Verdict::Wait(earliest(limit, gic.deadline(vcpu))),
            verdict => verdict,
        };
        schedule.leave(vcpu, verdict);
        if schedule.all_off() {
            drop(schedule);
            let error = "all vCPUs turned themselves off without switching the realm off";
            self.stop(Outcome::GuestFailed, Some(error.into()), pe);
        }
    }

    fn run_session(
        &self,
        realm: &Realm<'a, T, M, Active>,
        session: &mut RecSession<'_, T, M>,
        vcpu: usize,
        neighbours: &impl Neighbours,
        counted: &mut u64,
        pe: &mut impl HostPe,
    ) -> Verdict {
        let start = pe.counter();
        let mut end = self.end_of_slice(start, neighbours);
        pe.arm_slice(end);
        let mut spurious = 0;
        let me = 1 << vcpu;
        if self.starved.load(Ordering::Relaxed) & me != 0 && !realm.has_memory() {
            return self.starve(start, pe);
        }
        loop {
            // Whoever has something to say to this vCPU says it first and kicks then; so does whoever stops the run.
            pe.acknowledge_interrupts();
            let now = pe.counter();
            if self.is_stopped() || self.is_paused() || neighbours.is_urgent(pe) {
                return Verdict::Again;
            }
            if now >= end {
                self.count_time(counted, now);
                if self.time_is_over(now) || self.has_ready(now) || neighbours.want(now, pe) {
                    return Verdict::Again;
                }
                end = self.end_of_slice(now, neighbours);
                pe.arm_slice(end);
            }
            let gic = &self.devices.gic;
            let entry = gic.enter(vcpu, self.host.list_registers(), now);
            let left = match session.enter(&entry) {
                Ok(left) => left,
                Err(error) => {
                    let targets = gic.not_entered(vcpu);
                    self.notify(targets, Some(vcpu), pe);
                    return self.not_entered(vcpu, error, pe);
                }
            };
            let targets = gic.left(vcpu, &left.gic, &left.timers, left.pmu_overflow);
            self.notify(targets, Some(vcpu), pe);
            self.count(vcpu, &left);
            let served = self.serve(realm, vcpu, left, &mut spurious, pe);
            if !matches!(served, Served::Starve) && self.starved.load(Ordering::Relaxed) & me != 0 {
                self.starved.fetch_and(!me, Ordering::Relaxed);
            }
            match served {
                Served::Again => {}
                Served::Starve => {
                    self.starved.fetch_or(me, Ordering::Relaxed);
                    return self.starve(pe.counter(), pe);
                }
                Served::Leave(verdict) => return verdict,
                Served::Stop(outcome, error) => {
                    self.stop(outcome, error, pe);
                    return if outcome == Outcome::Ok {
                        Verdict::Off
                    } else {
                        Verdict::Again
                    };
                }
            }
        }
    }

    /// A vCPU that waits for memory.
    fn starve(&self, now: u64, pe: &impl HostPe) -> Verdict {
        Verdict::Wait(Some(
            now.saturating_add(pe.frequency() / LOOKS).max(now + 1),
        ))
    }

    /// Adds the time since `counted` to that which vCPUs have run.
    fn count_time(&self, counted: &mut u64, now: u64) {
        let ticks = now.saturating_sub(*counted);
        self.ran.fetch_add(ticks, Ordering::Relaxed);
        *counted = now;
    }

    /// When to look whether somebody else wants the PE.
    fn end_of_slice(&self, now: u64, neighbours: &impl Neighbours) -> u64 {
        // One lock after the other: a neighbour's PE may be asking for this realm's meanwhile.
        let own = self.schedule.lock().deadline();
        let waiting = earliest(own, neighbours.deadline());
        let waiting = earliest(waiting, self.time_limit());
        let end = now.saturating_add(self.slice);
        end.min(waiting.unwrap_or(end)).max(now + 1)
    }

    fn count(&self, vcpu: usize, left: &Left<'_, T, M>) {
        let mut counts = self.vcpus[vcpu].counts.lock();
        counts.entries += 1;
        *counts.exits.entry(left.exit.name()).or_default() += 1;
    }

    fn not_entered(&self, vcpu: usize, error: EnterError, pe: &mut impl HostPe) -> Verdict {
        let refused = matches!(error, EnterError::RecOff | EnterError::RecRefused(_));
        let turned_on = vcpu != 0 && self.vcpus[vcpu].counts.lock().exits.contains_key("psci");
        match error {
            // Another vCPU switched the realm off, and is about to say so.
            EnterError::RealmOff => {
                self.stop(Outcome::Ok, None, pe);
                Verdict::Again
            }
            // It turned itself off just after another one found it still on.
            _ if refused && turned_on => Verdict::NotRunnable,
            _ => {
                self.stop(
                    Outcome::Error,
                    Some(format!("vCPU {vcpu} cannot be entered: {error}")),
                    pe,
                );
                Verdict::Again
            }
        }
    }

    fn serve(
        &self,
        realm: &Realm<'a, T, M, Active>,
        vcpu: usize,
        left: Left<'_, T, M>,
        spurious: &mut u32,
        pe: &mut impl HostPe,
    ) -> Served {
        match left.exit {
            Exit::Interrupt => Served::Again,
            Exit::Wait(wait) => Served::Leave(match wait.limit {
                WaitLimit::None => Verdict::Wait(None),
                WaitLimit::Until(deadline) => Verdict::Wait(Some(deadline)),
                WaitLimit::Unknown => Verdict::Again,
            }),
            Exit::Abort(abort) => {
                let ipa = abort.ipa();
                let backed = if self.pages_added.load(Ordering::Relaxed) < PAGES_BEFORE_BLOCKS {
                    abort.back()
                } else {
                    abort.back_block()
                };
                match backed {
                    Ok(Backed::Added) => {
                        self.pages_added.fetch_add(1, Ordering::Relaxed);
                        Served::Again
                    }
                    Ok(Backed::Empty) => Served::Again,
                    Ok(Backed::Present) if *spurious < SPURIOUS_FAULTS => {
                        *spurious += 1;
                        Served::Again
                    }
                    Ok(Backed::Present) => Served::error(format!(
                        "vCPU {vcpu} keeps faulting at {ipa:?}, which is there"
                    )),
                    Ok(Backed::Destroyed) => Served::guest_failed(format!(
                        "vCPU {vcpu} touched destroyed memory at {ipa:?}"
                    )),
                    Err(error) => {
                        Served::failed(&error, || format!("no memory for vCPU {vcpu} at {ipa:?}"))
                    }
                }
            }
            Exit::Mmio(mmio) => self.mmio(realm, vcpu, mmio, pe),
            Exit::UnprotectedAbort(abort) if self.is_shared(realm, abort.ipa()) => {
                let ipa = abort.ipa();
                shared(vcpu, ipa, abort.share())
            }
            Exit::UnprotectedAbort(abort) => {
                abort.abort();
                Served::Again
            }
            Exit::Register(access) => self.register(vcpu, access, pe),
            Exit::Psci(call) => self.psci(vcpu, call, pe),
            Exit::RipasChange(change) => self.ripas_change(vcpu, change),
            Exit::HostCall(call) => self.host_call(realm, vcpu, call),
            Exit::SError { esr } => {
                Served::guest_failed(format!("vCPU {vcpu} took an SError, syndrome {esr:#x}"))
            }
            Exit::Unknown { reason, esr } => Served::error(format!(
                "vCPU {vcpu} left for a reason that nobody knows: {reason}, syndrome {esr:#x}"
            )),
        }
    }

    fn mmio(
        &self,
        realm: &Realm<'a, T, M, Active>,
        vcpu: usize,
        mmio: Mmio<'_, T, M>,
        pe: &mut impl HostPe,
    ) -> Served {
        let ipa = mmio.ipa();
        let address = ipa.get() & !realm.geometry().unprotected_bit();
        if let Some(place) = Place::of(address).filter(|&place| self.devices.has(place)) {
            let data = mmio.data();
            let access = Access {
                vcpu,
                place,
                size: mmio.size(),
                data,
            };
            let memory = self.shared_memory(realm);
            let (value, targets) = self.devices.access(access, &memory, self);
            mmio.complete(value);
            self.notify(targets, Some(vcpu), pe);
            self.device_accessed(place, data.is_some());
            Served::Again
        } else if self.is_shared(realm, ipa) {
            shared(vcpu, ipa, mmio.share())
        } else {
            mmio.abort();
            Served::Again
        }
    }

    /// Tells the world outside what it may be interested in: a device was told of work (written), or input was taken from the PL011 (read).
    fn device_accessed(&self, place: Place, is_write: bool) {
        match place {
            Place::Virtio(..) if is_write => self.console.device_changed(),
            Place::Uart(0) if !is_write => self.console.device_changed(),
            _ => {}
        }
    }

    fn register(&self, vcpu: usize, access: RegisterAccess<'_>, pe: &mut impl HostPe) -> Served {
        let (register, data) = (access.register(), access.data());
        // Reads give zero, and so does what nobody knows: the monitor lets nothing else leave the realm.
        access.complete(0);
        let Some(value) = data else {
            return Served::Again;
        };
        let gic = &self.devices.gic;
        let request = SgiRequest::new(value);
        let targets = match register {
            SGI1R => gic.send(vcpu, SgiGroup::One, request),
            SGI0R | ASGI1R => gic.send(vcpu, SgiGroup::Zero, request),
            DIR => gic.deactivate(vcpu, value),
            _ => Targets::NONE,
        };
        self.notify(targets, Some(vcpu), pe);
        Served::Again
    }

    fn psci(&self, vcpu: usize, call: PsciCall<'_, T, M>, pe: &mut impl HostPe) -> Served {
        let request = call.request();
        match request {
            PsciRequest::CpuOn { .. } | PsciRequest::AffinityInfo { .. } => {
                match call.complete(Decision::Accept) {
                    Ok(Some(completion)) if completion.may_run => {
                        if self.schedule.lock().turn_on(completion.target as usize) {
                            self.idle.call(pe);
                        }
                        Served::Again
                    }
                    Ok(_) => Served::Again,
                    // Nobody can tell this vCPU; the others need not care.
                    Err(realm_host::Error::PsciTarget { .. }) => Served::Leave(Verdict::Off),
                    Err(error) => Served::error(format!(
                        "{request:?} of vCPU {vcpu} cannot be completed: {error}"
                    )),
                }
            }
            PsciRequest::CpuSuspend => Served::Leave(Verdict::Wait(None)),
            PsciRequest::CpuOff => Served::Leave(Verdict::Off),
            PsciRequest::SystemOff | PsciRequest::SystemReset => Served::Stop(Outcome::Ok, None),
            PsciRequest::Unknown { function } => Served::error(format!(
                "vCPU {vcpu} left for PSCI function {function:#x}, which nobody knows"
            )),
        }
    }

    fn ripas_change(&self, vcpu: usize, change: RipasChange<'_, T, M>) -> Served {
        let (base, top) = (change.base(), change.top());
        if !self.is_ram(base.get(), top.get()) {
            change.reject();
            return Served::Again;
        }
        // A piece at a time: the realm asks for the rest after this PE has looked at its interrupts.
        match change.apply_piece() {
            Ok(_) => Served::Again,
            Err((reached, error)) => Served::failed(&error, || {
                format!(
                    "vCPU {vcpu} wants to change [{base:?}, {top:?}), which ended at {reached:?}"
                )
            }),
        }
    }

    fn host_call(
        &self,
        realm: &Realm<'a, T, M, Active>,
        vcpu: usize,
        call: HostCall<'_>,
    ) -> Served {
        let mut gprs = call.gprs();
        let immediate = call.immediate();
        match immediate {
            host_calls::ADD => gprs[0] = gprs[1].wrapping_add(gprs[2]),
            host_calls::SHARED_PAGE => {
                let page = gprs[0];
                let first = realm.read_shared(Ipa::new(page));
                let written =
                    realm.write_shared(Ipa::new(page.wrapping_add(8)), host_calls::HOST_WORD);
                (gprs[0], gprs[1]) = match (first, written) {
                    (Some(first), Some(())) => (first, host_calls::HOST_WORD),
                    _ => (host_calls::REFUSED, host_calls::REFUSED),
                };
            }
            host_calls::MEASUREMENT => {
                let slot = realm.rim();
                let expected = slot
                    .slot()
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&bytes| u64::from_le_bytes(bytes));
                let is_equal = expected.eq(gprs[..8].iter().copied());
                gprs[0] = u64::from(!is_equal);
                if !is_equal {
                    return Served::error(format!(
                        "vCPU {vcpu} reads another measurement than the host expects"
                    ));
                }
            }
            host_calls::CHALLENGE => gprs[..8].copy_from_slice(&self.attestation.lock().ask()),
            host_calls::TOKEN => {
                let taken = self.attestation.lock().take(realm, gprs[0], gprs[1]);
                gprs[0] = if taken.is_some() {
                    0
                } else {
                    host_calls::REFUSED
                };
            }
            host_calls::FAILED => {
                self.finish_line(vcpu);
                let last = quoted(&self.vcpus[vcpu].counts.lock().last_line);
                return Served::guest_failed(format!(
                    "vCPU {vcpu} reports a failure, its last line is {last}"
                ));
            }
            _ => gprs[0] = host_calls::REFUSED,
        }
        call.complete(gprs);
        Served::Again
    }
}

fn shared<G>(vcpu: usize, ipa: Ipa, result: Result<G, realm_host::Error>) -> Served {
    match result {
        Ok(_) => Served::Again,
        Err(error) => Served::failed(&error, || {
            format!("no memory to share with vCPU {vcpu} at {ipa:?}")
        }),
    }
}
