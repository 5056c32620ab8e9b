//! Power control inside a realm, and what the host has to do for it.

use cca_abi::mpidr::architectural_from_index;
use cca_abi::psci::{Function, VERSION_1_1, code};
use cca_abi::rmi::run::{ExitReason, RecEnter};
use cca_abi::rmi::{Command, psci_complete, rec_enter};
use cca_abi::smccc::Registers;
use realm_guest::puppet::{Operation, SMC_REGISTERS};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{CALL_PAGE, MEMORY, Puppet};
use crate::realm::UNPROTECTED;

/// RMI_ERROR_INPUT.
const INPUT: u64 = 1;
/// RMI_ERROR_REALM, index 1.
const REALM_OFF: u64 = 0x102;
/// RMI_ERROR_REC.
const REC: u64 = 3;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "PSCI_VERSION and PSCI_FEATURES/answered by the RMM",
        covers: &[
            "PSCI_VERSION/success",
            "PSCI_FEATURES/success",
            "PSCI_FEATURES/unknown",
        ],
        needs: Needs::Nothing,
        tell: version,
    },
    Story {
        name: "PSCI_CPU_ON/refused without an exit",
        covers: &[
            "PSCI_CPU_ON/entry",
            "PSCI_CPU_ON/mpidr",
            "PSCI_CPU_ON/runnable",
        ],
        needs: Needs::Nothing,
        tell: cpu_on_refused,
    },
    Story {
        name: "PSCI_CPU_ON/completed by the host",
        covers: &[
            "PSCI_CPU_ON/success",
            "RMI_PSCI_COMPLETE/success",
            "RMI_PSCI_COMPLETE/status",
            "RMI_REC_ENTER/rec_runnable",
        ],
        needs: Needs::Nothing,
        tell: cpu_on,
    },
    Story {
        name: "PSCI_CPU_ON/denied by the host",
        covers: &["PSCI_CPU_ON/host_denied", "RMI_PSCI_COMPLETE/success"],
        needs: Needs::Nothing,
        tell: cpu_on_denied,
    },
    Story {
        name: "RMI_PSCI_COMPLETE/owner, target and status",
        covers: &[
            "RMI_PSCI_COMPLETE/owner",
            "RMI_PSCI_COMPLETE/target",
            "RMI_PSCI_COMPLETE/status",
            "RMI_PSCI_COMPLETE/pending",
        ],
        needs: Needs::Nothing,
        tell: complete_refused,
    },
    Story {
        name: "RMI_REC_ENTER/rec_psci",
        covers: &["RMI_REC_ENTER/rec_psci"],
        needs: Needs::Nothing,
        tell: pending,
    },
    Story {
        name: "PSCI_AFFINITY_INFO/on and off",
        covers: &[
            "PSCI_AFFINITY_INFO/success",
            "PSCI_AFFINITY_INFO/level",
            "PSCI_AFFINITY_INFO/target",
        ],
        needs: Needs::Nothing,
        tell: affinity_info,
    },
    Story {
        name: "PSCI_CPU_OFF/REC is not runnable",
        covers: &["PSCI_CPU_OFF/success", "RMI_REC_ENTER/rec_runnable"],
        needs: Needs::Nothing,
        tell: cpu_off,
    },
    Story {
        name: "PSCI_CPU_SUSPEND/exit, then success",
        covers: &["PSCI_CPU_SUSPEND/success"],
        needs: Needs::Nothing,
        tell: cpu_suspend,
    },
    Story {
        name: "PSCI_SYSTEM_OFF/RMI_REC_ENTER system_off",
        covers: &["PSCI_SYSTEM_OFF/success", "RMI_REC_ENTER/system_off"],
        needs: Needs::Nothing,
        tell: system_off,
    },
    Story {
        name: "PSCI_SYSTEM_RESET/RMI_REC_ENTER system_off",
        covers: &["PSCI_SYSTEM_RESET/success", "RMI_REC_ENTER/system_off"],
        needs: Needs::Nothing,
        tell: system_reset,
    },
];

fn call(function: Function, arguments: &[u64]) -> Registers {
    Registers::call(function.function_id(), arguments)
}

fn smc(fixture: &mut Fixture<'_>, puppet: &Puppet, call: Registers) -> i64 {
    puppet.perform(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS])[0].cast_signed()
}

/// A realm of two RECs of which the first has asked to turn on the second.
fn asked_to_turn_on(fixture: &mut Fixture<'_>) -> Puppet {
    let puppet = Puppet::new(fixture, 2);
    let entry = puppet.perform(fixture, 0, Operation::SecondaryEntry, &[])[0];
    let call = call(
        Function::CpuOn,
        &[architectural_from_index(1), entry, CALL_PAGE + 0x1000],
    );
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    fixture.equal("X0 of the exit", exit.gprs[0], call.0[0]);
    fixture.equal("affinity in X1 of the exit", exit.gprs[1] & 0xFF, 1);
    puppet
}

