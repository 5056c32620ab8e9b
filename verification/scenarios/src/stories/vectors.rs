//! Realms with every length of vectors, and who keeps the registers.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::params::realm_flags;
use cca_abi::rmi::{Command, features};
use realm_guest::puppet::{NOTHING, Operation};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::realm::Realm;

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: vector registers of every length stay with the realm and with the host",
    covers: &[],
    needs: Needs::Nothing,
    tell: registers_stay,
}];

/// What RMI_FEATURES reports.
pub(crate) fn supported(fixture: &mut Fixture<'_>) -> FeatureRegister0 {
    let call = features::Input { index: 0 }.encode();
    FeatureRegister0::decode(fixture.call(Command::Features, call).0[1])
}

fn registers_stay(fixture: &mut Fixture<'_>) {
    let longest = supported(fixture).sve_vl.map_or(0, |vl| u64::from(vl) + 1);
    // Length 0 is a realm without SVE.
    let puppets: Vec<Puppet> = (0..=longest)
        .map(|length| {
            let realm = Realm::create_with(fixture, |params| {
                if length != 0 {
                    params.flags |= realm_flags::SVE;
                    params.sve_vl = (length - 1) as u8;
                }
            });
            let realm = fixture.find(realm.rd).unwrap_or(realm);
            Puppet::of(fixture, realm, 1)
        })
        .collect();
    // All realms have something in their registers before the first is looked at.
    for (length, puppet) in (0..).zip(&puppets) {
        for host in [0, 1, length, longest] {
            step(
                fixture,
                puppet,
                host.min(longest),
                Operation::FillVectors,
                length,
            );
        }
    }
    for (length, puppet) in (0..).zip(&puppets) {
        for host in [longest, length, 0] {
            step(fixture, puppet, host, Operation::CompareVectors, length);
        }
    }
}

/// Has the realm with vectors of `realm` * 128 bits do something with its registers, while the host has something in its
/// own, of `host` * 128 bits.
fn step(fixture: &mut Fixture<'_>, puppet: &Puppet, host: u64, operation: Operation, realm: u64) {
    let what = format!("{operation:?}, realm {realm} * 128 bits, host {host} * 128 bits");
    let seed = 1000 + 100 * host + realm;
    fixture.host().fill_vectors(host, seed);
    let result = puppet.perform(fixture, 0, operation, &[realm + 7])[0];
    let lost = fixture.host().vector_differences(host, seed);
    fixture.equal(&format!("{what}: bytes that the host lost"), lost, 0);
    if result != NOTHING {
        let expected = match operation {
            Operation::FillVectors => 16 * realm.max(1),
            _ => 0,
        };
        fixture.equal(&what, result, expected);
    }
}
