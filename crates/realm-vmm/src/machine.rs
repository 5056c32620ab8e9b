//! The machine: builds a realm, lets all PEs run its vCPUs, and takes it apart.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use cca_abi::GRANULE_SIZE;
use realm_host::realm::{Active, New, Partial};
use realm_host::{
    Error, Host, Ipa, IpaRange, PageSupply, Realm, RealmConfig, SmcTransport, VcpuConfig,
};
use spin::Mutex;

use crate::attest::Attestation;
use crate::config::Config;
use crate::console::Console;
use crate::interrupts::Interrupts;
use crate::pe::HostPe;
use crate::report::{Event, GranuleReport, Outcome, Phase, RecReport, Report};
use crate::schedule::Schedule;
use crate::uart::Line;

/// What the machine keeps of a vCPU besides its place in the schedule.
#[derive(Debug, Default)]
pub(crate) struct Vcpu {
    pub(crate) interrupts: Mutex<Interrupts>,
    pub(crate) line: Mutex<Line>,
    pub(crate) counts: Mutex<Counts>,
}

/// What a vCPU has done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) exits: BTreeMap<&'static str, u64>,
    pub(crate) last_line: String,
}

/// How the run ended.
#[derive(Clone, Debug)]
struct End {
    outcome: Outcome,
    error: Option<String>,
}