/// Completes the request of REC 0 about REC 1.
fn complete(fixture: &mut Fixture<'_>, puppet: &Puppet, status: i64) {
    let input = psci_complete::Input {
        calling_rec: puppet.recs[0],
        target_rec: puppet.recs[1],
        status,
    };
    fixture.call(Command::PsciComplete, input.encode());
}

/// A realm of two vCPUs that both obey.
pub(super) fn two_vcpus(fixture: &mut Fixture<'_>) -> Puppet {
    let puppet = asked_to_turn_on(fixture);
    complete(fixture, &puppet, code::SUCCESS);
    let answer = result(fixture, &puppet);
    fixture.equal("CPU_ON", answer, code::SUCCESS);
    puppet.expect_call(fixture, 1, &RecEnter::default());
    puppet
}

/// What REC 0 reports after an SMC that was completed by the host.
fn result(fixture: &mut Fixture<'_>, puppet: &Puppet) -> i64 {
    let report = puppet.expect_call(fixture, 0, &RecEnter::default());
    fixture.equal("X1 to X3", report[2..5].to_vec(), [0; 3].to_vec());
    report[1].cast_signed()
}

fn version(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let version = smc(fixture, &puppet, call(Function::Version, &[]));
    fixture.equal("PSCI_VERSION", version, VERSION_1_1.cast_signed());
    for function in Function::ALL
        .into_iter()
        .filter(|function| function.is_for_realms())
    {
        let answer = smc(
            fixture,
            &puppet,
            call(Function::Features, &[function.function_id().into()]),
        );
        fixture.equal(function.name(), answer, code::SUCCESS);
    }
    let answer = smc(fixture, &puppet, call(Function::Features, &[0x8000_0000]));
    fixture.equal("PSCI_FEATURES of SMCCC_VERSION", answer, code::SUCCESS);
    for function in [0x8400_0006, 0x8400_000B, 0xC400_000E, 0xC400_0190] {
        let answer = smc(fixture, &puppet, call(Function::Features, &[function]));
        fixture.equal(
            "PSCI_FEATURES of another function",
            answer,
            code::NOT_SUPPORTED,
        );
    }
    let answer = smc(fixture, &puppet, call(Function::MigrateInfoType, &[]));
    fixture.equal("MIGRATE_INFO_TYPE", answer, code::NOT_SUPPORTED);
}

fn cpu_on_refused(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 2);
    let other = architectural_from_index(1);
    let table = [
        (other, UNPROTECTED, code::INVALID_ADDRESS),
        (other, u64::MAX, code::INVALID_ADDRESS),
        (
            architectural_from_index(2),
            MEMORY,
            code::INVALID_PARAMETERS,
        ),
        (
            architectural_from_index(1 << 20),
            MEMORY,
            code::INVALID_PARAMETERS,
        ),
        (architectural_from_index(0), MEMORY, code::ALREADY_ON),
    ];
    for (target, entry, expected) in table {
        let answer = smc(fixture, &puppet, call(Function::CpuOn, &[target, entry, 0]));
        fixture.equal("CPU_ON", answer, expected);
    }
}

fn cpu_on(fixture: &mut Fixture<'_>) {
    let puppet = asked_to_turn_on(fixture);
    let (x0, _) = puppet.enter(fixture, 1, &RecEnter::default());
    fixture.equal("entering the target before completion", x0, REC);
    complete(fixture, &puppet, code::SUCCESS);
    let answer = result(fixture, &puppet);
    fixture.equal("CPU_ON", answer, code::SUCCESS);
    puppet.expect_call(fixture, 1, &RecEnter::default());
    let mpidr = puppet.perform(fixture, 1, Operation::Mpidr, &[])[0];
    fixture.equal(
        "MPIDR of the second vCPU",
        mpidr,
        architectural_from_index(1),
    );

    // Once more: now it is on.
    let call = call(Function::CpuOn, &[architectural_from_index(1), MEMORY, 0]);
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    let input = psci_complete::Input {
        calling_rec: puppet.recs[0],
        target_rec: puppet.recs[1],
        status: code::DENIED,
    };
    fixture.refused("denying what is on", input.encode(), INPUT);
    complete(fixture, &puppet, code::SUCCESS);
    let answer = result(fixture, &puppet);
    fixture.equal("CPU_ON of a vCPU that is on", answer, code::ALREADY_ON);
}

fn cpu_on_denied(fixture: &mut Fixture<'_>) {
    let puppet = asked_to_turn_on(fixture);
    complete(fixture, &puppet, code::DENIED);
    let answer = result(fixture, &puppet);
    fixture.equal("CPU_ON", answer, code::DENIED);
    let (x0, _) = puppet.enter(fixture, 1, &RecEnter::default());
    fixture.equal("entering the target", x0, REC);
}

