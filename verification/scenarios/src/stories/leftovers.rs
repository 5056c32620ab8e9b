//! What the host finds in memory that comes back to it, and who reaches memory that is not the host's.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::{Command, granule_delegate, granule_undelegate};
use realm_guest::puppet::Operation;

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RMI_GRANULE_UNDELEGATE/nothing of a realm is left, whatever the granule was",
        covers: &[],
        needs: Needs::Nothing,
        tell: wiped,
    },
    Story {
        name: "RMI_GRANULE_DELEGATE/no PE of the host reaches the granule until it is back",
        covers: &[],
        needs: Needs::Nothing,
        tell: out_of_reach,
    },
];

/// Written to pages of the realm.
const SECRET: u64 = 0x5EC2_E700_5EC2_E700;

fn wiped(fixture: &mut Fixture<'_>) {
    if !fixture.host().has_own_monitor() {
        return;
    }
    // Delegated and never used: what the host left itself is gone as well.
    let unused = fixture.delegated();
    fixture.call(
        Command::GranuleUndelegate,
        granule_undelegate::Input { addr: unused }.encode(),
    );
    for word in 0..512 {
        fixture.host().write(unused, word, SECRET);
    }
    fixture.call(
        Command::GranuleDelegate,
        granule_delegate::Input { addr: unused }.encode(),
    );

    let puppet = Puppet::new(fixture, 1);
    for word in 0..32 {
        let words = [FREE_PAGE + 128 * word, SECRET + word];
        puppet.perform(fixture, 0, Operation::Write, &words);
    }
    let realm = fixture.find(puppet.realm.rd).unwrap_or(puppet.realm);
    let mut granules: Vec<(&str, u64)> = [("unused", unused), ("RD", realm.rd)].into();
    granules.extend(realm.root_tables().map(|pa| ("starting-level RTT", pa)));
    granules.extend(realm.tables.iter().map(|&(_, _, pa)| ("RTT", pa)));
    granules.extend(realm.data.iter().map(|&(_, pa)| ("DATA", pa)));
    for (rec, aux) in &realm.recs {
        granules.push(("REC", *rec));
        granules.extend(aux.iter().map(|&pa| ("auxiliary", pa)));
    }
    realm.destroy(fixture);
    for (what, addr) in granules {
        fixture.call(
            Command::GranuleUndelegate,
            granule_undelegate::Input { addr }.encode(),
        );
        let left = (0..512).find(|&word| fixture.host().read(addr, word) != 0);
        if let Some(word) = left {
            let value = fixture.host().read(addr, word);
            fixture.fail(&format!("{what} granule: word {word} is {value:#x}"));
        }
    }
}

fn out_of_reach(fixture: &mut Fixture<'_>) {
    let addr = fixture.delegable();
    for round in 0..3 {
        let told = SECRET + round;
        fixture.host().write(addr, 0, told);
        // What each PE has cached of the granule's protection is from now.
        for (pe, value) in fixture.host().probe(addr).into_iter().enumerate() {
            fixture.equal(&format!("PE {pe} before"), value, Some(told));
        }
        fixture.call(
            Command::GranuleDelegate,
            granule_delegate::Input { addr }.encode(),
        );
        for (pe, value) in fixture.host().probe(addr).into_iter().enumerate() {
            fixture.equal(&format!("PE {pe} while it is delegated"), value, None);
        }
        fixture.call(
            Command::GranuleUndelegate,
            granule_undelegate::Input { addr }.encode(),
        );
        for (pe, value) in fixture.host().probe(addr).into_iter().enumerate() {
            fixture.equal(&format!("PE {pe} afterwards"), value.is_some(), true);
        }
    }
}
