//! System registers that a world can see, one after the other: what the host has in them outlasts a realm that runs, and
//! what a realm has outlasts the host and another realm, whatever the exit is.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::psci::Function;
use cca_abi::rmi::run::enter_flags;
use cca_abi::smccc::Registers;
use realm_guest::puppet::{NOTHING, Operation, SMC_REGISTERS};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: every system register stays with the realm and with the host",
    covers: &[],
    needs: Needs::Registers,
    tell: registers_stay,
}];

/// Registers of each side that hold a canary, at least.
const ENOUGH: u64 = 25;

/// An interrupt of the realms'.
const INTID: u64 = 40;

fn registers_stay(fixture: &mut Fixture<'_>) {
    let Some(registers) = fixture.host().registers() else {
        return;
    };
    // Contents can be told from others, or this shows nothing.
    let told = registers.fill_system(1);
    if told < ENOUGH {
        fixture.fail(&format!("only {told} registers of the host hold a canary"));
    }
    fixture.equal(
        "what was filled in",
        registers.system_differences(),
        [""; 0].into(),
    );

    // The RMM hashes for a realm that is made, with registers of the host. Seeds differ in how long the host's vectors are.
    for seed in 2..5 {
        registers.fill_system(seed);
        fixture.realm();
        lost_by_the_host(fixture, "a hash");
    }

    let puppets: Vec<_> = (0..2).map(|_| Puppet::new(fixture, 1)).collect();
    for (n, puppet) in puppets.iter().enumerate() {
        let told = puppet.perform(fixture, 0, Operation::FillSystem, &[n as u64 + 7])[0];
        if told != NOTHING && told < ENOUGH {
            fixture.fail(&format!("only {told} registers of the realm hold a canary"));
        }
    }
    let version = Registers::call(Function::Version.function_id(), &[]);
    // An answer of the RMM alone, a page that is missing, a device, an interrupt that does not come, nothing but the call.
    let ways: [(&str, Operation, Vec<u64>); 5] = [
        ("PSCI", Operation::Smc, version.0[..SMC_REGISTERS].into()),
        ("a missing page", Operation::Write, [FREE_PAGE, 1].into()),
        ("a timer", Operation::ArmTimer, [u64::MAX >> 8].into()),
        ("its registers", Operation::Mpidr, Vec::new()),
        ("nothing", Operation::Nothing, Vec::new()),
    ];
    for (seed, (what, operation, arguments)) in (2..).zip(&ways) {
        for (n, puppet) in puppets.iter().enumerate() {
            registers.fill_system(seed);
            puppet.perform(fixture, 0, *operation, arguments);
            lost_by_the_host(fixture, what);
            registers.fill_system(seed + 100);
            let lost = puppet.perform(fixture, 0, Operation::CompareSystem, &[])[0];
            lost_by_the_host(fixture, what);
            if lost != NOTHING && lost != 0 {
                fixture.fail(&format!("{what}: realm {n} lost the registers {lost:#x}"));
            }
        }
    }
    // An interrupt that the realm takes, with all that its handler runs on filled.
    for puppet in &puppets {
        let mut enter = Puppet::order(Operation::Wait, &[]);
        enter.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 0xA0 << 48 | INTID;
        let mut last = puppet.run(fixture, 0, &enter);
        for (operation, argument, answer) in [
            (Operation::Acknowledge, 0, Some(INTID)),
            (Operation::EndOfInterrupt, INTID, None),
            (Operation::CompareSystem, 0, Some(0)),
        ] {
            let mut enter = Puppet::order(operation, &[argument]);
            enter.gicv3_lrs = last.gicv3_lrs;
            last = puppet.run(fixture, 0, &enter);
            let told = last.gprs[1];
            if let Some(answer) = answer
                && told != NOTHING
            {
                fixture.equal("what the realm tells of an interrupt", told, answer);
            }
        }
    }
    // An exit in the middle of the realm's instructions, for a wait.
    for puppet in &puppets {
        registers.fill_system(50);
        let mut enter = Puppet::order(Operation::Wait, &[]);
        enter.flags = enter_flags::TRAP_WFI;
        puppet.run(fixture, 0, &enter);
        lost_by_the_host(fixture, "a wait");
    }
}

fn lost_by_the_host(fixture: &mut Fixture<'_>, what: &str) {
    let lost = fixture
        .host()
        .registers()
        .map(|registers| registers.system_differences())
        .unwrap_or_default();
    if !lost.is_empty() {
        fixture.fail(&format!("{what}: the host lost {}", lost.join(", ")));
    }
}
