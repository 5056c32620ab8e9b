//! What Linux with KVM's support for realms does with an RMM (series `cca-host/v7`, RMM specification 1.0-rel0), replayed
//! call by call.
//!
//! A kernel with that series is not needed for this: [`vm`] and [`stage2`] make the calls that KVM makes, in its order and
//! with its arguments, take the answers apart as KVM does and go on from there; [`run`] is its loop around RMI_REC_ENTER,
//! with the part of a VMM that decides which memory is shared. What KVM would warn about in the kernel's log, and each
//! error that it would hand to its user, fails the scenario.

mod building;
mod run;
mod running;
mod sharing;
mod stage2;
mod vm;

use alloc::format;

use cca_abi::explain::RmiResult;
use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;

use super::{Needs, Story};
use crate::fixture::Fixture;

const fn story(name: &'static str, tell: fn(&mut Fixture<'_>)) -> Story {
    Story {
        name,
        covers: &[],
        needs: Needs::Nothing,
        tell,
    }
}

pub(super) const STORIES: &[Story] = &[
    story("KVM: finds the RMM at start", building::detection),
    story(
        "KVM: realms of every IPA width that a VM can have",
        building::widths,
    ),
    story(
        "KVM: realms with all that a VMM can configure",
        building::configurations,
    ),
    story(
        "KVM: initial RIPAS and content, and a realm that is given up before it ran",
        building::content,
    ),
    story(
        "KVM: a realm's way from its creation to its end",
        running::whole_life,
    ),
    story(
        "KVM: power control of a realm's vCPUs",
        running::power_control,
    ),
    story(
        "KVM: the virtual timer, through list registers",
        running::timer,
    ),
    story(
        "KVM: memory becomes shared and private again",
        sharing::back_and_forth,
    ),
    story(
        "KVM: memory changes its RIPAS below a VMM that does nothing",
        sharing::left_to_kvm,
    ),
    story("KVM: private memory in blocks", sharing::blocks),
    story(
        "KVM: shared memory is withdrawn at every level",
        sharing::withdrawn,
    ),
    story(
        "KVM: the loser of a race between two faults",
        sharing::races,
    ),
];

/// What KVM expects of the RMM's results that it cannot see.
const PRESERVED: core::ops::Range<usize> = 4..18;

/// What a command answered.
#[derive(Clone, Copy)]
struct Answer(Registers);

impl Answer {
    /// Whether the command succeeded.
    fn done(self) -> bool {
        self.0.0[0] == 0
    }

    /// RMI_ERROR_RTT: the level that came with it.
    fn rtt(self) -> Option<i64> {
        let x0 = self.0.0[0];
        (x0 & 0xFF == 4).then_some((x0 >> 8 & 0xFF).cast_signed())
    }

    /// A result register.
    fn x(self, register: usize) -> u64 {
        self.0.0[register]
    }
}

/// Makes a call as SMCCC 1.1 has it: of X4 and above, nothing may change, as a compiler has values of its own there.
fn invoke(fixture: &mut Fixture<'_>, command: Command, call: Registers) -> Answer {
    let mut call = call;
    // No command has more than five arguments.
    for (register, value) in call.0.iter_mut().enumerate().skip(6) {
        *value = 0x4B56_4D00_0000_0000 | register as u64;
    }
    let mut results = call;
    fixture.host().smc(&mut results);
    // The specification has zero there, and the strict monitor with it.
    if fixture.host().has_own_monitor() && results.0[PRESERVED] != call.0[PRESERVED] {
        fixture.fail(&format!("{} changes X4 or above", command.name()));
    }
    if results.0[0] == 0 {
        fixture.succeeded(command, &call, &results);
    }
    Answer(results)
}

/// Makes a call whose failure KVM would warn about, or hand to its user.
fn must(fixture: &mut Fixture<'_>, command: Command, call: Registers) -> Answer {
    let answer = invoke(fixture, command, call);
    if !answer.done() {
        fixture.fail(&format!("{}: {}", command.name(), RmiResult(answer.x(0))));
    }
    answer
}