fn complete_refused(fixture: &mut Fixture<'_>) {
    let puppet = asked_to_turn_on(fixture);
    let (_, stranger) = fixture.active_realm();
    let third = Puppet::new(fixture, 3);
    let input = |target_rec, status| {
        psci_complete::Input {
            calling_rec: puppet.recs[0],
            target_rec,
            status,
        }
        .encode()
    };
    fixture.refused("owner", input(stranger, 0), INPUT);
    fixture.refused("owner, matching MPIDR", input(third.recs[1], 0), INPUT);
    for status in [1, -1, -2, -4, -5, -9, i64::MAX] {
        fixture.refused("status", input(puppet.recs[1], status), INPUT);
    }
    complete(fixture, &puppet, code::SUCCESS);
    fixture.refused("pending", input(puppet.recs[1], 0), INPUT);

    let call = call(Function::CpuOn, &[architectural_from_index(1), MEMORY, 0]);
    let exit = third.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    let input = psci_complete::Input {
        calling_rec: third.recs[0],
        target_rec: third.recs[2],
        status: 0,
    };
    fixture.refused("target", input.encode(), INPUT);
}

fn pending(fixture: &mut Fixture<'_>) {
    let puppet = asked_to_turn_on(fixture);
    let before = fixture.host().snapshot();
    let (x0, _) = puppet.enter(fixture, 0, &RecEnter::default());
    fixture.equal("entering while the request is pending", x0, REC);
    run_page_first(fixture, puppet.recs[0]);
    fixture.equal("state", fixture.host().snapshot(), before);
    complete(fixture, &puppet, code::SUCCESS);
    let answer = result(fixture, &puppet);
    fixture.equal("CPU_ON", answer, code::SUCCESS);
}

fn affinity_info(fixture: &mut Fixture<'_>) {
    let puppet = asked_to_turn_on(fixture);
    complete(fixture, &puppet, code::SUCCESS);
    result(fixture, &puppet);
    let me = architectural_from_index(0);
    let other = architectural_from_index(1);
    let table = [
        (other, 1, code::INVALID_PARAMETERS),
        (architectural_from_index(2), 0, code::INVALID_PARAMETERS),
        (me, 0, code::SUCCESS),
    ];
    for (target, level, expected) in table {
        let answer = smc(
            fixture,
            &puppet,
            call(Function::AffinityInfo, &[target, level]),
        );
        fixture.equal("AFFINITY_INFO", answer, expected);
    }
    for expected in [code::SUCCESS, code::OFF] {
        let query = call(Function::AffinityInfo, &[other, 0]);
        let exit = puppet.provoke(fixture, 0, Operation::Smc, &query.0[..SMC_REGISTERS]);
        fixture.reason(&exit, ExitReason::Psci);
        let input = psci_complete::Input {
            calling_rec: puppet.recs[0],
            target_rec: puppet.recs[1],
            status: code::DENIED,
        };
        fixture.refused("denying AFFINITY_INFO", input.encode(), INPUT);
        complete(fixture, &puppet, code::SUCCESS);
        let answer = result(fixture, &puppet);
        fixture.equal("AFFINITY_INFO of the second vCPU", answer, expected);
        if expected == code::SUCCESS {
            puppet.expect_call(fixture, 1, &RecEnter::default());
            let off = call(Function::CpuOff, &[]);
            let exit = puppet.provoke(fixture, 1, Operation::Smc, &off.0[..SMC_REGISTERS]);
            fixture.reason(&exit, ExitReason::Psci);
        }
    }
}

fn cpu_off(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let off = call(Function::CpuOff, &[]);
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &off.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    fixture.equal("X0 of the exit", exit.gprs[0], off.0[0]);
    let (x0, _) = puppet.enter(fixture, 0, &RecEnter::default());
    fixture.equal("entering what is off", x0, REC);
}

fn cpu_suspend(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let suspend = call(Function::CpuSuspend, &[0, MEMORY, 7]);
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &suspend.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    fixture.equal("X0 of the exit", exit.gprs[0], suspend.0[0]);
    let report = puppet.expect_call(fixture, 0, &RecEnter::default());
    fixture.equal("CPU_SUSPEND", report[1].cast_signed(), code::SUCCESS);
}

/// A bad run page has to be reported before the REC or the realm is looked at.
fn run_page_first(fixture: &mut Fixture<'_>, rec: u64) {
    let device = fixture.host().device();
    for (what, run_ptr) in [
        ("run_align", rec | 1),
        ("run_bound", device),
        ("run_pas", rec),
    ] {
        fixture.refused(what, rec_enter::Input { rec, run_ptr }.encode(), INPUT);
    }
}

fn turned_off(fixture: &mut Fixture<'_>, function: Function) {
    let puppet = Puppet::new(fixture, 2);
    let off = call(function, &[]);
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &off.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::Psci);
    fixture.equal("X0 of the exit", exit.gprs[0], off.0[0]);
    for index in 0..2 {
        let (x0, _) = puppet.enter(fixture, index, &RecEnter::default());
        // REC 1 is not runnable either, and it is open which of the two is reported. Hosts want to know first that the realm is off.
        if index == 0 || x0 != REC || fixture.host().has_own_monitor() {
            fixture.equal("entering a REC of a realm that is off", x0, REALM_OFF);
        }
        run_page_first(fixture, puppet.recs[index]);
    }
}

fn system_off(fixture: &mut Fixture<'_>) {
    turned_off(fixture, Function::SystemOff);
}

fn system_reset(fixture: &mut Fixture<'_>) {
    turned_off(fixture, Function::SystemReset);
}
