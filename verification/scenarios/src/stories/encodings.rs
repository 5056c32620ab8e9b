//! Every encoding of a system register, read by the host and by realms before and after another world has used the PE.
//!
//! No list says here what the architecture has: what can be read is read, and what can be written is written. Lists are of what
//! would end the realm, and of what changes by itself.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use realm_guest::puppet::{ENCODINGS, Operation, READ_REGISTERS, encoding};

use super::vectors::{longest, with_vectors};
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::shared_registers::SharedRegisters;

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: no encoding of a system register carries anything between realms and host",
    covers: &[],
    needs: Needs::Registers,
    tell: nothing_is_carried,
}];

/// Registers that a realm and the host can read, and those that a realm can write, at least.
const READABLE: usize = 100;
const WRITABLE: usize = 40;

/// A read changes something: it acknowledges an interrupt. In the order of encodings.
const NOT_READ: [u64; 3] = [
    encoding(3, 0, 12, 8, 0),  // ICC_IAR0_EL1
    encoding(3, 0, 12, 9, 5),  // ICC_NMIAR1_EL1
    encoding(3, 0, 12, 12, 0), // ICC_IAR1_EL1
];

/// The program in the realm runs on them.
const NOT_WRITTEN: [u64; 11] = [
    encoding(3, 0, 1, 0, 0),  // SCTLR_EL1
    encoding(3, 0, 1, 0, 2),  // CPACR_EL1: it opens registers that are to be read
    encoding(3, 0, 2, 0, 0),  // TTBR0_EL1
    encoding(3, 0, 2, 0, 2),  // TCR_EL1
    encoding(3, 0, 4, 2, 0),  // SPSel
    encoding(3, 0, 4, 2, 2),  // CurrentEL
    encoding(3, 0, 10, 2, 0), // MAIR_EL1
    encoding(3, 0, 12, 0, 0), // VBAR_EL1
    encoding(3, 3, 4, 2, 0),  // NZCV
    encoding(3, 3, 4, 2, 1),  // DAIF
    encoding(3, 0, 4, 3, 0),  // ALLINT
];

/// Cannot be read, but changes what others show: OSLAR_EL1 is OSLSR_EL1.OSLK. And what opens it.
const WRITTEN_ONLY: (u64, u64) = (encoding(2, 0, 1, 0, 4), 0);

/// They change by themselves: counters, what is left of a timer's time, random numbers, what is pending.
const CHANGE: [u64; 15] = [
    encoding(3, 0, 12, 1, 0), // ISR_EL1
    encoding(3, 3, 2, 4, 0),  // RNDR
    encoding(3, 3, 2, 4, 1),  // RNDRRS
    encoding(3, 3, 14, 0, 1), // CNTPCT_EL0
    encoding(3, 3, 14, 0, 2), // CNTVCT_EL0
    encoding(3, 3, 14, 0, 5), // CNTPCTSS_EL0
    encoding(3, 3, 14, 0, 6), // CNTVCTSS_EL0
    encoding(3, 3, 14, 2, 0), // CNTP_TVAL_EL0
    encoding(3, 3, 14, 3, 0), // CNTV_TVAL_EL0
    encoding(3, 4, 14, 2, 0), // CNTHP_TVAL_EL2
    encoding(3, 4, 14, 3, 0), // CNTHV_TVAL_EL2
    encoding(3, 4, 14, 4, 0), // CNTHVS_TVAL_EL2
    encoding(3, 4, 14, 5, 0), // CNTHPS_TVAL_EL2
    encoding(3, 5, 14, 2, 0), // CNTP_TVAL_EL02
    encoding(3, 5, 14, 3, 0), // CNTV_TVAL_EL02
];

/// What a world reads, by encoding.
type Contents = BTreeMap<u64, u64>;

fn name(encoding: u64) -> String {
    format!(
        "S{}_{}_C{}_C{}_{}",
        2 + (encoding >> 14),
        encoding >> 11 & 7,
        encoding >> 7 & 15,
        encoding >> 3 & 15,
        encoding & 7
    )
}