/// A realm with everything around it.
///
/// `new` builds it on one PE; then every PE calls [`RealmMachine::run_pe`]; when that has returned, one calls
/// [`RealmMachine::teardown`].
pub struct RealmMachine<'a, T: SmcTransport, M: PageSupply, C: Console> {
    pub(crate) host: &'a Host<T, M>,
    console: &'a C,
    realm: Mutex<Option<Arc<Realm<'a, T, M, Active>>>>,
    rim: String,
    auxiliary: u64,
    pub(crate) memory: u64,
    pub(crate) vcpus: Vec<Vcpu>,
    mpidrs: Vec<u64>,
    pub(crate) schedule: Mutex<Schedule>,
    end: Mutex<Option<End>>,
    pub(crate) attestation: Mutex<Attestation>,
    stopped: AtomicBool,
    started: AtomicBool,
    pub(crate) slice: u64,
    pub(crate) time_limit: Option<u64>,
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
        console: &'a C,
        config: &Config<'_>,
        pe: &mut impl HostPe,
    ) -> Result<Self, Box<Report>> {
        phase(console, Phase::Booted, pe);
        let fail = |error: String| {
            let report = Report {
                outcome: Outcome::Error,
                error: Some(error),
                rim: String::new(),
                token: None,
                challenge: None,
                recs: Vec::new(),
                granules: granules(host),
            };
            console.event(&Event::Report(report.clone()));
            Box::new(report)
        };
        let realm = build(host, config).map_err(fail)?;
        phase(console, Phase::Created, pe);
        let ticks = |parts: u64, per_second: u64| {
            let ticks = u128::from(parts) * u128::from(pe.frequency()) / u128::from(per_second);
            u64::try_from(ticks).unwrap_or(u64::MAX)
        };
        let limit = pe
            .counter()
            .saturating_add(ticks(config.time_limit_ms, 1_000));
        Ok(Self {
            host,
            console,
            rim: realm.rim().to_string(),
            auxiliary: realm.auxiliary_granules() as u64,
            memory: config.memory,
            vcpus: (0..config.vcpus).map(|_| Vcpu::default()).collect(),
            mpidrs: realm.vcpus().map(VcpuConfig::mpidr).collect(),
            schedule: Mutex::new(Schedule::new(config.vcpus)),
            end: Mutex::new(None),
            attestation: Mutex::new(Attestation::new(pe.counter())),
            stopped: AtomicBool::new(false),
            started: AtomicBool::new(false),
            slice: ticks(config.slice_us.max(1), 1_000_000).max(1),
            time_limit: (config.time_limit_ms != 0).then_some(limit),
            time_limit_ms: config.time_limit_ms,
            realm: Mutex::new(Some(Arc::new(realm))),
        })
    }

    /// Runs vCPUs on this PE until the realm has stopped.
    pub fn run_pe(&self, pe: &mut impl HostPe) {
        let Some(realm) = self.realm.lock().clone() else {
            return;
        };
        if !self.started.swap(true, Ordering::AcqRel) {
            phase(self.console, Phase::Running, pe);
        }
        while !self.is_stopped() {
            pe.acknowledge_interrupts();
            let now = pe.counter();
            if self.time_limit.is_some_and(|limit| now >= limit) {
                self.stop_for_time(pe);
                break;
            }
            let (next, deadline) = {
                let mut schedule = self.schedule.lock();
                (schedule.next(now), schedule.deadline())
            };
            match next {
                Some(vcpu) => self.run_vcpu(&realm, vcpu, deadline, pe),
                None if !self.is_stopped() => pe.wait(earliest(deadline, self.time_limit)),
                None => {}
            }
        }
        pe.disarm_slice();
    }

    /// Waits until all PEs have left [`RealmMachine::run_pe`], destroys the realm, and says how it all went; the console is told too. A
    /// second call finds no realm and reports what is known.
    pub fn teardown(&self, pe: &mut impl HostPe) -> Report {
        self.stop(
            Outcome::Error,
            Some("the host gave the realm up".to_string()),
            pe,
        );
        if let Some(realm) = self.realm.lock().take() {
            let realm = sole_owner(realm, pe);
            if let Err(error) = destroy(realm) {
                self.fail_later(format!("the realm could not be destroyed: {error}"));
            }
            phase(self.console, Phase::Destroyed, pe);
        }
        for (index, vcpu) in self.vcpus.iter().enumerate() {
            if let Some(text) = vcpu.line.lock().finish() {
                self.print(index, text);
            }
        }
        let granules = granules(self.host);
        if granules.returned != granules.delegated {
            self.fail_later(format!(
                "{} granules did not come back from the monitor, {} of them in quarantine",
                granules.delegated - granules.returned,
                granules.quarantined
            ));
        }
        let report = self.report(granules);
        self.console.event(&Event::Report(report.clone()));
        report
    }

    /// Whether the realm has stopped.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Ends the run; who comes first decides how.
    pub(crate) fn stop(&self, outcome: Outcome, error: Option<String>, pe: &mut impl HostPe) {
        {
            let mut end = self.end.lock();
            if end.is_none() {
                *end = Some(End { outcome, error });
            }
        }
        self.stopped.store(true, Ordering::Release);
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

    /// What each vCPU is doing, and what was printed last, in words.
    pub(crate) fn states(&self) -> String {
        let mut text = String::new();
        let schedule = self.schedule.lock();
        for (index, vcpu) in self.vcpus.iter().enumerate() {
            let counts = vcpu.counts.lock();
            let state = schedule.state(index).name();
            let separator = if index == 0 { "" } else { ", " };
            text += &format!(
                "{separator}vCPU {index} is {state} after {} entries",
                counts.entries
            );
            if !counts.last_line.is_empty() {
                text += &format!(" (last line {:?})", counts.last_line);
            }
        }
        text
    }

    /// A line that a vCPU printed.
    pub(crate) fn print(&self, vcpu: usize, text: String) {
        self.console.event(&Event::Console {
            vcpu,
            text: text.as_str().into(),
        });
        if let Some(vcpu) = self.vcpus.get(vcpu) {
            vcpu.counts.lock().last_line = text;
        }
    }

    /// What the host expects the realm's initial measurement to be, in hexadecimal.
    pub fn rim(&self) -> &str {
        &self.rim
    }

    /// Something failed after the end: it matters unless something else did before.
    fn fail_later(&self, error: String) {
        let mut end = self.end.lock();
        if !end.as_ref().is_some_and(|end| end.outcome != Outcome::Ok) {
            *end = Some(End {
                outcome: Outcome::Error,
                error: Some(error),
            });
        }
    }

    fn report(&self, granules: GranuleReport) -> Report {
        let end = self.end.lock().clone();
        let end = end.unwrap_or(End {
            outcome: Outcome::Error,
            error: Some("the realm never ran".to_string()),
        });
        let schedule = self.schedule.lock();
        let recs =
            self.vcpus
                .iter()
                .zip(&self.mpidrs)
                .enumerate()
                .map(|(index, (vcpu, &mpidr))| {
                    let counts = vcpu.counts.lock();
                    RecReport {
                        index,
                        mpidr,
                        state: schedule.state(index).name().to_string(),
                        aux_granules: self.auxiliary,
                        entries: counts.entries,
                        exits: counts
                            .exits
                            .iter()
                            .map(|(name, &count)| (name.to_string(), count))
                            .collect(),
                    }
                });
        let (token, challenge) = self.attestation.lock().report();
        Report {
            outcome: end.outcome,
            error: end.error,
            rim: self.rim.clone(),
            token,
            challenge,
            recs: recs.collect(),
            granules,
        }
    }
}

/// Builds the realm that the configuration describes.
fn build<'h, T: SmcTransport, M: PageSupply>(
    host: &'h Host<T, M>,
    config: &Config<'_>,
) -> Result<Realm<'h, T, M, Active>, String> {
    let ram = check(config)?;
    let mut realm = host
        .create_realm(realm_config(config)?)
        .map_err(|error| format!("cannot create the realm: {error}"))?;
    let at = |what, partial: Partial| {
        format!("cannot {what} at {:?}: {}", partial.reached, partial.error)
    };
    realm
        .init_ripas(ram)
        .map_err(|partial| at("make RAM", partial))?;
    for segment in config.segments {
        realm
            .populate(Ipa::new(segment.ipa), segment.bytes, true)
            .map_err(|partial| at("load the image", partial))?;
    }
    add_vcpus(&mut realm, config).map_err(|error| format!("cannot add vCPUs: {error}"))?;
    realm
        .activate()
        .map_err(|failed| format!("cannot activate the realm: {}", failed.error))
}

