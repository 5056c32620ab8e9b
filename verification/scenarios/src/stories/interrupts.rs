//! Virtual interrupts: what the host puts into list registers, and what it finds there.

use alloc::format;

use cca_abi::rmi::params::realm_flags;
use cca_abi::rmi::run::{ExitReason, RecEnter, RecExit};
use realm_guest::puppet::{GicRegister, Operation, encoding};

use super::vectors::supported;
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::realm::Realm;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RMI_REC_ENTER/list registers with shared interrupts, in the order of their priorities",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: shared,
    },
    Story {
        name: "RMI_REC_ENTER/the end of an interrupt is told to a host that asks",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: maintenance,
    },
    Story {
        name: "REC: the running priority follows what is taken and ended, with split ends as well",
        covers: &[],
        needs: Needs::Nothing,
        tell: running_priority,
    },
    Story {
        name: "REC: the virtual CPU interface is the realm's and the host's, each its own",
        covers: &[],
        needs: Needs::Registers,
        tell: exchanged,
    },
    Story {
        name: "REC: a counter that overflows interrupts the host, which passes it on",
        covers: &[],
        needs: Needs::Registers,
        tell: overflow,
    },
];

/// The interrupt of the PMU, and the maintenance interrupt of the GIC's virtual CPU interface (Arm Base System
/// Architecture).
const PMU: u32 = 23;
const MAINTENANCE: u32 = 25;

/// An entry may come back this often for nothing.
const PATIENCE: usize = 1000;

/// ICH_MISR_EL2.EOI.
const ENDED: u64 = 1;

/// States of a list register.
const PENDING: u64 = 1;
const ACTIVE: u64 = 2;

/// A list register of group 1.
fn list(state: u64, intid: u32, priority: u64) -> u64 {
    state << 62 | 1 << 60 | priority << 48 | u64::from(intid)
}

/// Has the realm carry out an operation, with the list registers that it left behind.
fn go_on(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    last: &RecExit,
    operation: Operation,
    argument: u64,
) -> RecExit {
    let mut enter = Puppet::order(operation, &[argument]);
    enter.gicv3_lrs = last.gicv3_lrs;
    puppet.run(fixture, 0, &enter)
}

/// Has the realm wait for an interrupt and take it.
fn take(fixture: &mut Fixture<'_>, puppet: &Puppet, last: &RecExit, intid: u32) -> RecExit {
    let exit = go_on(fixture, puppet, last, Operation::Wait, 0);
    let exit = go_on(fixture, puppet, &exit, Operation::Acknowledge, 0);
    let what = "the interrupt that the realm takes";
    fixture.equal(what, exit.gprs[1], intid.into());
    exit
}

/// Enters a REC until it comes back for an interrupt that `is_it` tells from those that come for nothing.
fn interrupted(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    enter: &RecEnter,
    is_it: fn(&RecExit) -> bool,
) -> RecExit {
    let mut enter = *enter;
    for _ in 0..PATIENCE {
        let (x0, exit) = puppet.enter(fixture, 0, &enter);
        fixture.equal("X0", x0, 0);
        fixture.reason(&exit, ExitReason::Irq);
        if is_it(&exit) || fixture.check().is_err() {
            return exit;
        }
        fixture.host().take_interrupts();
        enter.gicv3_lrs = exit.gicv3_lrs;
    }
    fixture.fail("the interrupt does not come");
    RecExit::default()
}

fn shared(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    // By their place neither in the order of their numbers nor of their priorities.
    let lists = [
        list(PENDING, 1019, 0xB0),
        list(PENDING, 32, 0x90),
        list(PENDING, 33, 0xA0),
    ];
    let mut enter = Puppet::order(Operation::Nothing, &[]);
    enter.gicv3_lrs[..3].copy_from_slice(&lists);
    let mut exit = puppet.run(fixture, 0, &enter);
    fixture.equal(
        "list registers before anything is taken",
        &exit.gicv3_lrs[..3],
        &lists,
    );
    for (place, intid, priority) in [(1, 32, 0x90), (2, 33, 0xA0), (0, 1019, 0xB0)] {
        exit = take(fixture, &puppet, &exit, intid);
        let what = format!("list register of {intid}");
        fixture.equal(&what, exit.gicv3_lrs[place], list(ACTIVE, intid, priority));
        // The same comes again while it is handled.
        exit.gicv3_lrs[place] |= PENDING << 62;
        exit = go_on(
            fixture,
            &puppet,
            &exit,
            Operation::EndOfInterrupt,
            intid.into(),
        );
        fixture.equal(&what, exit.gicv3_lrs[place], list(PENDING, intid, priority));
        exit = take(fixture, &puppet, &exit, intid);
        exit = go_on(
            fixture,
            &puppet,
            &exit,
            Operation::EndOfInterrupt,
            intid.into(),
        );
        fixture.equal(&what, exit.gicv3_lrs[place], list(0, intid, priority));
    }
    let exit = go_on(fixture, &puppet, &exit, Operation::Acknowledge, 0);
    fixture.equal("no more", exit.gprs[1], 1023);
}

