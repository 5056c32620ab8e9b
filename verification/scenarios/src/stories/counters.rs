//! Realms with the PMU.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::rmi::params::realm_flags;
use cca_abi::rmi::run::{ExitReason, RecEnter};
use cca_abi::rmi::{Command, DATA_FLAG_MEASURE, data_create, rtt_init_ripas};
use cca_abi::smccc::Registers;
use realm_guest::puppet::{NOTHING, Operation, encoding};

use super::vectors::supported;
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{MEMORY, Puppet};
use crate::realm::Realm;
use crate::shared_registers::SharedRegisters;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "REC: the overflow of a realm's counter is told with every exit",
        covers: &[],
        needs: Needs::Registers,
        tell: overflow,
    },
    Story {
        name: "REC: the host's counters stand still in a realm, in the RMM and at EL3",
        covers: &[],
        needs: Needs::Registers,
        tell: stand_still,
    },
    Story {
        name: "REC: a realm's counters stand still in the RMM, whatever the realm has them count",
        covers: &[],
        needs: Needs::Registers,
        tell: stand_still_for_the_realm,
    },
];

/// The PMU's controls as a realm sees them.
const PMCR_EL0: u64 = encoding(3, 3, 9, 12, 0);
const PMCNTENSET_EL0: u64 = encoding(3, 3, 9, 12, 1);
/// The cycle counter and an event counter, with what chooses what they count: the register's encoding, its filter's, the bit in
/// PMCNTENSET_EL0, and the event.
const COUNTING: [(u64, u64, u64, u64); 2] = [
    // PMCCNTR_EL0, PMCCFILTR_EL0
    (
        encoding(3, 3, 9, 13, 0),
        encoding(3, 3, 14, 15, 7),
        1 << 31,
        0,
    ),
    // PMEVCNTR0_EL0, PMEVTYPER0_EL0; CPU_CYCLES
    (encoding(3, 3, 14, 8, 0), encoding(3, 3, 14, 12, 0), 1, 0x11),
];
/// Neither EL1 nor EL0 (P, U), but EL2 (NSH).
const ONLY_EL2: u64 = 1 << 31 | 1 << 30 | 1 << 27;

/// A share of the time that is none: the host's own instructions around a call take some.
const FEW_PERCENT: u64 = 50;
/// The same where a call is so short that they take much.
const NOT_ALL: u64 = 90;
/// How often something is measured; a computer that is busy may take time from the host's part of it.
const TRIES: usize = 20;
/// Calls that are measured together, because one is short.
const CALLS: usize = 200;
/// An SMC that nobody knows.
const UNKNOWN: u32 = 0xC300_5555;
/// What counts, in the order of `SharedRegisters::counters`.
const COUNTERS: [&str; 3] = [
    "the cycle counter",
    "an event counter",
    "an event counter of EL2",
];

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