/// The properties of the realm.
///
/// # Errors
///
/// What is wrong with its vector length.
pub(crate) fn realm_config(config: &Config<'_>) -> Result<RealmConfig, String> {
    let sve_vl = match config.sve_bits {
        0 => None,
        bits if bits.is_multiple_of(128) && bits <= 2048 => Some((bits / 128 - 1) as u8),
        bits => {
            return Err(format!(
                "{bits} bits are no vector length: SVE has multiples of 128 up to 2048"
            ));
        }
    };
    Ok(RealmConfig {
        ipa_bits: Config::IPA_BITS as u8,
        sve_vl,
        ..RealmConfig::default()
    })
}

/// The realm's RAM.
///
/// # Errors
///
/// What is wrong with the configuration.
pub(crate) fn check(config: &Config<'_>) -> Result<IpaRange, String> {
    if config.vcpus == 0 {
        return Err("a realm needs at least one vCPU".to_string());
    }
    let ram = ram(config.memory)
        .ok_or_else(|| format!("{} bytes are no size for a realm's memory", config.memory))?;
    if config
        .segments
        .iter()
        .all(|segment| segment.bytes.is_empty())
    {
        return Err("the realm's image is empty".to_string());
    }
    let mut free = ram.base().get();
    for segment in config.segments {
        let (ipa, size) = (segment.ipa, segment.bytes.len());
        if !ipa.is_multiple_of(GRANULE_SIZE) || ipa < free {
            return Err(format!(
                "an image of {size} bytes cannot be at {ipa:#x}: it is no page, or not free"
            ));
        }
        free = segment
            .end()
            .filter(|&end| end <= ram.top().get())
            .ok_or_else(|| {
                format!(
                    "an image of {size} bytes at {ipa:#x} does not fit into {} bytes of RAM",
                    config.memory
                )
            })?;
    }
    Ok(ram)
}

fn ram(memory: u64) -> Option<IpaRange> {
    let top = Config::RAM_BASE
        .checked_add(memory)
        .filter(|&top| top <= 1 << (Config::IPA_BITS - 1))?;
    IpaRange::new(Ipa::new(Config::RAM_BASE), Ipa::new(top))
}

/// Adds the vCPUs, in an order that has nothing to do with their indices: `realm-host` creates their RECs in the right one.
fn add_vcpus<T: SmcTransport, M: PageSupply>(
    realm: &mut Realm<'_, T, M, New>,
    config: &Config<'_>,
) -> Result<(), Error> {
    shuffled(config.vcpus as u64)
        .into_iter()
        .try_for_each(|index| {
            realm.add_vcpu(if index == 0 {
                first_vcpu(config)
            } else {
                VcpuConfig::secondary(index)
            })
        })
}

/// The vCPU that runs from the start.
pub(crate) fn first_vcpu(config: &Config<'_>) -> VcpuConfig {
    VcpuConfig {
        index: 0,
        gprs: config.arguments,
        pc: config.entry,
        runnable: true,
    }
}

/// The numbers below `count`, shuffled, the same way each time.
fn shuffled(count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).rev().collect();
    let mut state = count;
    for last in (1..order.len()).rev() {
        // The multiplier of Knuth's MMIX; its upper bits are good enough for this.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        order.swap(last, (state >> 33) as usize % (last + 1));
    }
    order
}

/// Waits until nobody else uses the realm.
fn sole_owner<R>(mut shared: Arc<R>, pe: &mut impl HostPe) -> R {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(realm) => return realm,
            Err(still_shared) => shared = still_shared,
        }
        pe.acknowledge_interrupts();
        pe.kick_others();
        let soon = pe.counter() + pe.frequency() / 1000;
        pe.wait(Some(soon));
    }
}

/// Destroys a realm; what fails is tried a second time.
fn destroy<T: SmcTransport, M: PageSupply>(realm: Realm<'_, T, M, Active>) -> Result<(), Error> {
    match realm.destroy() {
        Ok(()) => Ok(()),
        Err(failed) => failed.realm.destroy().map_err(|failed| failed.error),
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

fn phase(console: &impl Console, name: Phase, pe: &impl HostPe) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vcpus_are_added_out_of_order_and_none_is_forgotten() {
        for count in [2, 4, 8, 64] {
            let mut order = shuffled(count);
            assert!(!order.is_sorted(), "{count} vCPUs: {order:?}");
            order.sort_unstable();
            assert!(order.into_iter().eq(0..count));
        }
    }
}