fn running_priority(fixture: &mut Fixture<'_>) {
    /// ICC_RPR_EL1, and what it reads when nothing runs.
    const RUNNING: u64 = encoding(3, 0, 12, 11, 3);
    const IDLE: u64 = 0xFF;
    /// ICC_CTLR_EL1, whose EOImode makes an end a drop of the priority alone.
    const CONTROL: u64 = encoding(3, 0, 12, 12, 4);
    const SPLIT: u64 = 1 << 1;

    let puppet = Puppet::new(fixture, 1);
    // Each step is an exit, in which others use the interface: what is active is kept over it.
    let running = |fixture: &mut Fixture<'_>, last: RecExit, expected: u64| {
        let read = [RUNNING, RUNNING + 1];
        let mut enter = Puppet::order(Operation::ReadRegisters, &read);
        enter.gicv3_lrs = last.gicv3_lrs;
        let exit = puppet.run(fixture, 0, &enter);
        fixture.equal("ICC_RPR_EL1 can be read", exit.gprs[2], RUNNING);
        fixture.equal("ICC_RPR_EL1", exit.gprs[3], expected);
        exit
    };
    let end = |fixture: &mut Fixture<'_>, last: RecExit, intid: u32| {
        let argument = u64::from(intid);
        go_on(fixture, &puppet, &last, Operation::EndOfInterrupt, argument)
    };

    let mut exit = running(fixture, RecExit::default(), IDLE);
    exit.gicv3_lrs[0] = list(PENDING, 40, 0xA0);
    exit = take(fixture, &puppet, &exit, 40);
    exit = running(fixture, exit, 0xA0);
    exit.gicv3_lrs[1] = list(PENDING, 41, 0x40);
    exit = take(fixture, &puppet, &exit, 41);
    exit = running(fixture, exit, 0x40);
    exit = end(fixture, exit, 41);
    exit = running(fixture, exit, 0xA0);
    exit = end(fixture, exit, 40);
    exit = running(fixture, exit, IDLE);
    let free = exit.gicv3_lrs.iter().all(|list| list >> 62 == 0);
    fixture.equal("all list registers are free", free, true);

    puppet.perform(fixture, 0, Operation::WriteRegister, &[CONTROL, SPLIT]);
    exit.gicv3_lrs[0] = list(PENDING, 40, 0xA0);
    exit = take(fixture, &puppet, &exit, 40);
    exit = running(fixture, exit, 0xA0);
    exit = end(fixture, exit, 40);
    exit = running(fixture, exit, IDLE);
    fixture.equal("list register", exit.gicv3_lrs[0], list(ACTIVE, 40, 0xA0));
    // One of the same priority is taken meanwhile.
    exit.gicv3_lrs[1] = list(PENDING, 41, 0xA0);
    exit = take(fixture, &puppet, &exit, 41);
    exit = running(fixture, exit, 0xA0);
    exit = end(fixture, exit, 41);
    for intid in [40, 41] {
        let mut enter = Puppet::order(
            Operation::WriteGic,
            &[GicRegister::Deactivate as u64, intid],
        );
        enter.gicv3_lrs = exit.gicv3_lrs;
        exit = puppet.run(fixture, 0, &enter);
    }
    exit = running(fixture, exit, IDLE);
    let free = exit.gicv3_lrs.iter().all(|list| list >> 62 == 0);
    fixture.equal("all list registers are free", free, true);
}

fn maintenance(fixture: &mut Fixture<'_>) {
    const EOI: u64 = 1 << 41;
    const INTID: u32 = 40;
    let puppet = Puppet::new(fixture, 1);
    let before = RecExit {
        gicv3_lrs: core::array::from_fn(|n| {
            if n == 0 {
                list(PENDING, INTID, 0xA0) | EOI
            } else {
                0
            }
        }),
        ..RecExit::default()
    };
    let exit = take(fixture, &puppet, &before, INTID);
    fixture.equal("ICH_MISR_EL2 meanwhile", exit.gicv3_misr, 0);
    let mut enter = Puppet::order(Operation::EndOfInterrupt, &[INTID.into()]);
    enter.gicv3_lrs = exit.gicv3_lrs;
    let host = fixture.host();
    host.set_interrupt(MAINTENANCE, true);
    let exit = interrupted(fixture, &puppet, &enter, |exit| exit.gicv3_misr != 0);
    host.set_interrupt(MAINTENANCE, false);
    host.take_interrupts();
    fixture.equal("ICH_MISR_EL2", exit.gicv3_misr, ENDED);
    fixture.equal(
        "list register",
        exit.gicv3_lrs[0],
        list(0, INTID, 0xA0) | EOI,
    );
    // The host has understood.
    let gprs = puppet.expect_call(fixture, 0, &RecEnter::default());
    fixture.equal("the operation", gprs[0], Operation::EndOfInterrupt as u64);
}

