//! Every failure condition of the commands on pages and RIPAS: provoked by changing one thing in a call that would
//! succeed, reported by its name and code, and without a trace in the state of the machine.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::*;
use common::world::*;
use common::{DEVICE, HIGH, SECURE};
use realm_monitor::rec::layout;

#[test]
fn data_create() {
    let mut all = Coverage::default();
    let names = ["data_align", "data_bound", "data_state"];
    all.granule(DataCreate, names, not_delegated, |w, data| {
        vec![w.rd, data, PAGES, w.host, 0]
    });
    all.granule(DataCreateUnknown, names, not_delegated, |w, data| {
        vec![w.rd, data, PAGES]
    });
    all.rd(DataCreate, |w, rd| vec![rd, w.spare, PAGES, w.host, 0]);
    all.rd(DataCreateUnknown, |w, rd| vec![rd, w.spare, PAGES]);
    all.refused(DataCreate, "rd_state", 1, |w| {
        vec![w.spare, w.spare, PAGES, w.host, 0]
    });

    all.refused(DataCreate, "flags", 1, |w| {
        vec![w.rd, w.spare, PAGES, w.host, 2]
    });
    all.refused(DataCreate, "src_align", 1, |w| {
        vec![w.rd, w.spare, PAGES, w.host + 8, 0]
    });
    all.refused(DataCreate, "src_bound", 1, |w| {
        vec![w.rd, w.spare, PAGES, DEVICE, 0]
    });
    all.refused(DataCreate, "src_pas", 1, |w| {
        vec![w.rd, w.spare, PAGES, w.spare, 0]
    });
    all.refused(DataCreate, "src_pas", 1, |w| {
        w.machine.fake().protect(w.host, SECURE);
        vec![w.rd, w.spare, PAGES, w.host, 0]
    });
    // The page is taken away between the first look and the end of the copy.
    all.refused(DataCreate, "src_pas", 1, |w| {
        w.machine.fake().fault_after.store(1, Relaxed);
        vec![w.rd, w.spare, PAGES, w.host, 1]
    });
    all.refused(DataCreate, "realm_state", 2, |w| {
        vec![w.active, w.spare, PAGES, w.host, 0]
    });

    for command in [DataCreate, DataCreateUnknown] {
        let call = |rd, data, ipa, src| match command {
            DataCreate => vec![rd, data, ipa, src, 0],
            _ => vec![rd, data, ipa],
        };
        all.refused(command, "data_bound2", 1, |w| {
            w.machine.call(GranuleDelegate, &[HIGH.base]).ok();
            call(w.rd, HIGH.base, PAGES, w.host)
        });
        all.refused(command, "ipa_align", 1, |w| {
            call(w.rd, w.spare, PAGES + 8, w.host)
        });
        for ipa in [SHARED, SHARED + 0x1000, PAST_SPACE, !0xFFF] {
            all.refused(command, "ipa_bound", 1, |w| {
                call(w.rd, w.spare, ipa, w.host)
            });
        }
        all.refused(command, "rtt_walk", 0x204, |w| {
            call(w.rd, w.spare, NO_PAGES, w.host)
        });
        all.refused(command, "rtt_walk", 0x104, |w| {
            call(w.rd, w.spare, NO_TABLES, w.host)
        });
        all.refused(command, "rtte_state", 0x304, |w| {
            call(w.rd, w.spare, MAPPED, w.host)
        });
    }
    all.complete(&[DataCreate, DataCreateUnknown], &[]);
}

#[test]
fn data_destroy() {
    let mut all = Coverage::default();
    all.rd(DataDestroy, |_, rd| vec![rd, MAPPED]);
    all.refused(DataDestroy, "ipa_align", 1, |w| vec![w.rd, MAPPED + 8]);
    all.refused(DataDestroy, "ipa_bound", 1, |w| vec![w.rd, SHARED + 0x1000]);
    all.refused(DataDestroy, "ipa_bound", 1, |w| vec![w.rd, PAST_SPACE]);
    let top = |outputs: [u64; 5]| {
        assert_eq!(outputs[0], 0);
        outputs[1]
    };
    assert_eq!(
        top(all.refused(DataDestroy, "rtt_walk", 0x104, |w| vec![w.rd, NO_TABLES])),
        SHARED
    );
    assert_eq!(
        top(all.refused(DataDestroy, "rtt_walk", 0x104, |w| vec![w.rd, 0])),
        0x4000_0000
    );
    assert_eq!(
        top(all.refused(DataDestroy, "rtt_walk", 0x204, |w| vec![
            w.rd,
            NO_PAGES + 0x3000
        ])),
        0x8000_0000
    );
    assert_eq!(
        top(all.refused(DataDestroy, "rtte_state", 0x304, |w| vec![w.rd, PAGES])),
        MAPPED
    );
    assert_eq!(
        top(all.refused(DataDestroy, "rtte_state", 0x304, |w| vec![
            w.rd,
            MAPPED + 0x1000
        ])),
        NO_PAGES
    );
    all.complete(&[DataDestroy], &[]);
}

