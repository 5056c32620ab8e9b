//! Whether the state of the monitor is that of the model.

use cca_abi::rmi::{Command, rtt_read_entry};
use cca_abi::smccc::Registers;
use machine::{Gpi, HostPe, Snapshot};
use realm_host::SmcTransport;
use realm_monitor::granule::GranuleState;
use realm_monitor::realm::layout as realm_layout;
use realm_monitor::rec::layout as rec_layout;
use spec_model::{Entry, Granule, Model, Realm, Rec, Table, entry_size};

fn state(granule: Granule) -> GranuleState {
    match granule {
        Granule::Delegated => GranuleState::Delegated,
        Granule::Rd => GranuleState::Rd,
        Granule::Rec => GranuleState::Rec,
        Granule::RecAux => GranuleState::RecAux,
        Granule::Rtt => GranuleState::Rtt,
        Granule::Data => GranuleState::Data,
    }
}

/// Granules, VMIDs, measurements, descriptors, and the attributes of RECs.
pub(crate) fn snapshot(model: &Model, now: &Snapshot) -> Result<(), String> {
    let expected: Vec<_> = model
        .granules
        .iter()
        .map(|(pa, granule)| (*pa, state(*granule)))
        .collect();
    let found: Vec<_> = now
        .granules
        .iter()
        .map(|(pa, granule)| (*pa, granule.state))
        .collect();
    if expected != found {
        return Err(format!("granules are {found:x?}, not {expected:x?}"));
    }
    for (pa, granule) in &now.granules {
        if granule.gpi != Gpi::REALM {
            return Err(format!(
                "granule {pa:#x} is not protected: {:?}",
                granule.gpi
            ));
        }
        if granule.state == GranuleState::Delegated && granule.content.is_some() {
            return Err(format!("granule {pa:#x} is delegated and not wiped"));
        }
    }
    let vmids: std::collections::BTreeSet<_> =
        model.realms.values().map(|realm| realm.vmid).collect();
    if now.vmids != vmids {
        return Err(format!("VMIDs {:?}, not {vmids:?}", now.vmids));
    }
    for (rd, realm) in &model.realms {
        check_realm(model, now, *rd, realm)?;
    }
    for (pa, rec) in &model.recs {
        check_rec(now, *pa, rec)?;
    }
    Ok(())
}

const ZERO: &[u64; 512] = &[0; 512];

fn words(now: &Snapshot, pa: u64) -> &[u64; 512] {
    now.granules[&pa].content.as_deref().unwrap_or(ZERO)
}

fn count(now: &Snapshot, pa: u64, expected: usize) -> Result<(), String> {
    let count = now.granules[&pa].count;
    if usize::from(count) == expected {
        Ok(())
    } else {
        Err(format!("granule {pa:#x} has {count} users, not {expected}"))
    }
}

fn check_realm(model: &Model, now: &Snapshot, rd: u64, realm: &Realm) -> Result<(), String> {
    count(now, rd, model.recs_of(rd).count())?;
    let content = words(now, rd);
    let rim: Vec<u8> = content[realm_layout::MEASUREMENTS..][..8]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    if rim != realm.rim {
        return Err(format!(
            "the RIM of {rd:#x} is {rim:02x?}, not {:02x?}",
            realm.rim
        ));
    }
    let attributes = [
        (realm_layout::STATE, realm.state as u64),
        (realm_layout::REC_INDEX, realm.rec_index),
    ];
    for (word, expected) in attributes {
        if content[word] != expected {
            return Err(format!(
                "word {word} of the realm descriptor {rd:#x} is {}, not {expected}",
                content[word]
            ));
        }
    }
    realm
        .all_tables()
        .into_iter()
        .try_for_each(|table| check_table(now, realm, table))
}

