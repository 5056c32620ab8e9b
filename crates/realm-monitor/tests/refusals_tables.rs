//! Every failure condition of the commands on tables: provoked by changing one thing in a call that would
//! succeed, reported by its name and code, and without a trace in the state of the machine.

mod common;

use cca_abi::rmi::Command::*;
use common::HIGH;
use common::world::*;

/// Levels at which no table can be created, destroyed or folded in a realm that starts at level 1.
const BAD_TABLE_LEVELS: [i64; 7] = [-1, 0, 1, 4, 256 + 3, i64::MIN, i64::MAX];

#[test]
fn rtt_create() {
    let mut all = Coverage::default();
    let names = ["rtt_align", "rtt_bound", "rtt_state"];
    all.granule(RttCreate, names, not_delegated, |w, rtt| {
        vec![w.rd, rtt, NO_PAGES, 3]
    });
    all.rd(RttCreate, |w, rd| vec![rd, w.spare, NO_PAGES, 3]);
    for level in BAD_TABLE_LEVELS {
        all.refused(RttCreate, "level_bound", 1, |w| {
            vec![w.rd, w.spare, 0, level as u64]
        });
    }
    all.refused(RttCreate, "ipa_align", 1, |w| {
        vec![w.rd, w.spare, NO_PAGES + 0x1000, 3]
    });
    all.refused(RttCreate, "ipa_align", 1, |w| {
        vec![w.rd, w.spare, NO_TABLES + 0x20_0000, 2]
    });
    all.refused(RttCreate, "ipa_bound", 1, |w| {
        vec![w.rd, w.spare, PAST_SPACE, 3]
    });
    all.refused(RttCreate, "rtt_bound2", 1, |w| {
        w.machine.call(GranuleDelegate, &[HIGH.base]).ok();
        vec![w.rd, HIGH.base, NO_PAGES, 3]
    });
    all.refused(RttCreate, "rtt_walk", 0x104, |w| {
        vec![w.rd, w.spare, NO_TABLES, 3]
    });
    all.refused(RttCreate, "rtte_state", 0x104, |w| {
        vec![w.rd, w.spare, 0x4000_0000, 2]
    });
    all.refused(RttCreate, "rtte_state", 0x204, |w| {
        vec![w.rd, w.spare, PAGES, 3]
    });
    all.complete(&[RttCreate], &[]);
}

#[test]
fn rtt_destroy_and_fold() {
    let mut all = Coverage::default();
    for command in [RttDestroy, RttFold] {
        all.rd(command, |_, rd| vec![rd, PAGES, 3]);
        for level in BAD_TABLE_LEVELS {
            all.refused(command, "level_bound", 1, |w| vec![w.rd, 0, level as u64]);
        }
        all.refused(command, "ipa_align", 1, |w| vec![w.rd, PAGES + 0x1000, 3]);
        all.refused(command, "ipa_bound", 1, |w| vec![w.rd, PAST_SPACE, 3]);
    }
    let top = |outputs: [u64; 5]| {
        assert_eq!(outputs[0], 0);
        outputs[1]
    };
    assert_eq!(
        top(all.refused(RttDestroy, "rtt_walk", 0x104, |w| vec![w.rd, NO_TABLES, 3])),
        SHARED
    );
    assert_eq!(
        top(all.refused(RttDestroy, "rtte_state", 0x204, |w| vec![w.rd, NO_PAGES, 3])),
        0x8000_0000
    );
    assert_eq!(
        top(all.refused(RttDestroy, "rtte_state", 0x104, |w| vec![
            w.rd, NO_TABLES, 2
        ])),
        SHARED
    );
    assert_eq!(
        top(all.refused(RttDestroy, "rtt_live", 0x304, |w| vec![w.rd, PAGES, 3])),
        PAGES
    );
    assert_eq!(
        top(all.refused(RttDestroy, "rtt_live", 0x204, |w| vec![
            w.rd,
            0x4000_0000,
            2
        ])),
        0x4000_0000
    );

    all.refused(RttFold, "rtt_walk", 0x104, |w| vec![w.rd, NO_TABLES, 3]);
    all.refused(RttFold, "rtte_state", 0x204, |w| vec![w.rd, NO_PAGES, 3]);
    all.refused(RttFold, "rtt_homo", 0x304, |w| vec![w.rd, PAGES, 3]);
    all.refused(RttFold, "rtt_homo", 0x304, |w| vec![w.rd, SHARED, 3]);
    all.refused(RttFold, "rtt_homo", 0x204, |w| vec![w.rd, 0x4000_0000, 2]);
    all.refused(RttFold, "rtt_homo", 0x304, |w| {
        w.machine.table(w.rd, NO_PAGES, 3);
        w.machine
            .call(RttInitRipas, &[w.rd, NO_PAGES, NO_PAGES + 0x1000])
            .ok();
        vec![w.rd, NO_PAGES, 3]
    });
    all.complete(&[RttDestroy, RttFold], &[]);
}

