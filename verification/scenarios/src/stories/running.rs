//! What may not be done to a REC that runs on another PE, and to the page that it runs with.

use alloc::format;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::run::{ENTER_WORDS, ExitReason};
use cca_abi::rmi::{
    Command, granule_delegate, granule_undelegate, psci_complete, rec_destroy, rec_enter,
    rtt_set_ripas,
};
use cca_abi::smccc::Registers;
use realm_guest::puppet::Operation;

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};

const INPUT: u64 = 1;
const REC: u64 = 3;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RMI_REC_ENTER, RMI_REC_DESTROY, RMI_RTT_SET_RIPAS and RMI_PSCI_COMPLETE/a REC that runs",
        covers: &[
            "RMI_REC_ENTER/rec_state",
            "RMI_REC_DESTROY/rec_state",
            "RMI_RTT_SET_RIPAS/rec_state",
            "RMI_PSCI_COMPLETE/running",
        ],
        needs: Needs::Nothing,
        tell: running,
    },
    Story {
        name: "RMI_REC_ENTER/the run page goes away while the REC runs",
        covers: &["RMI_REC_ENTER/run_write", "RMI_REC_ENTER/run_read"],
        needs: Needs::Nothing,
        tell: run_page,
    },
];

/// A change that is refused anyway: as an input if the REC is idle, for the REC's state if it runs.
fn probe(puppet: &Puppet) -> Registers {
    let (rd, rec) = (puppet.realm.rd, puppet.recs[0]);
    rtt_set_ripas::Input {
        rd,
        rec,
        base: FREE_PAGE,
        top: FREE_PAGE + 0x1000,
    }
    .encode()
}

/// Has another PE enter REC 0, which stays in the realm. `false` if there is no other PE.
fn run_elsewhere(fixture: &mut Fixture<'_>, puppet: &Puppet) -> bool {
    let host = fixture.host();
    let mut words = [0; ENTER_WORDS];
    Puppet::order(Operation::Spin, &[]).write(&mut words);
    for (word, value) in words.into_iter().enumerate() {
        host.write(puppet.run_pages[0], word, value);
    }
    let enter = rec_enter::Input {
        rec: puppet.recs[0],
        run_ptr: puppet.run_pages[0],
    };
    // An entry may come back before the realm has run.
    for _ in 0..1_000 {
        if host.start_elsewhere(enter.encode()).is_err() {
            return false;
        }
        for _ in 0..10_000 {
            let mut registers = probe(puppet);
            host.smc(&mut registers);
            if registers.0[0] == REC {
                return true;
            }
        }
        host.finish_elsewhere();
    }
    fixture.fail("the REC does not run on the other PE");
    false
}

fn running(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 2);
    // Everything that the loop needs is there before it starts.
    puppet.perform(fixture, 0, Operation::Nothing, &[]);
    if !run_elsewhere(fixture, &puppet) {
        return;
    }
    let (rec, run_ptr) = (puppet.recs[0], puppet.run_pages[1]);
    for (what, call, x0) in [
        (
            "RMI_REC_ENTER",
            rec_enter::Input { rec, run_ptr }.encode(),
            REC,
        ),
        ("RMI_REC_DESTROY", rec_destroy::Input { rec }.encode(), REC),
        ("RMI_RTT_SET_RIPAS", probe(&puppet), REC),
        (
            "RMI_PSCI_COMPLETE",
            psci_complete::Input {
                calling_rec: rec,
                target_rec: puppet.recs[1],
                status: 0,
            }
            .encode(),
            INPUT,
        ),
    ] {
        let mut registers = call;
        fixture.host().smc(&mut registers);
        if registers.0[0] != x0 {
            fixture.fail(&format!(
                "{what} of a REC that runs: {}",
                RmiResult(registers.0[0])
            ));
        }
    }
    let device = fixture.host().device();
    let delegated = fixture.delegated();
    for (what, run_ptr) in [
        ("run_align before rec_state", run_ptr | 1),
        ("run_bound before rec_state", device),
        ("run_pas before rec_state", delegated),
    ] {
        let mut registers = rec_enter::Input { rec, run_ptr }.encode();
        fixture.host().smc(&mut registers);
        fixture.equal(what, registers.0[0], INPUT);
    }
    let finished = fixture.host().finish_elsewhere();
    fixture.equal("X0 of RMI_REC_ENTER on the other PE", finished.0[0], 0);
}

fn run_page(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    puppet.perform(fixture, 0, Operation::Nothing, &[]);
    if !run_elsewhere(fixture, &puppet) {
        return;
    }
    let addr = puppet.run_pages[0];
    fixture.call(
        Command::GranuleDelegate,
        granule_delegate::Input { addr }.encode(),
    );
    let finished = fixture.host().finish_elsewhere();
    fixture.equal("X0 of RMI_REC_ENTER on the other PE", finished.0[0], INPUT);
    let enter = rec_enter::Input {
        rec: puppet.recs[0],
        run_ptr: addr,
    };
    fixture.refused(
        "a run page in the Realm physical address space",
        enter.encode(),
        INPUT,
    );
    fixture.call(
        Command::GranuleUndelegate,
        granule_undelegate::Input { addr }.encode(),
    );
    // The REC is as it was: it can be entered again, and goes on in its loop.
    if run_elsewhere(fixture, &puppet) {
        let finished = fixture.host().finish_elsewhere();
        fixture.equal("X0 of RMI_REC_ENTER on the other PE", finished.0[0], 0);
        let reason = fixture.host().read(addr, 0x800 / 8);
        fixture.equal("reason of the exit", reason, ExitReason::Irq as u64);
    }
}