/// Measures how much the host's counters count while `run` runs, in percent of what they do while the host itself runs:
/// the least of some tries.
fn counted(
    fixture: &mut Fixture<'_>,
    registers: &dyn SharedRegisters,
    what: &str,
    most: u64,
    mut run: impl FnMut(&mut Fixture<'_>, &mut dyn FnMut(&mut dyn FnMut())),
) {
    let host = fixture.host();
    let mut least = [u64::MAX; 3];
    for _ in 0..TRIES {
        run(fixture, &mut |measured| {
            let measure = |measured: &mut dyn FnMut()| {
                let (from, before) = (host.counter(), registers.counters());
                measured();
                let (after, to) = (registers.counters(), host.counter());
                let ticks = to.wrapping_sub(from).max(1);
                let counts = [0, 1, 2].map(|n| after[n].wrapping_sub(before[n]) & 0xFFFF_FFFF);
                (ticks, counts)
            };
            let (ticks, counts) = measure(measured);
            let (own_ticks, own_counts) = measure(&mut || {
                let start = host.counter();
                while host.counter().wrapping_sub(start) < ticks.min(10_000) {}
            });
            for n in 0..3 {
                let rate = (own_counts[n] * 1000 / own_ticks).max(1);
                least[n] = least[n].min(counts[n] * 100_000 / (ticks * rate));
            }
        });
    }
    for (counter, share) in COUNTERS.into_iter().zip(least) {
        if share >= most {
            fixture.fail(&format!("{what}: {counter} counts {share} % of the time"));
        }
    }
}

fn stand_still(fixture: &mut Fixture<'_>) {
    let host = fixture.host();
    let Some(registers) = host
        .registers()
        .filter(|registers| registers.start_counters())
    else {
        return;
    };
    let before = registers.counters();
    let start = host.counter();
    while host.counter().wrapping_sub(start) < 10_000 {}
    let after = registers.counters();
    for n in 0..3 {
        fixture.equal(COUNTERS[n], after[n] > before[n], true);
    }

    counted(fixture, registers, "EL3", NOT_ALL, |fixture, measure| {
        let host = fixture.host();
        measure(&mut || {
            for _ in 0..CALLS {
                host.smc(&mut Registers::call(UNKNOWN, &[]));
            }
        });
    });

    let realm = fixture.realm();
    fixture.tables(realm.rd, MEMORY);
    let src = fixture.non_secure_with(&[1, 2, 3]);
    let input = rtt_init_ripas::Input {
        rd: realm.rd,
        base: MEMORY,
        top: MEMORY + 4096 * TRIES as u64,
    };
    fixture.call(Command::RttInitRipas, input.encode());
    let mut ipa = MEMORY;
    counted(
        fixture,
        registers,
        "the RMM",
        FEW_PERCENT,
        |fixture, measure| {
            let input = data_create::Input {
                rd: realm.rd,
                data: fixture.delegated(),
                ipa,
                src,
                flags: DATA_FLAG_MEASURE,
            };
            ipa += 4096;
            let call = input.encode();
            let mut results = call;
            let host = fixture.host();
            measure(&mut || host.smc(&mut results));
            fixture.equal("RMI_DATA_CREATE", results.0[0], 0);
            fixture.succeeded(Command::DataCreate, &call, &results);
        },
    );

    let puppet = Puppet::new(fixture, 1);
    let mut enter = Puppet::order(Operation::Spin, &[]);
    counted(
        fixture,
        registers,
        "a realm",
        FEW_PERCENT,
        |fixture, measure| {
            let host = fixture.host();
            host.interrupt_at(Some(host.counter().wrapping_add(100_000)));
            let mut exit = None;
            measure(&mut || exit = Some(puppet.enter(fixture, 0, &enter)));
            host.interrupt_at(None);
            host.take_interrupts();
            enter = RecEnter::default();
            if let Some((x0, exit)) = exit {
                fixture.equal("X0", x0, 0);
                fixture.reason(&exit, ExitReason::Irq);
            }
        },
    );
    registers.stop_counters();
}

fn stand_still_for_the_realm(fixture: &mut Fixture<'_>) {
    let counters = supported(fixture).pmu_num_ctrs;
    let (Some(counters), Some(_)) = (counters, fixture.host().registers()) else {
        return;
    };
    let realm = Realm::create_with(fixture, |params| {
        params.flags |= realm_flags::PMU;
        params.pmu_num_ctrs = counters;
    });
    let realm = fixture.find(realm.rd).unwrap_or(realm);
    let puppet = Puppet::of(fixture, realm, 1);
    // LC, E
    write(fixture, &puppet, PMCR_EL0, 1 << 6 | 1);
    for (counter, filter, enable, event) in COUNTING {
        for (what, levels, counts) in [("EL1", 0, true), ("EL2", ONLY_EL2, false)] {
            write(fixture, &puppet, filter, event | levels);
            write(fixture, &puppet, counter, 0);
            write(fixture, &puppet, PMCNTENSET_EL0, enable);
            for _ in 0..TRIES {
                puppet.perform(fixture, 0, Operation::Nothing, &[]);
            }
            let read = [counter, counter + 1];
            let report = puppet.perform(fixture, 0, Operation::ReadRegisters, &read);
            let what = format!("counter {enable:#x} for {what}: reads, whether it counts");
            fixture.equal(&what, (report[0], report[2] != 0), (1, counts));
        }
    }
}

fn write(fixture: &mut Fixture<'_>, puppet: &Puppet, register: u64, value: u64) {
    puppet.perform(fixture, 0, Operation::WriteRegister, &[register, value]);
}
