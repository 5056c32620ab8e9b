//! `suzerain ps`.

use clap::Args;
use realm_vmm::control::message::{State, Status};
use realm_vmm::report::Outcome;

use super::{Which, conclude, json};
use crate::failure::Failure;
use crate::foreign::printable;
use crate::screen::Screen;
use crate::session::Listing;
use crate::table::{age, counts, table, total};
use crate::{size, terminal};

#[derive(Args, Debug)]
pub(crate) struct Ps {
    /// Prints one JSON object and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) which: Which,
}

/// Shows all realms, and returns the exit code.
pub(crate) fn run(options: &Ps) -> u8 {
    let screen = Screen::new(options.json, false);
    let result = ps(options, &screen);
    conclude(result, &screen)
}

fn ps(options: &Ps, screen: &Screen) -> Result<(), Failure> {
    let listing = options.which.connect()?.list()?;
    let text = match options.json {
        true => json(&listing)?,
        false => tables(&listing, terminal::columns()),
    };
    screen.out(text.trim_end());
    Ok(())
}

/// The realms and the machine, in lines of at most that many columns.
pub fn tables(listing: &Listing, columns: Option<usize>) -> String {
    let heads = [
        "ID", "NAME", "STATE", "VCPUS", "MEMORY", "GRANULES", "AGE", "EXITS",
    ];
    let rows = listing.realms.iter().map(|realm| {
        [
            realm.realm.to_string(),
            printable(&realm.name),
            state(realm),
            realm.vcpus.to_string(),
            size::show(realm.memory),
            total(&realm.granules).to_string(),
            age(realm.age_us),
            printable(&counts(&realm.exits)),
        ]
    });
    let granules = &listing.granules;
    let held = granules.delegated.saturating_sub(granules.returned);
    let quarantined = match granules.quarantined {
        0 => String::new(),
        count => format!(", {count} in quarantine"),
    };
    let free = size::about(listing.free);
    let pes = listing.pes;
    table(heads, rows, columns)
        + &format!(
            "\n{pes} processors, {free} free, {held} granules with the Realm world{quarantined}{}\n",
            heap(listing)
        )
}

/// How much of its heap the hypervisor uses; nothing where it has none of its own.
pub(crate) fn heap(listing: &Listing) -> String {
    listing.heap.map_or(String::new(), |heap| {
        let [used, peak, size] = [heap.used, heap.peak, heap.size].map(size::about);
        format!(", hypervisor uses {used} of its {size} (at most {peak})")
    })
}

/// What a realm is doing, or how it ended.
pub(crate) fn state(realm: &Status) -> String {
    let state = realm.state.name();
    match (realm.state, realm.outcome) {
        (State::Stopped, Some(Outcome::Ok)) => format!("{state} (ok)"),
        (State::Stopped, Some(Outcome::GuestFailed)) => format!("{state} (failed)"),
        (State::Stopped, Some(Outcome::Timeout)) => format!("{state} (timeout)"),
        (State::Stopped, Some(Outcome::Stopped)) => format!("{state} (by hand)"),
        (State::Stopped, Some(Outcome::Error)) => format!("{state} (error)"),
        _ => state.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use realm_vmm::control::message::HeapUse;
    use realm_vmm::report::GranuleReport;

    use super::*;

    #[test]
    fn a_line_says_what_a_realm_is_and_does() {
        let realm = Status {
            realm: 3,
            name: "web\x1b".to_owned(),
            state: State::Stopped,
            vcpus: 4,
            memory: 512 << 20,
            age_us: 61_000_000,
            run_us: 0,
            entries: 10,
            exits: BTreeMap::from([("irq".to_owned(), 4), ("mmio".to_owned(), 6)]),
            granules: BTreeMap::from([("data".to_owned(), 7), ("rtt".to_owned(), 2)]),
            outcome: Some(Outcome::GuestFailed),
            error: Some("why".to_owned()),
        };
        let listing = Listing {
            realms: vec![realm],
            granules: GranuleReport {
                delegated: 12,
                returned: 3,
                quarantined: 0,
            },
            pes: 2,
            free: (3 << 30) + 5,
            heap: Some(HeapUse {
                size: 160 << 20,
                used: 1 << 20,
                peak: 3 << 19,
            }),
        };
        let text = tables(&listing, None);
        assert_eq!(
            text,
            "ID  NAME       STATE             VCPUS  MEMORY  GRANULES  AGE    EXITS\n\
             3   web\\u{1b}  stopped (failed)  4      512M    9         1m 1s  mmio 6, irq 4\n\n\
             2 processors, 3.0G free, 9 granules with the Realm world, hypervisor uses 1.0M of its 160.0M (at most 1.5M)\n"
        );
        let narrow = tables(&listing, Some(30));
        assert!(
            narrow
                .lines()
                .take(2)
                .all(|line| line.chars().count() <= 30)
        );
    }
}
