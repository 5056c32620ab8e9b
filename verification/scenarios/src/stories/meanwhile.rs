//! A vCPU goes on using memory on one PE while another PE takes that memory away: what the first PE has cached of
//! translations must not outlive the command.

use alloc::format;

use cca_abi::explain::Syndrome;
use cca_abi::rmi::run::{ENTER_WORDS, EXIT, EXIT_WORDS, ExitReason, RecExit};
use cca_abi::rmi::{
    Command, data_destroy, rec_enter, rtt_fold, rtt_map_unprotected, rtt_set_ripas,
    rtt_unmap_unprotected,
};
use cca_abi::rsi;
use realm_guest::puppet::{Access, NOTHING, Operation, SMC_REGISTERS};

use super::psci::two_vcpus;
use super::{Needs, Story};
use crate::Host;
use crate::fixture::Fixture;
use crate::puppet::{CALL_PAGE, FREE_PAGE, MEMORY, Puppet};
use crate::realm::UNPROTECTED;

pub(super) const STORIES: &[Story] = &[
    story("RMI_DATA_DESTROY/a page that another PE reads", |fixture| {
        destroyed(fixture, Access::Read);
    }),
    story(
        "RMI_DATA_DESTROY/a page that another PE writes",
        |fixture| {
            destroyed(fixture, Access::Write);
        },
    ),
    story("RMI_DATA_DESTROY/a page that another PE executes", executed),
    story(
        "RMI_DATA_DESTROY/a table of stage 1 that another PE walks",
        |fixture| walked(fixture, take_page),
    ),
    story(
        "RMI_RTT_SET_RIPAS/a table of stage 1 that another PE walks",
        |fixture| walked(fixture, change_page),
    ),
    Story {
        needs: Needs::Registers,
        ..story(
            "RMI_RTT_SET_RIPAS/a page that another PE reads",
            |fixture| {
                changed(fixture, FREE_PAGE, FREE_PAGE + 0x1000);
            },
        )
    },
    Story {
        needs: Needs::Registers,
        ..story(
            "RMI_RTT_SET_RIPAS/many pages that another PE reads one of",
            |fixture| changed(fixture, FREE_PAGE, FREE_PAGE + 0x8_0000),
        )
    },
    story(
        "RMI_RTT_UNMAP_UNPROTECTED/a page that another PE reads",
        |fixture| {
            unmapped(fixture, Access::Read);
        },
    ),
    story(
        "RMI_RTT_UNMAP_UNPROTECTED/a page that another PE writes",
        |fixture| {
            unmapped(fixture, Access::Write);
        },
    ),
    story(
        "RMI_RTT_FOLD/a block that another PE reads, then unmapped",
        folded,
    ),
];

const fn story(name: &'static str, tell: fn(&mut Fixture<'_>)) -> Story {
    Story {
        name,
        covers: &[],
        needs: Needs::Nothing,
        tell,
    }
}

/// Level of descriptors of pages.
const PAGES: i64 = 3;
/// Normal write-back memory that may be read and written.
const ATTRIBUTES: u64 = 0b110 << 2 | 0b11 << 6;
/// Where memory that the host shares appears to the realm.
const SHARED: u64 = UNPROTECTED + FREE_PAGE;
/// So many ticks after its first sign of life a vCPU has used the memory, and has it in its TLB.
const WARM: u64 = 1_000_000;
/// So many ticks a vCPU may go on until it counts as one that has lost nothing.
const LATEST: u64 = 60_000_000;

