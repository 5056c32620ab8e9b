//! Breakpoints, watchpoints and counters: who keeps the registers.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::params::realm_flags;
use realm_guest::puppet::Operation;

use super::vectors::supported;
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::realm::Realm;

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: breakpoints, watchpoints and counters stay with the realm and with the host",
    covers: &[],
    needs: Needs::Registers,
    tell: registers_stay,
}];

fn registers_stay(fixture: &mut Fixture<'_>) {
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    // Contents can be told from others, or this shows nothing.
    registers.fill_points(1);
    fixture.equal("what was filled in", registers.point_differences(1), 0);
    let told = registers.point_differences(2) > 8;
    fixture.equal("contents that differ", told, true);

    let most = supported(fixture);
    let shapes = [
        (1, 1, None),
        (1, most.num_wps, most.pmu_num_ctrs.map(|most| most.min(1))),
        (most.num_bps, most.num_wps, most.pmu_num_ctrs),
    ];
    let puppets: Vec<_> = shapes
        .into_iter()
        .map(|(breakpoints, watchpoints, counters)| {
            let realm = Realm::create_with(fixture, |params| {
                params.num_bps = breakpoints;
                params.num_wps = watchpoints;
                if let Some(counters) = counters {
                    params.flags |= realm_flags::PMU;
                    params.pmu_num_ctrs = counters;
                }
            });
            let realm = fixture.find(realm.rd).unwrap_or(realm);
            let points = u64::from(breakpoints) + u64::from(watchpoints) + 2;
            let count = points + u64::from(counters.unwrap_or(0));
            (count, Puppet::of(fixture, realm, 1))
        })
        .collect();
    // All realms have something in their registers before the first is looked at.
    for operation in [Operation::FillRegisters, Operation::CompareRegisters] {
        for (n, (count, puppet)) in (0..).zip(&puppets) {
            let host = 100 + n + 10 * operation as u64;
            let what = format!("{operation:?}, realm with {count} points and counters");
            registers.fill_points(host);
            let result = puppet.perform(fixture, 0, operation, &[n + 7])[0];
            let lost = registers.point_differences(host);
            fixture.equal(&format!("{what}: registers that the host lost"), lost, 0);
            let must = match operation {
                Operation::FillRegisters => *count,
                _ => 0,
            };
            fixture.equal(&what, result, must);
        }
    }
}
