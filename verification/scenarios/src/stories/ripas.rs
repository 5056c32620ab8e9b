//! Changes of RIPAS that a realm asks for and a host applies.

use cca_abi::rmi::run::{ExitReason, RecEnter, enter_flags};
use cca_abi::rmi::{Command, data_destroy, rtt_set_ripas};
use cca_abi::rsi::{self, CHANGE_DESTROYED, SUCCESS};
use realm_guest::puppet::{Operation, SMC_REGISTERS};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};

const INPUT: u64 = 1;
const REC: u64 = 3;
const EMPTY: u64 = 0;
const RAM: u64 = 1;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RMI_RTT_SET_RIPAS/success, whole and in parts",
        covers: &["RMI_RTT_SET_RIPAS/success", "RSI_IPA_STATE_SET/success"],
        needs: Needs::Nothing,
        tell: whole,
    },
    Story {
        name: "RMI_RTT_SET_RIPAS/base_bound, top_bound, rec_owner and size_valid",
        covers: &[
            "RMI_RTT_SET_RIPAS/size_valid",
            "RMI_RTT_SET_RIPAS/top_gran_align",
            "RMI_RTT_SET_RIPAS/base_bound",
            "RMI_RTT_SET_RIPAS/top_bound",
            "RMI_RTT_SET_RIPAS/rec_owner",
        ],
        needs: Needs::Nothing,
        tell: refused,
    },
    Story {
        name: "RMI_RTT_SET_RIPAS/DESTROYED is left alone unless the realm permits",
        covers: &["RMI_RTT_SET_RIPAS/no_progress"],
        needs: Needs::Nothing,
        tell: destroyed,
    },
    Story {
        name: "RSI_IPA_STATE_SET/the host rejects RAM",
        covers: &["RSI_IPA_STATE_SET/success"],
        needs: Needs::Nothing,
        tell: rejected,
    },
    Story {
        name: "RSI_IPA_STATE_SET/the host does nothing",
        covers: &["RSI_IPA_STATE_SET/success"],
        needs: Needs::Nothing,
        tell: nothing,
    },
    Story {
        name: "RMI_RTT_SET_RIPAS/RTT when no entry fits the range",
        covers: &[
            "RMI_RTT_SET_RIPAS/no_progress",
            "RMI_RTT_SET_RIPAS/base_align",
        ],
        needs: Needs::Nothing,
        tell: no_progress,
    },
];

/// Has REC 0 ask for a change of `[base, top)`.
fn ask(fixture: &mut Fixture<'_>, puppet: &Puppet, base: u64, top: u64, ripas: u64, flags: u64) {
    let call = rsi::ipa_state_set::Input {
        base,
        top,
        ripas,
        flags,
    }
    .encode();
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::RipasChange);
    fixture.equal(
        "the request",
        [exit.ripas_base, exit.ripas_top, exit.ripas_value.into()],
        [base, top, ripas],
    );
}

fn input(puppet: &Puppet, base: u64, top: u64) -> rtt_set_ripas::Input {
    rtt_set_ripas::Input {
        rd: puppet.realm.rd,
        rec: puppet.recs[0],
        base,
        top,
    }
}

/// Applies the change that was asked for to `[base, top)`. An RMM may stop wherever it likes, but never without progress,
/// and ours goes on to the end of a table.
fn apply(fixture: &mut Fixture<'_>, puppet: &Puppet, base: u64, top: u64) {
    let mut done = base;
    while done < top {
        let call = input(puppet, done, top).encode();
        let out = fixture.call(Command::RttSetRipas, call).0[1];
        let rule = if fixture.host().has_own_monitor() {
            out == top
        } else {
            done < out && out <= top
        };
        fixture.equal("whether out_top is as it must be", rule, true);
        if !rule {
            return;
        }
        done = out;
    }
}

/// What the realm is told: X0, new_base, response.
fn answer(fixture: &mut Fixture<'_>, puppet: &Puppet, flags: u64) -> [u64; 3] {
    let report = puppet.expect_call(
        fixture,
        0,
        &RecEnter {
            flags,
            ..RecEnter::default()
        },
    );
    [report[1], report[2], report[3]]
}

fn whole(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let (base, middle, top) = (FREE_PAGE, FREE_PAGE + 0x2000, FREE_PAGE + 0x4000);
    for ripas in [EMPTY, RAM] {
        ask(fixture, &puppet, base, top, ripas, CHANGE_DESTROYED);
        apply(fixture, &puppet, base, top);
        let told = answer(fixture, &puppet, 0);
        fixture.equal("what the realm is told", told, [SUCCESS, top, 0]);

        ask(fixture, &puppet, base, top, ripas, CHANGE_DESTROYED);
        for (from, to) in [(base, middle), (middle, top)] {
            apply(fixture, &puppet, from, to);
        }
        let told = answer(fixture, &puppet, enter_flags::RIPAS_REJECT);
        fixture.equal("complete, so a rejection is moot", told, [SUCCESS, top, 0]);
    }
}