/// Has vCPU 1 use `ipa` on the other PE for ever, `action` be done meanwhile, and expects the realm to be left for it: the
/// exit. `None` if there is no other PE.
fn meanwhile(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    access: Access,
    ipa: u64,
    action: impl FnOnce(&mut Fixture<'_>),
) -> Option<RecExit> {
    let host = fixture.host();
    let mut words = [0; ENTER_WORDS];
    Puppet::order(Operation::UseMemory, &[access as u64, ipa]).write(&mut words);
    for (word, value) in words.into_iter().enumerate() {
        host.write(puppet.run_pages[1], word, value);
    }
    let enter = rec_enter::Input {
        rec: puppet.recs[1],
        run_ptr: puppet.run_pages[1],
    };
    host.start_elsewhere(enter.encode()).ok()?;
    let pause = |ticks: u64| {
        let start = host.counter();
        while host.counter() - start < ticks {
            core::hint::spin_loop();
        }
    };
    pause(WARM);
    action(fixture);
    let start = host.counter();
    let finished = loop {
        let late = host.counter() - start > LATEST;
        if let Some(registers) = host.poll_elsewhere() {
            let interrupted = record(host, puppet).exit_reason == ExitReason::Irq as u8;
            if late || registers.0[0] != 0 || !interrupted {
                break registers;
            }
            // An RMM may leave a realm at any time as if for an interrupt.
            host.start_elsewhere(enter.encode()).ok()?;
        }
        if late {
            fixture
                .fail("the vCPU on the other PE goes on with memory that is not its own any more");
            break host.finish_elsewhere();
        }
    };
    fixture.equal("X0 of RMI_REC_ENTER on the other PE", finished.0[0], 0);
    Some(record(host, puppet))
}

/// The exit record of vCPU 1.
fn record(host: &dyn Host, puppet: &Puppet) -> RecExit {
    let words: [u64; EXIT_WORDS] =
        core::array::from_fn(|word| host.read(puppet.run_pages[1], EXIT / 8 + word));
    RecExit::read(&words)
}

/// Expects the exit to be an abort at `ipa`; `walk` if it was stage 1's walk that went there.
fn aborted(fixture: &mut Fixture<'_>, exit: Option<RecExit>, ipa: u64) {
    let Some(exit) = exit else { return };
    fixture.reason(&exit, ExitReason::Sync);
    let class = exit.esr >> 26;
    if class != 0x24 && class != 0x20 || (exit.hpfar >> 4) << 12 != ipa {
        fixture.fail(&format!(
            "expected an abort at {ipa:#x}, got {} with HPFAR {:#x}",
            Syndrome(exit.esr),
            exit.hpfar
        ));
    }
}

/// A realm of two vCPUs on the move, with something at [`FREE_PAGE`].
fn realm(fixture: &mut Fixture<'_>) -> Puppet {
    let puppet = two_vcpus(fixture);
    puppet.perform(fixture, 0, Operation::Write, &[FREE_PAGE, 1]);
    puppet
}

/// Maps a page of the host at [`SHARED`].
fn share(fixture: &mut Fixture<'_>, puppet: &Puppet) {
    let rd = puppet.realm.rd;
    fixture.tables(rd, SHARED);
    let call = rtt_map_unprotected::Input {
        rd,
        ipa: SHARED,
        level: PAGES,
        desc: fixture.non_secure() | ATTRIBUTES,
    };
    fixture.call(Command::RttMapUnprotected, call.encode());
}

fn take_page(fixture: &mut Fixture<'_>, puppet: &Puppet, ipa: u64) {
    let rd = puppet.realm.rd;
    let call = data_destroy::Input { rd, ipa }.encode();
    fixture.call(Command::DataDestroy, call);
}

fn destroyed(fixture: &mut Fixture<'_>, access: Access) {
    let puppet = realm(fixture);
    let exit = meanwhile(fixture, &puppet, access, FREE_PAGE, |fixture| {
        take_page(fixture, &puppet, FREE_PAGE);
    });
    aborted(fixture, exit, FREE_PAGE);
}

/// The addresses of the loop's code and of the table of stage 1 for [`SHARED`]; `None` where vCPUs have neither.
fn places(fixture: &mut Fixture<'_>, puppet: &Puppet) -> Option<(u64, u64)> {
    let [code, table, ..] = puppet.perform(fixture, 0, Operation::Places, &[SHARED]);
    (code != NOTHING).then_some((code & !0xFFF, table))
}

fn executed(fixture: &mut Fixture<'_>) {
    let puppet = realm(fixture);
    let Some((code, _)) = places(fixture, &puppet) else {
        return;
    };
    let exit = meanwhile(fixture, &puppet, Access::Execute, 0, |fixture| {
        take_page(fixture, &puppet, code);
    });
    aborted(fixture, exit, code);
}

fn walked(fixture: &mut Fixture<'_>, action: fn(&mut Fixture<'_>, &Puppet, u64)) {
    let puppet = realm(fixture);
    share(fixture, &puppet);
    let Some((_, table)) = places(fixture, &puppet) else {
        return;
    };
    // The vCPU invalidates its own stage 1 each time, so it walks anew.
    let exit = meanwhile(fixture, &puppet, Access::Walk, SHARED, |fixture| {
        action(fixture, &puppet, table);
    });
    // Of memory that is gone the host hears; for memory that the realm gave up the realm gets an abort of its own, and
    // says so by another exit.
    if exit.is_some_and(|exit| exit.exit_reason == ExitReason::Irq as u8) {
        fixture.fail("the walk of the other PE goes on");
    }
}

