//! Every failure condition of the commands on granules and realms: provoked by changing one thing in a call that would
//! succeed, reported by its name and code, and without a trace in the state of the machine.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::*;
use cca_abi::rmi::params::{RealmParams, realm_flags};
use common::world::{Coverage, MAPPED, SHARED, World, not_delegated};
use common::{DEVICE, LOW, REALM, SECURE};

#[test]
fn version() {
    let mut all = Coverage::default();
    for req in [
        0,
        0x1_0001,
        0x2_0000,
        0xFFFF,
        1 << 31 | 1 << 16,
        1 << 32 | 1 << 16,
    ] {
        let outputs = all.refused(Version, "incompatible", 1, |_| vec![req]);
        assert_eq!(outputs[..2], [0x1_0000, 0x1_0000]);
    }
    all.complete(&[Version], &[]);
}

#[test]
fn granules() {
    let mut all = Coverage::default();
    all.granule(
        GranuleDelegate,
        ["gran_align", "gran_bound", "gran_state"],
        |w| {
            vec![
                w.spare,
                w.rd,
                w.rec,
                w.machine.monitor_root(w.rd),
                w.machine.data(w.rd, MAPPED),
            ]
        },
        |_, granule| vec![granule],
    );
    for space in [SECURE, REALM] {
        all.refused(GranuleDelegate, "gran_gpt", 1, |w| {
            w.machine.fake().protect(w.host, space);
            vec![w.host]
        });
    }
    let names = ["gran_align", "gran_bound", "gran_state"];
    all.granule(GranuleUndelegate, names, not_delegated, |_, granule| {
        vec![granule]
    });
    all.complete(&[GranuleDelegate, GranuleUndelegate], &[]);
}

#[test]
fn realm_create() {
    let mut all = Coverage::default();
    let with = |w: &World, change: &dyn Fn(&mut RealmParams)| {
        let mut params = w.params;
        change(&mut params);
        vec![w.spare, w.machine.realm_params(&params)]
    };
    all.refused(RealmCreate, "params_align", 1, |w| {
        vec![w.spare, w.host + 8]
    });
    all.refused(RealmCreate, "params_bound", 1, |w| vec![w.spare, DEVICE]);
    all.refused(RealmCreate, "params_pas", 1, |w| vec![w.spare, w.rd]);
    for copies in 0..3 {
        all.refused(RealmCreate, "params_pas", 1, |w| {
            let operands = with(w, &|_| {});
            w.machine.fake().fault_after.store(copies, Relaxed);
            operands
        });
    }
    let invalid: [fn(&mut RealmParams); 3] =
        [|p| p.hash_algo = 2, |p| p.num_bps = 0, |p| p.num_wps = 0];
    for change in invalid {
        all.refused(RealmCreate, "params_valid", 1, |w| with(w, &change));
    }
    let unsupported: [fn(&mut RealmParams); 8] = [
        |p| p.flags = realm_flags::LPA2,
        |p| p.flags = realm_flags::SVE,
        |p| p.flags = realm_flags::PMU,
        |p| p.num_bps = 6,
        |p| p.num_wps = 4,
        |p| p.s2sz = 49,
        |p| p.s2sz = 31,
        |p| p.s2sz = 255,
    ];
    for change in unsupported {
        all.refused(RealmCreate, "params_supp", 1, |w| with(w, &change));
    }
    let inconsistent: [fn(&mut RealmParams); 8] = [
        |p| p.rtt_num_start = 0,
        |p| p.rtt_num_start = 1,
        |p| p.rtt_num_start = 4,
        |p| p.rtt_num_start = u32::MAX,
        |p| p.rtt_level_start = 2,
        |p| p.rtt_level_start = 4,
        |p| p.rtt_level_start = 257,
        |p| p.rtt_level_start = i64::MIN,
    ];
    for change in inconsistent {
        all.refused(RealmCreate, "rtt_num_level", 1, |w| with(w, &change));
    }
    all.refused(RealmCreate, "vmid_valid", 1, |w| with(w, &|p| p.vmid = 1));
    for table in 0..2 {
        all.refused(RealmCreate, "alias", 1, |w| {
            vec![w.root + table * 4096, w.machine.realm_params(&w.params)]
        });
    }
    // Wherever the tables are, what is wrong with the RD is said first.
    for tables_below in [false, true] {
        all.granule(
            RealmCreate,
            ["rd_align", "rd_bound", "rd_state"],
            not_delegated,
            |w, rd| {
                let rtt_base = if tables_below {
                    0x1000_0000
                } else {
                    LOW.base + LOW.size - 0x2000
                };
                vec![
                    rd,
                    w.machine.realm_params(&RealmParams {
                        rtt_base,
                        ..w.params
                    }),
                ]
            },
        );
    }
    for offset in [0x1000, 8] {
        all.refused(RealmCreate, "rtt_align", 1, |w| {
            with(w, &|p| p.rtt_base -= offset)
        });
    }
    all.refused(RealmCreate, "rtt_state", 1, |w| {
        with(w, &|p| p.rtt_base = DEVICE)
    });
    all.refused(RealmCreate, "rtt_state", 1, |w| {
        with(w, &|p| p.rtt_base = !0x1FFF)
    });
    for table in 0..2 {
        all.refused(RealmCreate, "rtt_state", 1, |w| {
            w.machine
                .call(GranuleUndelegate, &[w.root + table * 4096])
                .ok();
            with(w, &|_| {})
        });
    }
    all.complete(&[RealmCreate], &[]);
}

#[test]
fn a_refused_realm_gives_its_vmid_back() {
    let world = World::new();
    let params = world.machine.realm_params(&world.params);
    assert_eq!(
        world
            .machine
            .call(RealmCreate, &[world.rd, params])
            .condition,
        Some("rd_state")
    );
    world.machine.call(RealmCreate, &[world.spare, params]).ok();
}

#[test]
fn realms() {
    let mut all = Coverage::default();
    for command in [RealmActivate, RealmDestroy, RecAuxCount] {
        all.rd(command, |_, rd| vec![rd]);
    }
    all.refused(RealmActivate, "realm_state", 2, |w| vec![w.active]);
    // Tables and RECs keep a realm alive, each alone.
    all.refused(RealmDestroy, "realm_live", 2, |w| {
        w.machine.table(w.empty, 0x4000_0000, 2);
        vec![w.empty]
    });
    all.refused(RealmDestroy, "realm_live", 2, |w| {
        w.machine.table(w.empty, SHARED + (1 << 38), 2);
        vec![w.empty]
    });
    all.refused(RealmDestroy, "realm_live", 2, |w| {
        World::rec(&w.machine, w.empty);
        vec![w.empty]
    });
    all.complete(&[RealmActivate, RealmDestroy, RecAuxCount], &[]);
}

#[test]
fn what_is_no_command_is_not_supported() {
    let world = World::new();
    let before = world.machine.fake().snapshot();
    for function in [
        0xC400_0156_u64,
        0xC400_0160,
        0xC400_0163,
        0xC400_016A,
        0xC400_0190,
        0x8400_0150,
    ] {
        let mut x = cca_abi::smccc::Registers([function; 18]);
        let done = world.machine.monitor.handle_rmi(&mut common::Idle, &mut x);
        assert_eq!((done.command, x.0[0], x.0[1]), (None, u64::MAX, function));
    }
    assert!(world.machine.fake().snapshot() == before);
}
