//! RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_FOLD and RMI_RTT_READ_ENTRY.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, rtt_create, rtt_destroy, rtt_fold, rtt_read_entry};

use super::{IPA, Of};
use crate::case::{Case, Change};
use crate::realm::{IPA_BITS, UNPROTECTED};

/// A level as a register.
const fn level(level: i64) -> Change {
    Change::Value(level.cast_unsigned())
}

pub(super) fn cases(cases: &mut Vec<Case>) {
    create(cases);
    destroy(cases);
    fold(cases);
    read_entry(cases);
}

fn create(cases: &mut Vec<Case>) {
    let mut of = Of::new(cases, Command::RttCreate, |fixture| {
        let realm = fixture.realm();
        fixture.table(realm.rd, IPA, 2);
        rtt_create::Input {
            rd: realm.rd,
            rtt: fixture.delegated(),
            ipa: IPA,
            level: 3,
        }
        .encode()
    });
    of.succeeds("level 3")
        .succeeds_with("level 2", |fixture| {
            let realm = fixture.realm();
            rtt_create::Input {
                rd: realm.rd,
                rtt: fixture.delegated(),
                ipa: IPA,
                level: 2,
            }
            .encode()
        })
        .succeeds_with("unprotected", |fixture| {
            let (realm, _) = fixture.active_realm();
            rtt_create::Input {
                rd: realm.rd,
                rtt: fixture.delegated(),
                ipa: UNPROTECTED,
                level: 2,
            }
            .encode()
        })
        .delegated(2, ["rtt_align", "rtt_bound", "rtt_state"])
        .fails("rtt_bound2", "2^48", 2, Change::Value(1 << 48))
        .realm_descriptor(1)
        .fails("level_bound", "start level", 4, level(1))
        .fails("level_bound", "level 0", 4, level(0))
        .fails("level_bound", "level 4", 4, level(4))
        .fails("level_bound", "level -1", 4, level(-1))
        .fails("level_bound", "level 2^32 + 3", 4, level(0x1_0000_0003))
        .fails("ipa_align", "4 KiB only", 3, Change::Flip(0x1000))
        .fails("ipa_align", "1 byte", 3, Change::Flip(1))
        .fails("ipa_bound", "outside", 3, Change::Value(1 << IPA_BITS))
        .fails_at(
            "rtt_walk",
            "no table of level 2",
            3,
            Change::Value(IPA + (1 << 30)),
            1,
        )
        .fails_after_at(
            "rtte_state",
            "level 3 exists",
            |fixture| {
                let realm = fixture.realm();
                fixture.tables(realm.rd, IPA);
                rtt_create::Input {
                    rd: realm.rd,
                    rtt: fixture.delegated(),
                    ipa: IPA,
                    level: 3,
                }
                .encode()
            },
            2,
        )
        .fails_after_at(
            "rtte_state",
            "level 2 exists",
            |fixture| {
                let realm = fixture.realm();
                fixture.tables(realm.rd, IPA);
                rtt_create::Input {
                    rd: realm.rd,
                    rtt: fixture.delegated(),
                    ipa: IPA,
                    level: 2,
                }
                .encode()
            },
            1,
        );
}

fn destroy(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RttDestroy, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        rtt_destroy::Input {
            rd: realm.rd,
            ipa: IPA,
            level: 3,
        }
        .encode()
    })
    .succeeds("protected")
    .succeeds_with("unprotected", |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, UNPROTECTED);
        rtt_destroy::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 3,
        }
        .encode()
    })
    .realm_descriptor(1)
    .fails("level_bound", "start level", 3, level(1))
    .fails("level_bound", "level 4", 3, level(4))
    .fails("ipa_align", "", 2, Change::Flip(0x1000))
    .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS))
    .fails_at(
        "rtt_walk",
        "no table of level 2",
        2,
        Change::Value(IPA + (1 << 30)),
        1,
    )
    .fails_at(
        "rtte_state",
        "no table",
        2,
        Change::Value(IPA + (1 << 21)),
        2,
    )
    .fails_after_at(
        "rtt_live",
        "data",
        |fixture| {
            let realm = fixture.realm();
            fixture.data(realm.rd, IPA);
            rtt_destroy::Input {
                rd: realm.rd,
                ipa: IPA,
                level: 3,
            }
            .encode()
        },
        3,
    )
    .fails_after_at(
        "rtt_live",
        "table",
        |fixture| {
            let realm = fixture.realm();
            fixture.tables(realm.rd, IPA);
            rtt_destroy::Input {
                rd: realm.rd,
                ipa: IPA,
                level: 2,
            }
            .encode()
        },
        2,
    );
}

fn fold(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RttFold, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        rtt_fold::Input {
            rd: realm.rd,
            ipa: IPA,
            level: 3,
        }
        .encode()
    })
    .succeeds("unassigned")
    .succeeds_with("unprotected", |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, UNPROTECTED);
        rtt_fold::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 3,
        }
        .encode()
    })
    .realm_descriptor(1)
    .fails("level_bound", "start level", 3, level(1))
    .fails("level_bound", "level 4", 3, level(4))
    .fails("ipa_align", "", 2, Change::Flip(0x1000))
    .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS))
    .fails_at(
        "rtt_walk",
        "no table of level 2",
        2,
        Change::Value(IPA + (1 << 30)),
        1,
    )
    .fails_at(
        "rtte_state",
        "no table",
        2,
        Change::Value(IPA + (1 << 21)),
        2,
    )
    .fails_after_at(
        "rtt_homo",
        "one page",
        |fixture| {
            let realm = fixture.realm();
            fixture.data(realm.rd, IPA + 4096);
            rtt_fold::Input {
                rd: realm.rd,
                ipa: IPA,
                level: 3,
            }
            .encode()
        },
        3,
    )
    .fails_after_at(
        "rtt_homo",
        "table below",
        |fixture| {
            let realm = fixture.realm();
            fixture.tables(realm.rd, IPA);
            rtt_fold::Input {
                rd: realm.rd,
                ipa: IPA,
                level: 2,
            }
            .encode()
        },
        2,
    );
}

fn read_entry(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RttReadEntry, |fixture| {
        let realm = fixture.realm();
        fixture.data(realm.rd, IPA);
        rtt_read_entry::Input {
            rd: realm.rd,
            ipa: IPA,
            level: 3,
        }
        .encode()
    })
    .succeeds("assigned")
    .succeeds_with("walk ends early", |fixture| {
        let realm = fixture.realm();
        rtt_read_entry::Input {
            rd: realm.rd,
            ipa: IPA,
            level: 3,
        }
        .encode()
    })
    .succeeds_with("start level", |fixture| {
        let realm = fixture.realm();
        rtt_read_entry::Input {
            rd: realm.rd,
            ipa: UNPROTECTED,
            level: 1,
        }
        .encode()
    })
    .realm_descriptor(1)
    .fails("level_bound", "above the start level", 3, level(0))
    .fails("level_bound", "level 4", 3, level(4))
    .fails("ipa_align", "", 2, Change::Unaligned)
    .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS));
}