/// No descriptor is valid unless it is a table, RAM of the realm, or Non-secure memory that is marked so.
fn check_table(now: &Snapshot, realm: &Realm, table: &Table) -> Result<(), String> {
    let users = table.entries.iter().filter(|entry| {
        matches!(
            entry,
            Entry::Assigned { .. } | Entry::AssignedNs { .. } | Entry::Table(_)
        )
    });
    count(now, table.pa, users.count())?;
    for (n, (entry, &word)) in table.entries.iter().zip(words(now, table.pa)).enumerate() {
        let page = u64::from(table.level == 3) << 1;
        let (kind, pa, non_secure) = match entry {
            Entry::Table(next) => (0b11, next.pa, 0),
            Entry::Assigned { pa, ripas } if *ripas as u64 == 1 => (0b01 | page, *pa, 0),
            Entry::AssignedNs { pa, .. } => (0b01 | page, *pa, 1),
            _ => (0, 0, 0),
        };
        let mut address = word & 0x0000_FFFF_FFFF_F000;
        if realm.lpa2 {
            address |= word & 0x0003_0000_0000_0000 | (word >> 8 & 3) << 50;
        }
        let fine = if kind == 0 {
            word & 1 == 0
        } else {
            word & 3 == kind
                && address == pa
                && (matches!(entry, Entry::Table(_)) || word >> 55 & 1 == non_secure)
        };
        if !fine {
            return Err(format!(
                "entry {n} of the table {:#x}, level {}, is {word:#x}, but it is {entry:?}",
                table.pa, table.level
            ));
        }
    }
    Ok(())
}

fn check_rec(now: &Snapshot, pa: u64, rec: &Rec) -> Result<(), String> {
    count(now, pa, 0)?;
    let content = words(now, pa);
    let (address, top) = rec
        .ripas
        .map_or((0, 0), |request| (request.address, request.top));
    let attributes = [
        (rec_layout::OWNER, rec.owner),
        (rec_layout::RUNNABLE, rec.runnable.into()),
        (rec_layout::PSCI_PENDING, rec.psci.is_some().into()),
        (rec_layout::RIPAS_ADDR, address),
        (rec_layout::RIPAS_TOP, top),
    ];
    for (word, expected) in attributes {
        let found = content[word];
        if found != expected && !(word == rec_layout::PSCI_PENDING && expected == 1 && found != 0) {
            return Err(format!(
                "word {word} of REC {pa:#x} is {found:#x}, not {expected:#x}"
            ));
        }
    }
    Ok(())
}

fn probe(model: &mut Model, pe: &HostPe, rd: u64, ipa: u64, level: i64) -> Result<(), String> {
    let call = rtt_read_entry::Input { rd, ipa, level }.encode();
    let none = |_| -> Box<[u64; 512]> { unreachable!("the command reads nothing") };
    let expected = model.apply(Command::RttReadEntry, &call, &none);
    let mut results: Registers = call;
    pe.smc(&mut results);
    if results.0[0] == 0 && results.0[1..5] == expected {
        Ok(())
    } else {
        Err(format!(
            "entry of {ipa:#x} at level {level} in {rd:#x}: {:x?}, not {expected:x?}",
            &results.0[..5]
        ))
    }
}

/// The first and the last entry of each table, and those around the middle, through RMI_RTT_READ_ENTRY.
pub(crate) fn some_entries(model: &Model, pe: &HostPe) -> Result<(), String> {
    entries(model, pe, |n, count| n < 3 || n + 2 > count || n == 256)
}

/// Every entry of every table, through RMI_RTT_READ_ENTRY.
pub(crate) fn all_entries(model: &Model, pe: &HostPe) -> Result<(), String> {
    entries(model, pe, |_, _| true)
}

fn entries(
    model: &Model,
    pe: &HostPe,
    choose: impl Fn(usize, usize) -> bool,
) -> Result<(), String> {
    let mut scratch = model.clone();
    for (&rd, realm) in &model.realms {
        for table in realm.all_tables() {
            for n in 0..table.entries.len() {
                let ipa = table.base + n as u64 * entry_size(table.level);
                if choose(n, table.entries.len()) && ipa < 1 << realm.ipa_bits {
                    probe(&mut scratch, pe, rd, ipa, table.level)?;
                }
            }
        }
    }
    Ok(())
}