#[test]
fn init_ripas() {
    let mut all = Coverage::default();
    all.refused(RttInitRipas, "size_valid", 1, |w| vec![w.rd, PAGES, PAGES]);
    all.refused(RttInitRipas, "size_valid", 1, |w| vec![w.rd, PAGES, 0]);
    all.rd(RttInitRipas, |_, rd| vec![rd, PAGES, PAGES + 0x1000]);
    all.refused(RttInitRipas, "top_gran_align", 1, |w| {
        vec![w.rd, PAGES, PAGES + 0x1008]
    });
    all.refused(RttInitRipas, "top_bound", 1, |w| {
        vec![w.rd, PAGES, SHARED + 0x1000]
    });
    all.refused(RttInitRipas, "top_bound", 1, |w| {
        vec![w.rd, PAST_SPACE, PAST_SPACE + 0x1000]
    });
    all.refused(RttInitRipas, "realm_state", 2, |w| {
        vec![w.active, PAGES, PAGES + 0x1000]
    });
    all.refused(RttInitRipas, "base_align", 0x204, |w| {
        vec![w.rd, NO_PAGES + 0x1000, NO_PAGES + 0x20_0000]
    });
    all.refused(RttInitRipas, "base_align", 0x304, |w| {
        vec![w.rd, PAGES + 8, PAGES + 0x1000]
    });
    all.refused(RttInitRipas, "rtte_state", 0x304, |w| {
        vec![w.rd, MAPPED, MAPPED + 0x1000]
    });
    all.refused(RttInitRipas, "no_progress", 0x204, |w| {
        vec![w.rd, NO_PAGES, NO_PAGES + 0x1F_F000]
    });
    all.complete(&[RttInitRipas], &[]);
}

#[test]
fn set_ripas() {
    let mut all = Coverage::default();
    let page = PAGES + 0x1000;
    all.refused(RttSetRipas, "size_valid", 1, |w| {
        vec![w.rd, w.rec, PAGES, PAGES]
    });
    all.refused(RttSetRipas, "top_gran_align", 1, |w| {
        vec![w.rd, w.rec, PAGES, page + 8]
    });
    all.rd(RttSetRipas, |w, rd| vec![rd, w.rec, PAGES, page]);
    all.granule(
        RttSetRipas,
        ["rec_align", "rec_bound", "rec_gran_state"],
        |w| {
            vec![
                w.host,
                w.spare,
                w.rd,
                w.machine.monitor_root(w.rd),
                w.machine.data(w.rd, MAPPED),
            ]
        },
        |w, rec| vec![w.rd, rec, PAGES, page],
    );
    all.refused(RttSetRipas, "rec_state", 3, |w| {
        w.machine.monitor.granules().add(w.machine.fake(), w.rec, 1);
        vec![w.rd, w.rec, PAGES, page]
    });
    all.refused(RttSetRipas, "rec_owner", 3, |w| {
        vec![w.rd, w.stranger, PAGES, page]
    });
    all.refused(RttSetRipas, "base_bound", 1, |w| {
        vec![w.rd, w.rec, page, page + 0x1000]
    });
    all.refused(RttSetRipas, "top_bound", 1, |w| {
        vec![w.rd, w.rec, PAGES, PAGES + 0x80_1000]
    });
    all.refused(RttSetRipas, "top_bound", 1, |w| {
        let words = w.machine.fake().words(w.rec);
        words[layout::RIPAS_ADDR].store(0, Relaxed);
        words[layout::RIPAS_TOP].store(0, Relaxed);
        vec![w.rd, w.rec, 0, 0x1000]
    });
    let next = |w: &World, base: u64| {
        w.machine.fake().words(w.rec)[layout::RIPAS_ADDR].store(base, Relaxed)
    };
    all.refused(RttSetRipas, "base_align", 0x204, |w| {
        next(w, NO_PAGES + 0x1000);
        vec![w.rd, w.rec, NO_PAGES + 0x1000, NO_PAGES + 0x20_0000]
    });
    all.refused(RttSetRipas, "no_progress", 0x204, |w| {
        next(w, NO_PAGES);
        vec![w.rd, w.rec, NO_PAGES, NO_PAGES + 0x1000]
    });
    // Also if the entry is as requested already: a host that believed in success would call for ever.
    all.refused(RttSetRipas, "no_progress", 0x204, |w| {
        w.machine
            .call(RttInitRipas, &[w.rd, NO_PAGES, NO_PAGES + 0x20_0000])
            .ok();
        next(w, NO_PAGES + 0x1000);
        vec![w.rd, w.rec, NO_PAGES + 0x1000, NO_PAGES + 0x2000]
    });
    // What was destroyed stays destroyed unless the realm says otherwise.
    all.refused(RttSetRipas, "no_progress", 0x304, |w| {
        w.machine.call(DataDestroy, &[w.rd, MAPPED]).ok();
        next(w, MAPPED);
        vec![w.rd, w.rec, MAPPED, MAPPED + 0x1000]
    });
    all.complete(&[RttSetRipas], &[]);
}