fn change_page(fixture: &mut Fixture<'_>, puppet: &Puppet, table: u64) {
    change(fixture, puppet, table, table + 0x1000);
}

/// Has vCPU 0 give up `[base, top)`, and the host agree.
fn change(fixture: &mut Fixture<'_>, puppet: &Puppet, base: u64, top: u64) {
    let call = rsi::ipa_state_set::Input {
        base,
        top,
        ripas: 0,
        flags: 0,
    }
    .encode();
    let exit = puppet.provoke(fixture, 0, Operation::Smc, &call.0[..SMC_REGISTERS]);
    fixture.reason(&exit, ExitReason::RipasChange);
    let input = rtt_set_ripas::Input {
        rd: puppet.realm.rd,
        rec: puppet.recs[0],
        base,
        top,
    };
    fixture.call(Command::RttSetRipas, input.encode());
}

fn changed(fixture: &mut Fixture<'_>, base: u64, top: u64) {
    let puppet = realm(fixture);
    let exit = meanwhile(fixture, &puppet, Access::Read, FREE_PAGE, |fixture| {
        change(fixture, &puppet, base, top);
    });
    if exit.is_some_and(|exit| exit.exit_reason == ExitReason::Irq as u8) {
        fixture.fail("the other PE goes on reading");
    }
}

fn unmapped(fixture: &mut Fixture<'_>, access: Access) {
    let puppet = realm(fixture);
    share(fixture, &puppet);
    let exit = meanwhile(fixture, &puppet, access, SHARED, |fixture| {
        let call = rtt_unmap_unprotected::Input {
            rd: puppet.realm.rd,
            ipa: SHARED,
            level: PAGES,
        };
        fixture.call(Command::RttUnmapUnprotected, call.encode());
    });
    aborted(fixture, exit, SHARED);
}

/// A block of pages that lie in a row is folded while it is read, which nobody notices; then it is taken away as a whole.
fn folded(fixture: &mut Fixture<'_>) {
    const BLOCK: u64 = 2 << 20;
    const IPA: u64 =
        UNPROTECTED + (MEMORY & !(BLOCK - 1)) + (CALL_PAGE - MEMORY).next_multiple_of(BLOCK);
    let puppet = realm(fixture);
    let rd = puppet.realm.rd;
    fixture.tables(rd, IPA);
    let base = fixture.non_secure_contiguous(512);
    for page in (0..BLOCK).step_by(4096) {
        let call = rtt_map_unprotected::Input {
            rd,
            ipa: IPA + page,
            level: PAGES,
            desc: (base + page) | ATTRIBUTES,
        };
        fixture.call(Command::RttMapUnprotected, call.encode());
    }
    let exit = meanwhile(fixture, &puppet, Access::Read, IPA, |fixture| {
        let fold = rtt_fold::Input {
            rd,
            ipa: IPA,
            level: PAGES,
        };
        fixture.call(Command::RttFold, fold.encode());
        let call = rtt_unmap_unprotected::Input {
            rd,
            ipa: IPA,
            level: 2,
        };
        fixture.call(Command::RttUnmapUnprotected, call.encode());
    });
    aborted(fixture, exit, IPA);
}
