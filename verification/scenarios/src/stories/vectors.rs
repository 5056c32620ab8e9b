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

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "REC: vector registers of every length stay with the realm and with the host",
        covers: &[],
        needs: Needs::Registers,
        tell: registers_stay,
    },
    Story {
        name: "REC: a host in streaming mode finds its registers and ZA as they were",
        covers: &[],
        needs: Needs::Registers,
        tell: streaming_mode_stays,
    },
];

/// What RMI_FEATURES reports.
pub(crate) fn supported(fixture: &mut Fixture<'_>) -> FeatureRegister0 {
    let call = features::Input { index: 0 }.encode();
    FeatureRegister0::decode(fixture.call(Command::Features, call).0[1])
}

/// Units of 128 bits in the longest vectors of a realm; 0 without SVE.
pub(super) fn longest(fixture: &mut Fixture<'_>) -> u64 {
    supported(fixture).sve_vl.map_or(0, |vl| u64::from(vl) + 1)
}

/// A realm with vectors of `length` * 128 bits, or without SVE.
pub(super) fn with_vectors(fixture: &mut Fixture<'_>, length: u64) -> Puppet {
    let realm = Realm::create_with(fixture, |params| {
        if length != 0 {
            params.flags |= realm_flags::SVE;
            params.sve_vl = (length - 1) as u8;
        }
    });
    let realm = fixture.find(realm.rd).unwrap_or(realm);
    Puppet::of(fixture, realm, 1)
}

/// Units of 128 bits in the longest vectors that a host asks for: it gets the longest that there are, whatever the RMM shows.
const MOST: u64 = 16;

fn registers_stay(fixture: &mut Fixture<'_>) {
    let longest = longest(fixture);
    let most = if longest == 0 { 0 } else { MOST };
    let puppets: Vec<Puppet> = (0..=longest)
        .map(|length| with_vectors(fixture, length))
        .collect();
    // The RMM hashes for a realm that is made, with registers of the host.
    for host in [0, 1.min(most), most] {
        let Some(registers) = fixture.host().registers() else {
            return;
        };
        registers.fill_vectors(host, host);
        fixture.realm();
        let lost = registers.vector_differences(host, host);
        let what = format!("host {host} * 128 bits: bytes that it lost over a hash");
        fixture.equal(&what, lost, 0);
    }
    // All realms have something in their registers before the first is looked at.
    for (length, puppet) in (0..).zip(&puppets) {
        for host in [0, 1, length, most] {
            let host = host.min(most);
            step(fixture, puppet, host, Operation::FillVectors, length);
        }
    }
    for (length, puppet) in (0..).zip(&puppets) {
        for host in [most, length, 0] {
            step(fixture, puppet, host, Operation::CompareVectors, length);
        }
    }
}

/// Has the realm with vectors of `realm` * 128 bits do something with its registers, while the host has something in its
/// own, of `host` * 128 bits.
fn step(fixture: &mut Fixture<'_>, puppet: &Puppet, host: u64, operation: Operation, realm: u64) {
    let what = format!("{operation:?}, realm {realm} * 128 bits, host {host} * 128 bits");
    let seed = 1000 + 100 * host + realm;
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    registers.fill_vectors(host, seed);
    let result = puppet.perform(fixture, 0, operation, &[realm + 7])[0];
    let lost = registers.vector_differences(host, seed);
    fixture.equal(&format!("{what}: bytes that the host lost"), lost, 0);
    if result != NOTHING {
        let expected = match operation {
            Operation::FillVectors => 16 * realm.max(1),
            _ => 0,
        };
        fixture.equal(&what, result, expected);
    }
}

fn streaming_mode_stays(fixture: &mut Fixture<'_>) {
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    let longest = longest(fixture);
    let lengths = [0, 1.min(longest), longest / 2, longest];
    let puppets = lengths.map(|length| with_vectors(fixture, length));
    let operations = [
        Operation::Nothing,
        Operation::FillVectors,
        Operation::CompareVectors,
    ];
    for all in [false, true] {
        for (operation, (length, puppet)) in operations.into_iter().flat_map(|operation| {
            lengths
                .into_iter()
                .zip(&puppets)
                .map(move |of| (operation, of))
        }) {
            let what = format!("{operation:?}, realm {length} * 128 bits, all instructions: {all}");
            let seed = 5000 + 100 * operation as u64 + length;
            if registers.fill_streaming(all, seed).is_none() {
                continue;
            }
            let result = puppet.perform(fixture, 0, operation, &[length + 7])[0];
            let lost = registers.leave_streaming(all, seed);
            fixture.equal(&format!("{what}: bytes that the host lost"), lost, Some(0));
            let expected = match operation {
                Operation::FillVectors => 16 * length.max(1),
                _ => 0,
            };
            fixture.equal(&what, result, expected);
        }
    }
}