fn exchanged(fixture: &mut Fixture<'_>) {
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    // Contents can be told from others, or this shows nothing.
    registers.fill_interface(1);
    fixture.equal("what was filled in", registers.interface_differences(1), 0);
    let told = registers.interface_differences(2) > 4;
    fixture.equal("contents that differ", told, true);

    const INTID: u32 = 50;
    let puppet = Puppet::new(fixture, 1);
    let mut seed = 10;
    let mut go =
        |fixture: &mut Fixture<'_>, last: &RecExit, operation: Operation, argument: u64| {
            seed += 1;
            registers.fill_interface(seed);
            let exit = go_on(fixture, &puppet, last, operation, argument);
            let what = format!("{operation:?}: registers that the host lost");
            fixture.equal(&what, registers.interface_differences(seed), 0);
            exit
        };
    let mut exit = RecExit::default();
    exit.gicv3_lrs[0] = list(PENDING, INTID, 0xA0);
    let exit = go(fixture, &exit, Operation::Wait, 0);
    let exit = go(fixture, &exit, Operation::Acknowledge, 0);
    fixture.equal(
        "the interrupt that the realm takes",
        exit.gprs[1],
        INTID.into(),
    );
    // It is active while the host goes on with its own.
    let exit = go(fixture, &exit, Operation::Nothing, 0);
    fixture.equal(
        "list register",
        exit.gicv3_lrs[0],
        list(ACTIVE, INTID, 0xA0),
    );
    let exit = go(fixture, &exit, Operation::EndOfInterrupt, INTID.into());
    fixture.equal("list register", exit.gicv3_lrs[0], list(0, INTID, 0xA0));
    // What the host had there the realm never saw.
    let exit = go(fixture, &exit, Operation::Acknowledge, 0);
    fixture.equal("no more", exit.gprs[1], 1023);
    // A call that enters no REC.
    registers.fill_interface(seed);
    fixture.delegated();
    let lost = registers.interface_differences(seed);
    fixture.equal("registers that the host lost", lost, 0);
}

fn overflow(fixture: &mut Fixture<'_>) {
    let Some(counters) = supported(fixture).pmu_num_ctrs else {
        return;
    };
    let realm = Realm::create_with(fixture, |params| {
        params.flags |= realm_flags::PMU;
        params.pmu_num_ctrs = counters;
    });
    let realm = fixture.find(realm.rd).unwrap_or(realm);
    let puppet = Puppet::of(fixture, realm, 1);
    let host = fixture.host();
    puppet.perform(fixture, 0, Operation::OverflowCycles, &[0]);

    host.set_interrupt(PMU, true);
    let order = Puppet::order(Operation::OverflowCycles, &[1]);
    let exit = interrupted(fixture, &puppet, &order, |exit| exit.pmu_ovf_status != 0);
    fixture.equal("overflow", exit.pmu_ovf_status, 1);
    let none = exit.esr == 0 && exit.gprs.iter().all(|&gpr| gpr == 0);
    fixture.equal("the host sees nothing else", none, true);
    // The interrupt is asserted for as long as the realm runs and has not cleared it: the host masks it, and the realm
    // gets one of its own.
    host.set_interrupt(PMU, false);
    host.take_interrupts();
    let mut enter = RecEnter::default();
    enter.gicv3_lrs[0] = list(PENDING, PMU, 0xA0);
    let exit = puppet.run(fixture, 0, &enter);
    fixture.reason(&exit, ExitReason::HostCall);
    fixture.equal("overflow", exit.pmu_ovf_status, 1);
    let exit = take(fixture, &puppet, &exit, PMU);
    let exit = go_on(fixture, &puppet, &exit, Operation::OverflowCycles, 0);
    fixture.equal("overflow", exit.pmu_ovf_status, 0);
    host.set_interrupt(PMU, true);
    let exit = go_on(
        fixture,
        &puppet,
        &exit,
        Operation::EndOfInterrupt,
        PMU.into(),
    );
    host.set_interrupt(PMU, false);
    fixture.equal("list register", exit.gicv3_lrs[0], list(0, PMU, 0xA0));
    fixture.equal("overflow", exit.pmu_ovf_status, 0);
}
