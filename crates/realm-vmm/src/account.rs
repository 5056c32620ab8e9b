//! What is known of a run: of each vCPU, of memory, and how it ended.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use realm_host::ledger::RealmId;
use realm_host::realm::{Entry, Geometry};
use realm_host::units::GRANULE;
use realm_host::{Ipa, PageSupply, SmcTransport};
use spin::Mutex;

use crate::config::Config;
use crate::console::Console;
use crate::machine::RealmMachine;
use crate::report::{Event, GranuleReport, LONGEST_ERROR, Outcome, RecReport, Report};
use crate::text::bounded;

/// Bytes that a quotation of a realm takes as JSON.
const LONGEST_QUOTE: usize = 256;

/// What the machine keeps of a vCPU besides its place in the schedule.
#[derive(Debug, Default)]
pub(crate) struct Vcpu {
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
pub(crate) struct End {
    outcome: Outcome,
    /// At most [`LONGEST_ERROR`] bytes as JSON.
    error: Option<String>,
}

impl End {
    /// An end with a reason, which may quote the realm.
    pub(crate) fn new(outcome: Outcome, error: Option<String>) -> Self {
        let error = error.map(|error| bounded(&error, LONGEST_ERROR));
        Self { outcome, error }
    }
}

/// What a realm has printed, in quotes, with control characters escaped, and not much of it.
pub(crate) fn quoted(line: &str) -> String {
    format!("{:?}", bounded(line, LONGEST_QUOTE))
}

impl<T: SmcTransport, M: PageSupply, C: Console> RealmMachine<'_, T, M, C> {
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
                text += &format!(" (last line {})", quoted(&counts.last_line));
            }
        }
        text
    }

    /// Prints what a vCPU has printed of its line so far.
    pub(crate) fn finish_line(&self, vcpu: usize) {
        if let Some(text) = self.devices.finish_line(vcpu) {
            self.print(vcpu, text);
        }
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

    /// How the run ended, and why if badly; `None` as long as it goes on.
    pub fn end(&self) -> Option<(Outcome, Option<String>)> {
        let end = self.end.lock();
        end.as_ref().map(|end| (end.outcome, end.error.clone()))
    }

    /// How long vCPUs have run, in ticks of the counter.
    pub fn ran(&self) -> u64 {
        self.ran.load(Ordering::Relaxed)
    }

    /// The number under which the granules of the realm are in the host's ledger, as long as there are any.
    pub fn realm_id(&self) -> RealmId {
        self.id
    }

    /// Calls `f` with first address, last address plus one, and table entry of each part of RAM, in ascending order from `from` on, as long
    /// as it returns true. What changes meanwhile may be seen or not. Each part takes a call of the monitor, and a realm decides how
    /// many parts there are.
    pub fn for_each_entry(&self, from: u64, mut f: impl FnMut(u64, u64, &Entry) -> bool) {
        let Some(realm) = self.realm.lock().clone() else {
            return;
        };
        let (base, top) = (Config::RAM_BASE, Config::RAM_BASE + self.memory);
        let mut ipa = from.max(base) & !(GRANULE - 1);
        while ipa < top {
            let Ok(entry) = realm.entry(Ipa::new(ipa)) else {
                return;
            };
            let size = Geometry::entry_size(entry.level);
            let end = ((ipa & !(size - 1)) + size).min(top);
            if !f(ipa, end, &entry) {
                return;
            }
            ipa = end;
        }
    }

    /// What the host expects the realm's initial measurement to be, in hexadecimal.
    pub fn rim(&self) -> &str {
        &self.rim
    }

    /// Something failed after the end: it matters unless something else did before.
    pub(crate) fn fail_later(&self, error: String) {
        let mut end = self.end.lock();
        if !end.as_ref().is_some_and(|end| end.outcome != Outcome::Ok) {
            *end = Some(End::new(Outcome::Error, Some(error)));
        }
    }

    /// What each REC has done.
    pub fn recs(&self) -> Vec<RecReport> {
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
        recs.collect()
    }

    /// What is known of the run so far. Its end is an error as long as it has none.
    pub fn report(&self, granules: GranuleReport) -> Report {
        let end = self.end.lock().clone();
        let end = end.unwrap_or(End {
            outcome: Outcome::Error,
            error: Some("the realm never ran".to_string()),
        });
        let token = self.attestation.lock().token();
        Report {
            outcome: end.outcome,
            error: end.error,
            rim: self.rim.clone(),
            token,
            recs: self.recs(),
            granules,
        }
    }
}