fn refused(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let (_, stranger) = fixture.active_realm();
    let (base, top) = (FREE_PAGE, FREE_PAGE + 0x2000);
    ask(fixture, &puppet, base, top, EMPTY, CHANGE_DESTROYED);
    let valid = input(&puppet, base, top);
    let page = 0x1000;
    let call = |change: fn(&mut rtt_set_ripas::Input)| {
        let mut input = valid;
        change(&mut input);
        input.encode()
    };
    fixture.refused("size_valid", call(|input| input.top = input.base), INPUT);
    fixture.refused("top_gran_align", call(|input| input.top -= 1), INPUT);
    fixture.refused(
        "base_bound, above",
        call(|input| input.base += 0x1000),
        INPUT,
    );
    fixture.refused(
        "base_bound, below",
        call(|input| input.base -= 0x1000),
        INPUT,
    );
    fixture.refused("top_bound", call(|input| input.top += 0x1000), INPUT);
    fixture.refused(
        "rec_owner",
        rtt_set_ripas::Input {
            rec: stranger,
            ..valid
        }
        .encode(),
        REC,
    );
    fixture.call(
        Command::RttSetRipas,
        input(&puppet, base, base + page).encode(),
    );
    fixture.refused(
        "base_bound, done before",
        call(|input| input.top -= 0x1000),
        INPUT,
    );
    let told = answer(fixture, &puppet, 0);
    fixture.equal("what the realm is told", told, [SUCCESS, base + page, 0]);
    fixture.refused("no request any more", valid.encode(), INPUT);
}

fn destroyed(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let (base, hole, top) = (FREE_PAGE, FREE_PAGE + 0x1000, FREE_PAGE + 0x3000);
    puppet.perform(fixture, 0, Operation::Write, &[hole, 1]);
    let rd = puppet.realm.rd;
    fixture.call(
        Command::DataDestroy,
        data_destroy::Input { rd, ipa: hole }.encode(),
    );

    ask(fixture, &puppet, base, top, RAM, 0);
    let out = fixture
        .call(Command::RttSetRipas, input(&puppet, base, top).encode())
        .0[1];
    fixture.equal("out_top in front of what was destroyed", out, hole);
    fixture.refused(
        "the destroyed page",
        input(&puppet, hole, top).encode(),
        0x304,
    );
    let told = answer(fixture, &puppet, 0);
    fixture.equal("what the realm is told", told, [SUCCESS, hole, 0]);

    ask(fixture, &puppet, hole, top, RAM, CHANGE_DESTROYED);
    apply(fixture, &puppet, hole, top);
    let told = answer(fixture, &puppet, 0);
    fixture.equal("what the realm is told", told, [SUCCESS, top, 0]);
    let content = puppet.perform(fixture, 0, Operation::Read, &[hole])[0];
    fixture.equal("whether the old content is gone", content != 1, true);
}

fn rejected(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let (base, top) = (FREE_PAGE, FREE_PAGE + 0x2000);
    ask(fixture, &puppet, base, top, RAM, CHANGE_DESTROYED);
    let told = answer(fixture, &puppet, enter_flags::RIPAS_REJECT);
    fixture.equal("rejected at once", told, [SUCCESS, base, 1]);
    ask(fixture, &puppet, base, top, RAM, CHANGE_DESTROYED);
    fixture.call(
        Command::RttSetRipas,
        input(&puppet, base, base + 0x1000).encode(),
    );
    let told = answer(fixture, &puppet, enter_flags::RIPAS_REJECT);
    fixture.equal("rejected half way", told, [SUCCESS, base + 0x1000, 1]);
    ask(fixture, &puppet, base, top, EMPTY, CHANGE_DESTROYED);
    let told = answer(fixture, &puppet, enter_flags::RIPAS_REJECT);
    fixture.equal("EMPTY cannot be rejected", told, [SUCCESS, base, 0]);
}

fn nothing(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let (base, top) = (FREE_PAGE, FREE_PAGE + 0x2000);
    ask(fixture, &puppet, base, top, EMPTY, CHANGE_DESTROYED);
    let told = answer(fixture, &puppet, 0);
    fixture.equal("what the realm is told", told, [SUCCESS, base, 0]);
}

fn no_progress(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    // Nothing is mapped here, and there are no tables below level 1.
    let base = 8 << 30;
    ask(fixture, &puppet, base, base + 0x1000, RAM, CHANGE_DESTROYED);
    fixture.refused(
        "no_progress",
        input(&puppet, base, base + 0x1000).encode(),
        0x104,
    );
    // Two conditions at once: the first has to be reported.
    fixture.refused(
        "top_gran_align before no_progress",
        input(&puppet, base, base + 1).encode(),
        INPUT,
    );
    let other = input(&puppet, base + 0x1000, base + 0x1000 + 0x1000);
    fixture.refused(
        "base_bound before base_align",
        rtt_set_ripas::Input {
            top: base + 0x2000,
            ..other
        }
        .encode(),
        INPUT,
    );
    let told = answer(fixture, &puppet, 0);
    fixture.equal("what the realm is told", told, [SUCCESS, base, 0]);
    ask(
        fixture,
        &puppet,
        base + 0x1000,
        base + 0x2000,
        RAM,
        CHANGE_DESTROYED,
    );
    fixture.refused(
        "base_align",
        input(&puppet, base + 0x1000, base + 0x2000).encode(),
        0x104,
    );
}
