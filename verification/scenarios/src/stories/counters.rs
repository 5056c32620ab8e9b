//! Realms with the PMU.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::params::realm_flags;
use realm_guest::puppet::{NOTHING, Operation};

use super::vectors::supported;
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::realm::Realm;

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: the overflow of a realm's counter is told with every exit",
    covers: &[],
    needs: Needs::Registers,
    tell: overflow,
}];

fn overflow(fixture: &mut Fixture<'_>) {
    let most = supported(fixture).pmu_num_ctrs;
    // A realm without PMU, and where there is one, realms with few and with all counters.
    let counters = [None, most.map(|most| most.min(1)), most];
    let puppets: Vec<Puppet> = counters
        .iter()
        .map(|counters| {
            let realm = Realm::create_with(fixture, |params| {
                if let &Some(counters) = counters {
                    params.flags |= realm_flags::PMU;
                    params.pmu_num_ctrs = counters;
                }
            });
            let realm = fixture.find(realm.rd).unwrap_or(realm);
            Puppet::of(fixture, realm, 1)
        })
        .collect();
    let all: Vec<_> = counters.into_iter().zip(&puppets).collect();
    // All overflow one after the other, then all stop: so each comes after one in the other state.
    for asked in [1, 0] {
        for &(counters, puppet) in &all {
            let what = format!("{counters:?} counters, overflow {asked}");
            let before = puppet.provoke(fixture, 0, Operation::Nothing, &[]);
            let exit = puppet.provoke(fixture, 0, Operation::OverflowCycles, &[asked]);
            let told = [before.pmu_ovf_status, exit.pmu_ovf_status];
            if exit.gprs[1] == NOTHING {
                fixture.equal(&what, told, [0, 0]);
                continue;
            }
            let reported = Some(exit.gprs[1]);
            fixture.equal(&what, reported, counters.map(u64::from));
            fixture.equal(&what, told, [1 - asked as u8, asked as u8]);
        }
    }
}
