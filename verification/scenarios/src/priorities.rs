//! Pairs of failure conditions of which one has to be reported if both hold (RMM specification 1.0-rel0, the
//! orderings of each command), and a call for each pair that can hold at once.

use alloc::vec::Vec;

use cca_abi::rmi::run::{enter_flags, enter_offset};
use cca_abi::rmi::{
    Command, data_create_unknown, data_destroy, realm_activate, rec_enter, rtt_create, rtt_destroy,
    rtt_fold, rtt_init_ripas, rtt_map_unprotected, rtt_unmap_unprotected,
};
use cca_abi::smccc::Registers;

use crate::case::{Case, Change, Expected};
use crate::fixture::Fixture;
use crate::realm::UNPROTECTED;

/// An IPA of the protected half with nothing but the starting level below it.
const BARE: u64 = 0x30_0000_0000;
/// Normal write-back memory that may be read and written.
const ATTRIBUTES: u64 = 0b110 << 2 | 0b11 << 6;

/// A pair that can hold at once.
struct Pair {
    command: Command,
    /// The condition that has to be reported.
    first: &'static str,
    /// The condition that holds as well: `before ...`.
    second: &'static str,
    call: fn(&mut Fixture<'_>) -> Registers,
}

/// Pairs that cannot hold at once, because the second condition is about something that does not exist if the first
/// holds. The list is by the first condition; it applies to every second condition that is ordered after it.
pub const NEVER_TOGETHER: &[(&str, &str)] = &[
    (
        "rd_bound, rd_state",
        "there is no realm whose state or tables could be wrong",
    ),
    (
        "rec_bound, rec_gran_state",
        "there is no REC whose state or owner could be wrong",
    ),
    (
        "run_align, run_bound, run_pas before rec_gicv3, rec_mmio",
        "there is no record whose fields could be wrong",
    ),
    (
        "ipa_bound (outside) before rtt_walk, rtte_state",
        "there is no walk for an address outside",
    ),
];

const PAIRS: &[Pair] = &[
    Pair {
        command: Command::DataCreate,
        first: "ipa_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = unprotected_page(fixture);
            let data = fixture.delegated();
            let src = fixture.non_secure();
            cca_abi::rmi::data_create::Input {
                rd,
                data,
                ipa: UNPROTECTED,
                src,
                flags: 0,
            }
            .encode()
        },
    },
    Pair {
        command: Command::DataCreate,
        first: "ipa_bound",
        second: "before rtt_walk",
        call: |fixture| {
            let rd = fixture.realm().rd;
            let data = fixture.delegated();
            let src = fixture.non_secure();
            cca_abi::rmi::data_create::Input {
                rd,
                data,
                ipa: UNPROTECTED,
                src,
                flags: 0,
            }
            .encode()
        },
    },
    Pair {
        command: Command::DataCreateUnknown,
        first: "ipa_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = unprotected_page(fixture);
            data_create_unknown::Input {
                rd,
                data: fixture.delegated(),
                ipa: UNPROTECTED,
            }
            .encode()
        },
    },
    Pair {
        command: Command::DataCreateUnknown,
        first: "ipa_bound",
        second: "before rtt_walk",
        call: |fixture| {
            let rd = fixture.realm().rd;
            data_create_unknown::Input {
                rd,
                data: fixture.delegated(),
                ipa: UNPROTECTED,
            }
            .encode()
        },
    },
    Pair {
        command: Command::DataDestroy,
        first: "ipa_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = fixture.realm().rd;
            fixture.tables(rd, UNPROTECTED);
            data_destroy::Input {
                rd,
                ipa: UNPROTECTED,
            }
            .encode()
        },
    },
    Pair {
        command: Command::DataDestroy,
        first: "ipa_bound",
        second: "before rtt_walk",
        call: |fixture| {
            data_destroy::Input {
                rd: fixture.realm().rd,
                ipa: UNPROTECTED,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttCreate,
        first: "level_bound",
        second: "before rtt_walk",
        call: |fixture| {
            let rd = fixture.realm().rd;
            rtt_create::Input {
                rd,
                rtt: fixture.delegated(),
                ipa: BARE,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttDestroy,
        first: "level_bound",
        second: "before rtt_walk",
        call: |fixture| {
            rtt_destroy::Input {
                rd: fixture.realm().rd,
                ipa: BARE,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttDestroy,
        first: "level_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = fixture.realm().rd;
            fixture.tables(rd, BARE);
            rtt_destroy::Input {
                rd,
                ipa: BARE,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttFold,
        first: "level_bound",
        second: "before rtt_walk",
        call: |fixture| {
            rtt_fold::Input {
                rd: fixture.realm().rd,
                ipa: BARE,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttFold,
        first: "level_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = fixture.realm().rd;
            fixture.tables(rd, BARE);
            rtt_fold::Input {
                rd,
                ipa: BARE,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttMapUnprotected,
        first: "level_bound",
        second: "before rtt_walk",
        call: |fixture| map(fixture, UNPROTECTED, 4),
    },
    Pair {
        command: Command::RttMapUnprotected,
        first: "ipa_bound",
        second: "before rtt_walk",
        call: |fixture| map(fixture, BARE, 3),
    },
    Pair {
        command: Command::RttMapUnprotected,
        first: "ipa_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = fixture.realm().rd;
            fixture.data(rd, BARE);
            let desc = fixture.non_secure() | ATTRIBUTES;
            rtt_map_unprotected::Input {
                rd,
                ipa: BARE,
                level: 3,
                desc,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttUnmapUnprotected,
        first: "level_bound",
        second: "before rtt_walk",
        call: |fixture| {
            rtt_unmap_unprotected::Input {
                rd: fixture.realm().rd,
                ipa: UNPROTECTED,
                level: 4,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttUnmapUnprotected,
        first: "ipa_bound",
        second: "before rtt_walk",
        call: |fixture| {
            rtt_unmap_unprotected::Input {
                rd: fixture.realm().rd,
                ipa: BARE,
                level: 3,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttUnmapUnprotected,
        first: "ipa_bound",
        second: "before rtte_state",
        call: |fixture| {
            let rd = fixture.realm().rd;
            fixture.tables(rd, BARE);
            rtt_unmap_unprotected::Input {
                rd,
                ipa: BARE,
                level: 3,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RttInitRipas,
        first: "top_gran_align",
        second: "before no_progress",
        call: |fixture| {
            rtt_init_ripas::Input {
                rd: fixture.realm().rd,
                base: BARE,
                top: BARE + 1,
            }
            .encode()
        },
    },
    Pair {
        command: Command::RecEnter,
        first: "run_align",
        second: "before realm_new",
        call: |fixture| new_rec(fixture, |_, run_ptr| run_ptr | 1),
    },
    Pair {
        command: Command::RecEnter,
        first: "run_bound",
        second: "before realm_new",
        call: |fixture| new_rec(fixture, |fixture, _| fixture.host().device()),
    },
    Pair {
        command: Command::RecEnter,
        first: "run_pas",
        second: "before realm_new",
        call: |fixture| new_rec(fixture, |fixture, _| fixture.delegated()),
    },
    Pair {
        command: Command::RecEnter,
        first: "run_align",
        second: "before rec_runnable",
        call: |fixture| idle_rec(fixture, |_, run_ptr| run_ptr | 1),
    },
    Pair {
        command: Command::RecEnter,
        first: "run_bound",
        second: "before rec_runnable",
        call: |fixture| idle_rec(fixture, |fixture, _| fixture.host().device()),
    },
    Pair {
        command: Command::RecEnter,
        first: "run_pas",
        second: "before rec_runnable",
        call: |fixture| idle_rec(fixture, |fixture, _| fixture.delegated()),
    },
    Pair {
        command: Command::RecEnter,
        first: "rec_align",
        second: "before rec_gicv3",
        call: |fixture| bad_record(fixture, |_, rec| rec | 1),
    },
    Pair {
        command: Command::RecEnter,
        first: "rec_bound",
        second: "before rec_gicv3",
        call: |fixture| bad_record(fixture, |fixture, _| fixture.host().device()),
    },
    Pair {
        command: Command::RecEnter,
        first: "rec_gran_state",
        second: "before rec_gicv3",
        call: |fixture| bad_record(fixture, |fixture, _| fixture.delegated()),
    },
];

/// A realm with a page of Non-secure memory at the start of its unprotected half.
fn unprotected_page(fixture: &mut Fixture<'_>) -> u64 {
    let rd = fixture.realm().rd;
    fixture.tables(rd, UNPROTECTED);
    let desc = fixture.non_secure() | ATTRIBUTES;
    let map = rtt_map_unprotected::Input {
        rd,
        ipa: UNPROTECTED,
        level: 3,
        desc,
    };
    fixture.call(Command::RttMapUnprotected, map.encode());
    rd
}

fn map(fixture: &mut Fixture<'_>, ipa: u64, level: i64) -> Registers {
    let rd = fixture.realm().rd;
    let desc = fixture.non_secure() | ATTRIBUTES;
    rtt_map_unprotected::Input {
        rd,
        ipa,
        level,
        desc,
    }
    .encode()
}

/// Entry of a REC whose realm is new, with another run page.
fn new_rec(fixture: &mut Fixture<'_>, change: fn(&mut Fixture<'_>, u64) -> u64) -> Registers {
    let rd = fixture.realm().rd;
    let rec = fixture.rec(rd, 0, true);
    let run_ptr = fixture.non_secure_with(&[]);
    rec_enter::Input {
        rec,
        run_ptr: change(fixture, run_ptr),
    }
    .encode()
}

/// Entry of a REC that is not runnable, with another run page.
fn idle_rec(fixture: &mut Fixture<'_>, change: fn(&mut Fixture<'_>, u64) -> u64) -> Registers {
    let rd = fixture.realm().rd;
    let rec = fixture.rec(rd, 0, false);
    fixture.call(
        Command::RealmActivate,
        realm_activate::Input { rd }.encode(),
    );
    let run_ptr = fixture.non_secure_with(&[]);
    rec_enter::Input {
        rec,
        run_ptr: change(fixture, run_ptr),
    }
    .encode()
}

/// Entry of what is no REC, with a record that no REC could be entered with.
fn bad_record(fixture: &mut Fixture<'_>, change: fn(&mut Fixture<'_>, u64) -> u64) -> Registers {
    let (_, rec) = fixture.active_realm();
    let run_ptr = fixture.non_secure_with(&[enter_flags::EMUL_MMIO]);
    fixture
        .host()
        .write(run_ptr, enter_offset::GICV3_HCR / 8, u64::MAX);
    rec_enter::Input {
        rec: change(fixture, rec),
        run_ptr,
    }
    .encode()
}

/// A case for each pair.
pub(crate) fn cases() -> impl Iterator<Item = Case> {
    let cases: Vec<_> = PAIRS
        .iter()
        .map(|pair| Case {
            command: pair.command,
            condition: pair.first,
            variant: pair.second,
            operand: 0,
            change: Change::None,
            expected: Expected::Condition,
            then_succeeds: false,
            valid: pair.call,
        })
        .collect();
    cases.into_iter()
}