/// The ranges of encodings that are read.
fn ranges() -> impl Iterator<Item = (u64, u64)> {
    let starts = [0].into_iter().chain(NOT_READ.map(|skipped| skipped + 1));
    starts.zip(NOT_READ.into_iter().chain([ENCODINGS]))
}

fn of_the_host(registers: &dyn SharedRegisters) -> Contents {
    let mut contents = Contents::new();
    for (mut from, end) in ranges() {
        while let Some((encoding, value)) = registers.next_readable(from, end) {
            contents.insert(encoding, value);
            from = encoding + 1;
        }
    }
    contents
}

fn of_the_realm(fixture: &mut Fixture<'_>, puppet: &Puppet) -> Contents {
    let mut contents = Contents::new();
    for (mut from, end) in ranges() {
        loop {
            let report = puppet.perform(fixture, 0, Operation::ReadRegisters, &[from, end]);
            let pairs = report[1..].chunks_exact(2).take(report[0] as usize);
            contents.extend(pairs.map(|pair| (pair[0], pair[1])));
            if report[0] < READ_REGISTERS as u64 {
                break;
            }
            from = report[2 * READ_REGISTERS - 1] + 1;
        }
    }
    contents
}

/// Those that differ, but for those that change by themselves.
fn differences<'a>(
    before: &'a Contents,
    after: &'a Contents,
) -> impl Iterator<Item = u64> + use<'a> {
    let gone = before.keys().filter(|at| !after.contains_key(at));
    let other = after
        .iter()
        .filter(|&(at, now)| before.get(at) != Some(now));
    gone.chain(other.map(|(at, _)| at))
        .copied()
        .filter(|at| !CHANGE.contains(at))
}

fn expect_same(fixture: &mut Fixture<'_>, who: &str, before: &Contents, after: &Contents) {
    let shown = |contents: &Contents, at| {
        let value = contents.get(&at);
        value.map_or_else(|| "unreadable".into(), |value| format!("{value:#x}"))
    };
    let lines: Vec<String> = differences(before, after)
        .map(|at| {
            let [was, is] = [before, after].map(|contents| shown(contents, at));
            format!("{} was {was} and is {is}", name(at))
        })
        .collect();
    if !lines.is_empty() {
        fixture.fail(&format!("{who}: {}", lines.join(", ")));
    }
}

fn nothing_is_carried(fixture: &mut Fixture<'_>) {
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    let length = longest(fixture);
    let [a, b] = [(); 2].map(|()| with_vectors(fixture, length));
    for puppet in [&a, &b] {
        // The vector registers are open from here on, with their controls.
        puppet.perform(fixture, 0, Operation::FillVectors, &[1]);
    }
    registers.fill_system(1);
    let host = of_the_host(registers);
    let first = of_the_realm(fixture, &a);
    let second = of_the_realm(fixture, &b);
    for contents in [&host, &first, &second] {
        if contents.len() < READABLE {
            fixture.fail(&format!("only {} registers can be read", contents.len()));
        }
    }
    expect_same(fixture, "two realms at first", &first, &second);

    // One realm leaves its marks. Every bit differs from what the other has.
    for (&at, &value) in first.iter().filter(|(at, _)| !NOT_WRITTEN.contains(at)) {
        a.perform(fixture, 0, Operation::WriteRegister, &[at, !value]);
    }
    let (at, value) = WRITTEN_ONLY;
    a.perform(fixture, 0, Operation::WriteRegister, &[at, value]);
    let marked = of_the_realm(fixture, &a);
    let marks = differences(&first, &marked).count();
    if marks < WRITABLE {
        fixture.fail(&format!("the realm could change only {marks} registers"));
    }
    expect_same(fixture, "the host", &host, &of_the_host(registers));
    let now = of_the_realm(fixture, &b);
    expect_same(fixture, "the other realm", &second, &now);

    // And finds them again, whatever the others have.
    registers.fill_system(2);
    let host = of_the_host(registers);
    let now = of_the_realm(fixture, &a);
    expect_same(fixture, "the realm", &marked, &now);
    expect_same(fixture, "the host again", &host, &of_the_host(registers));
}