#[test]
fn rtt_read_entry() {
    let mut all = Coverage::default();
    all.rd(RttReadEntry, |_, rd| vec![rd, PAGES, 3]);
    for level in [-1_i64, 0, 4, 256 + 3, i64::MIN, i64::MAX] {
        all.refused(RttReadEntry, "level_bound", 1, |w| {
            vec![w.rd, 0, level as u64]
        });
    }
    all.refused(RttReadEntry, "ipa_align", 1, |w| vec![w.rd, MAPPED, 2]);
    let outputs = all.refused(RttReadEntry, "ipa_bound", 1, |w| vec![w.rd, PAST_SPACE, 3]);
    assert_eq!(outputs[..3], [0; 3]);
    all.complete(&[RttReadEntry], &[]);
}

#[test]
fn unprotected() {
    let mut all = Coverage::default();
    let page = 0x1234_5000 | ATTRIBUTES;
    all.rd(RttMapUnprotected, |_, rd| vec![rd, SHARED, 3, page]);
    all.rd(RttUnmapUnprotected, |_, rd| vec![rd, SHARED + 0x1000, 3]);
    for command in [RttMapUnprotected, RttUnmapUnprotected] {
        for level in [-1_i64, 0, 4, 256 + 3, i64::MIN] {
            all.refused(command, "level_bound", 1, |w| {
                vec![w.rd, SHARED, level as u64, ATTRIBUTES]
            });
        }
        all.refused(command, "ipa_align", 1, |w| vec![w.rd, SHARED + 8, 3, page]);
        all.refused(command, "ipa_align", 1, |w| {
            vec![w.rd, SHARED + 0x1000, 2, ATTRIBUTES]
        });
        for ipa in [PAGES, SHARED - 0x1000, PAST_SPACE] {
            all.refused(command, "ipa_bound", 1, |w| vec![w.rd, ipa, 3, page]);
        }
    }
    all.refused(RttMapUnprotected, "attr_valid", 1, |w| {
        vec![w.rd, SHARED, 3, 0x1234_5000 | 0b100 << 2]
    });
    for bit in [0, 1, 5, 8, 9, 10, 11, 50, 54, 55, 63] {
        all.refused(RttMapUnprotected, "attr_valid", 1, |w| {
            vec![w.rd, SHARED, 3, page | 1 << bit]
        });
    }
    all.refused(RttMapUnprotected, "addr_align", 1, |w| {
        vec![w.rd, SHARED, 2, page]
    });
    all.refused(RttMapUnprotected, "addr_bound", 1, |w| {
        vec![w.rd, SHARED, 3, page | 1 << 48]
    });
    all.refused(RttMapUnprotected, "rtt_walk", 0x204, |w| {
        vec![w.rd, SHARED + 0x20_0000, 3, page]
    });
    all.refused(RttMapUnprotected, "rtte_state", 0x304, |w| {
        vec![w.rd, SHARED + 0x1000, 3, page]
    });
    all.refused(RttMapUnprotected, "rtte_state", 0x204, |w| {
        vec![w.rd, SHARED, 2, ATTRIBUTES]
    });

    let hole = SHARED + 0x20_0000;
    let outputs = all.refused(RttUnmapUnprotected, "rtt_walk", 0x204, |w| {
        vec![w.rd, hole, 3]
    });
    assert_eq!(outputs[0], SHARED + (1 << 30));
    let outputs = all.refused(RttUnmapUnprotected, "rtt_walk", 0x104, |w| {
        w.machine
            .call(
                RttMapUnprotected,
                &[w.rd, SHARED + (1 << 30), 1, ATTRIBUTES],
            )
            .ok();
        vec![w.rd, SHARED + (1 << 30) + 0x5000, 3]
    });
    assert_eq!(
        outputs[0],
        SHARED + (1 << 30) + 0x5000,
        "in the middle of a block"
    );
    let outputs = all.refused(RttUnmapUnprotected, "rtte_state", 0x304, |w| {
        vec![w.rd, SHARED, 3]
    });
    assert_eq!(outputs[0], SHARED + 0x1000);
    let outputs = all.refused(RttUnmapUnprotected, "rtte_state", 0x204, |w| {
        vec![w.rd, SHARED, 2]
    });
    assert_eq!(outputs[0], SHARED, "a table is live");
    all.complete(&[RttMapUnprotected, RttUnmapUnprotected], &[]);
}
