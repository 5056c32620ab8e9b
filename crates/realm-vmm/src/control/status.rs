//! What the host tells of its realms.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cca_abi::rmi::{EntryState, Ripas};
use realm_host::ledger::{Purpose, RealmId};
use realm_host::{Host, PageSupply, SmcTransport};

use super::bounds::{ENTRIES, LISTED_ERROR, REGIONS};
use super::message::{Details, DeviceFault, Region, Status};
use super::server::Entry;
use crate::machine::RealmMachine;
use crate::pe::HostPe;
use crate::report::GranuleReport;
use crate::text::bounded;

/// How many granules each realm has, by what they are for.
pub(super) type Granules = BTreeMap<RealmId, BTreeMap<&'static str, u64>>;

/// Counts all granules that the monitor has.
pub(super) fn granules<T: SmcTransport, M: PageSupply>(host: &Host<T, M>) -> Granules {
    let mut granules = Granules::new();
    host.for_each_delegated(|_, purpose, realm| {
        *granules
            .entry(realm)
            .or_default()
            .entry(name(purpose))
            .or_default() += 1;
    });
    granules
}

/// The account of all realms that there are and were.
pub(super) fn account<T: SmcTransport, M: PageSupply>(host: &Host<T, M>) -> GranuleReport {
    let account = host.account();
    GranuleReport {
        delegated: account.delegated,
        returned: account.returned,
        quarantined: account.quarantined,
    }
}

pub(super) fn status<T: SmcTransport, M: PageSupply>(
    realm: u32,
    entry: &Entry<'_, T, M>,
    granules: &Granules,
    pe: &impl HostPe,
) -> Status {
    let now = pe.counter();
    let microseconds = |ticks: u64| {
        let microseconds = u128::from(ticks) * 1_000_000 / u128::from(pe.frequency().max(1));
        u64::try_from(microseconds).unwrap_or(u64::MAX)
    };
    let mut status = Status {
        realm,
        name: entry.name.clone(),
        state: entry.state(),
        vcpus: entry.spec.vcpus,
        memory: entry.spec.memory,
        age_us: entry
            .started
            .map_or(0, |started| microseconds(now.saturating_sub(started))),
        run_us: 0,
        entries: 0,
        exits: BTreeMap::new(),
        granules: BTreeMap::new(),
        outcome: None,
        error: None,
    };
    let Some(machine) = entry.machine() else {
        return status;
    };
    status.run_us = microseconds(machine.ran());
    for rec in machine.recs() {
        status.entries += rec.entries;
        for (reason, count) in rec.exits {
            *status.exits.entry(reason).or_default() += count;
        }
    }
    if let Some(own) = granules.get(&machine.realm_id()) {
        let named = own.iter().map(|(&name, &count)| (name.to_string(), count));
        status.granules = named.collect();
    }
    if let Some((outcome, error)) = machine.end() {
        status.outcome = Some(outcome);
        status.error = error;
    }
    status
}

/// As much as a list says of a realm.
pub(super) fn listed(status: Status) -> Status {
    let error = status.error.map(|error| bounded(&error, LISTED_ERROR));
    Status { error, ..status }
}

pub(super) fn details<T: SmcTransport, M: PageSupply>(
    realm: u32,
    entry: &Entry<'_, T, M>,
    granules: &Granules,
    from: u64,
    pe: &impl HostPe,
) -> Details {
    let mut details = Details {
        status: status(realm, entry, granules, pe),
        spec: entry.spec.clone(),
        rim: String::new(),
        recs: Vec::new(),
        map: Vec::new(),
        rest: None,
        faults: Vec::new(),
        token: None,
    };
    if let Some(machine) = entry.machine() {
        let report = machine.report(GranuleReport::default());
        details.rim = report.rim;
        details.recs = report.recs;
        details.token = report.token;
        (details.map, details.rest) = map(machine, from);
        let faults = machine.driver_faults();
        details.faults = faults
            .map(|(slot, fault)| DeviceFault {
                device: slot as u32,
                fault: fault.what,
                stopped: fault.is_stopped,
            })
            .collect();
    }
    details
}

/// A realm's RAM from an address on, as the monitor's tables have it, and where the rest of it starts. A realm decides how many regions and
/// entries there are, so there is an end to both.
fn map<T: SmcTransport, M: PageSupply, C: crate::Console>(
    machine: &RealmMachine<'_, T, M, C>,
    from: u64,
) -> (Vec<Region>, Option<u64>) {
    let mut regions: Vec<Region> = Vec::new();
    let (mut entries, mut rest) = (0, None);
    machine.for_each_entry(from, |base, top, entry| {
        let ripas = match entry.ripas {
            Ripas::Empty => "empty",
            Ripas::Ram => "ram",
            Ripas::Destroyed => "destroyed",
        };
        let present = if entry.state == EntryState::Assigned {
            top - base
        } else {
            0
        };
        let is_over = entries == ENTRIES;
        let is_full = regions.len() == REGIONS;
        entries += 1;
        match regions.last_mut() {
            Some(last) if last.top == base && last.ripas == ripas && !is_over => {
                last.top = top;
                last.present += present;
            }
            _ if is_over || is_full => rest = Some(base),
            _ => regions.push(Region {
                base,
                top,
                ripas: ripas.to_string(),
                present,
            }),
        }
        rest.is_none()
    });
    (regions, rest)
}

pub(super) const fn name(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::RealmDescriptor => "realm-descriptor",
        Purpose::RootTable => "root-table",
        Purpose::Table => "table",
        Purpose::Data => "data",
        Purpose::Rec => "rec",
        Purpose::RecAuxiliary => "rec-auxiliary",
        Purpose::Parameters => "parameters",
        Purpose::Run => "run",
        Purpose::Shared => "shared",
    }
}
