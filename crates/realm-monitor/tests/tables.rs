//! What the commands on pages and tables do when they succeed.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::*;
use cca_abi::rmi::params::RealmParams;
use common::world::*;
use common::{Machine, create_realm, usual_cpu, usual_params};
use realm_monitor::granule::GranuleState;
use realm_monitor::platform::TlbScope;

const EMPTY: u64 = 0;
const RAM: u64 = 1;
const DESTROYED: u64 = 2;
const VMID: u16 = 7;

/// A new realm with a level 2 table at 1 GiB and one for the first unprotected GiB.
fn realm() -> (Machine, u64) {
    let machine = Machine::new(usual_cpu());
    let rd = create_realm(&machine, &usual_params(&machine));
    machine.table(rd, 0x4000_0000, 2);
    machine.table(rd, SHARED, 2);
    (machine, rd)
}

fn invalidations(machine: &Machine) -> Vec<TlbScope> {
    std::mem::take(&mut machine.fake().invalidations.lock().unwrap())
}

#[test]
fn a_page_is_created_with_content_and_destroyed() {
    let (machine, rd) = realm();
    machine.table(rd, PAGES, 3);
    let (data, src) = (machine.delegated(), machine.host_filled(0x3C));
    machine.call(DataCreate, &[rd, data, PAGES, src, 0]).ok();
    assert_eq!(machine.read(rd, PAGES, 3), [3, 1, data, RAM]);
    assert_eq!(
        machine.monitor.granule_state(data),
        Some(GranuleState::Data)
    );
    assert_eq!(
        machine.fake().words(data)[511].load(Relaxed),
        0x3C3C_3C3C_3C3C_3C3C
    );

    assert_eq!(invalidations(&machine), []);
    let x = machine.call(DataDestroy, &[rd, PAGES]).ok().x.0;
    assert_eq!(x[1..3], [data, NO_PAGES]);
    assert_eq!(machine.read(rd, PAGES, 3), [3, 0, 0, DESTROYED]);
    assert!(machine.is_zero(data));
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Page {
            vmid: VMID,
            ipa: PAGES
        }]
    );
    machine.call(GranuleUndelegate, &[data]).ok();

    // DESTROYED is no obstacle to new measured content.
    let data = machine.delegated();
    machine.call(DataCreate, &[rd, data, PAGES, src, 1]).ok();
    assert_eq!(machine.read(rd, PAGES, 3), [3, 1, data, RAM]);
}

#[test]
fn an_unknown_page_keeps_the_ripas_of_its_place() {
    let (machine, rd) = realm();
    machine.table(rd, PAGES, 3);
    let (ram, destroyed) = (PAGES + 0x1000, PAGES + 0x2000);
    machine.call(RttInitRipas, &[rd, ram, destroyed]).ok();
    machine
        .call(DataCreateUnknown, &[rd, machine.delegated(), destroyed])
        .ok();
    let src = machine.host();
    machine
        .call(
            DataCreate,
            &[rd, machine.delegated(), PAGES + 0x3000, src, 0],
        )
        .ok();
    machine.call(DataDestroy, &[rd, PAGES + 0x3000]).ok();
    let expected = [
        (PAGES, EMPTY, EMPTY),
        (ram, RAM, DESTROYED),
        (PAGES + 0x3000, DESTROYED, DESTROYED),
    ];
    for (ipa, ripas, after) in expected {
        let data = machine.delegated();
        machine.call(DataCreateUnknown, &[rd, data, ipa]).ok();
        assert_eq!(machine.read(rd, ipa, 3), [3, 1, data, ripas]);
        invalidations(&machine);
        machine.call(DataDestroy, &[rd, ipa]).ok();
        assert_eq!(machine.read(rd, ipa, 3), [3, 0, 0, after]);
        // Only what was valid can be cached.
        let valid = ripas == RAM;
        let expected = valid.then_some(TlbScope::Page { vmid: VMID, ipa });
        assert_eq!(invalidations(&machine), Vec::from_iter(expected));
    }
}

#[test]
fn top_skips_what_is_not_live() {
    let (machine, rd) = realm();
    machine.table(rd, PAGES, 3);
    for i in [0, 5, 511] {
        machine
            .call(
                DataCreateUnknown,
                &[rd, machine.delegated(), PAGES + i * 0x1000],
            )
            .ok();
    }
    let top = |ipa| machine.call(DataDestroy, &[rd, ipa]).ok().x.0[2];
    assert_eq!(top(PAGES), PAGES + 0x5000);
    assert_eq!(top(PAGES + 0x5000), PAGES + 511 * 0x1000);
    assert_eq!(top(PAGES + 511 * 0x1000), NO_PAGES);
}

#[test]
fn a_table_inherits_what_its_parent_said() {
    let (machine, rd) = realm();
    machine.call(RttInitRipas, &[rd, PAGES, NO_PAGES]).ok();
    machine.table(rd, PAGES, 3);
    machine.table(rd, NO_PAGES, 3);
    for i in [0, 1, 511] {
        assert_eq!(machine.read(rd, PAGES + i * 0x1000, 3), [3, 0, 0, RAM]);
        assert_eq!(machine.read(rd, NO_PAGES + i * 0x1000, 3), [3, 0, 0, EMPTY]);
    }
    assert_eq!(machine.read(rd, PAGES, 2)[1], 2);
    assert_eq!(invalidations(&machine), [], "nothing was valid");
}

#[test]
fn a_destroyed_table_leaves_destroyed_memory() {
    let (machine, rd) = realm();
    let table = machine.table(rd, PAGES, 3);
    let next = machine.table(rd, PAGES + 0x80_0000, 3);
    let x = machine.call(RttDestroy, &[rd, PAGES, 3]).ok().x.0;
    assert_eq!(x[1..3], [table, PAGES + 0x80_0000]);
    assert_eq!(machine.read(rd, PAGES, 3), [2, 0, 0, DESTROYED]);
    assert_eq!(
        machine.monitor.granule_state(table),
        Some(GranuleState::Delegated)
    );
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Table {
            vmid: VMID,
            ipa: PAGES
        }]
    );
    // A table made again says so too, and is not live.
    machine.table(rd, PAGES, 3);
    assert_eq!(machine.read(rd, PAGES + 0x1F_F000, 3), [3, 0, 0, DESTROYED]);
    for (ipa, top) in [(PAGES, PAGES + 0x80_0000), (PAGES + 0x80_0000, 0x8000_0000)] {
        assert_eq!(machine.call(RttDestroy, &[rd, ipa, 3]).ok().x.0[2], top);
    }
    assert!(machine.is_zero(table) && machine.is_zero(next));
    machine.call(RttDestroy, &[rd, 0x4000_0000, 2]).ok();
    machine.call(RttDestroy, &[rd, SHARED, 2]).ok();
    assert_eq!(machine.read(rd, SHARED, 1), [1, 0, 0, EMPTY]);
    machine.call(RealmDestroy, &[rd]).ok();
}

#[test]
fn unprotected_memory_is_mapped_and_unmapped() {
    let (machine, rd) = realm();
    let table = machine.table(rd, SHARED, 3);
    let page = SHARED + 0x3000;
    let desc = 0xFFFF_FFFF_F000 | 0b001 << 2 | 0b10 << 6;
    machine.call(RttMapUnprotected, &[rd, page, 3, desc]).ok();
    assert_eq!(machine.read(rd, page, 3), [3, 1, desc, EMPTY]);
    let block = SHARED + 0x20_0000;
    machine
        .call(RttMapUnprotected, &[rd, block, 2, 0x4000_0000 | 0b101 << 2])
        .ok();
    assert_eq!(
        machine.read(rd, block, 2),
        [2, 1, 0x4000_0000 | 0b101 << 2, EMPTY]
    );
    machine
        .call(RttMapUnprotected, &[rd, SHARED + (1 << 30), 1, 0])
        .ok();
    assert_eq!(invalidations(&machine), []);

    assert_eq!(
        machine.call(RttUnmapUnprotected, &[rd, page, 3]).ok().x.0[1],
        block
    );
    assert_eq!(
        machine.call(RttUnmapUnprotected, &[rd, block, 2]).ok().x.0[1],
        SHARED + (1 << 30)
    );
    assert_eq!(machine.read(rd, block, 2), [2, 0, 0, EMPTY]);
    let expected = [
        TlbScope::Page {
            vmid: VMID,
            ipa: page,
        },
        TlbScope::Block {
            vmid: VMID,
            ipa: block,
            level: 2,
        },
    ];
    assert_eq!(invalidations(&machine), expected);

    // A table goes with the mappings in it.
    machine.call(RttMapUnprotected, &[rd, page, 3, desc]).ok();
    assert_eq!(
        machine.call(RttDestroy, &[rd, SHARED, 3]).ok().x.0[1],
        table
    );
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Range {
            vmid: VMID,
            ipa: SHARED,
            size: 0x20_0000
        }]
    );
    assert_eq!(machine.read(rd, page, 3), [2, 0, 0, EMPTY]);
}

#[test]
fn unprotected_blocks_split_and_fold() {
    let (machine, rd) = realm();
    let block = 0x4000_0000 | 0b110 << 2 | 0b11 << 6;
    machine
        .call(RttMapUnprotected, &[rd, SHARED, 2, block])
        .ok();
    let table = machine.table(rd, SHARED, 3);
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Block {
            vmid: VMID,
            ipa: SHARED,
            level: 2
        }]
    );
    for i in [0, 1, 511] {
        assert_eq!(
            machine.read(rd, SHARED + i * 0x1000, 3),
            [3, 1, block + i * 0x1000, EMPTY]
        );
    }
    assert_eq!(machine.call(RttFold, &[rd, SHARED, 3]).ok().x.0[1], table);
    assert_eq!(machine.read(rd, SHARED, 3), [2, 1, block, EMPTY]);
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Range {
            vmid: VMID,
            ipa: SHARED,
            size: 0x20_0000
        }]
    );
    machine.call(RttUnmapUnprotected, &[rd, SHARED, 2]).ok();
    machine.call(RttFold, &[rd, SHARED, 2]).ok();
    assert_eq!(machine.read(rd, SHARED, 3), [1, 0, 0, EMPTY]);
}

#[test]
fn unprotected_pages_of_different_kinds_do_not_fold() {
    for change in [0x1000, 1 << 6, 0b001 << 2] {
        let (machine, rd) = realm();
        machine.table(rd, SHARED, 3);
        let desc = 0x4000_0000 | 0b110 << 2 | 0b01 << 7;
        for i in 0..512 {
            let desc = if i == 300 { desc ^ change } else { desc };
            machine
                .call(
                    RttMapUnprotected,
                    &[rd, SHARED + i * 0x1000, 3, desc + i * 0x1000],
                )
                .ok();
        }
        assert_eq!(
            machine.call(RttFold, &[rd, SHARED, 3]).condition,
            Some("rtt_homo")
        );
    }
}

#[test]
fn a_block_is_as_aligned_as_it_is_big() {
    let (machine, rd) = realm();
    machine.table(rd, SHARED, 3);
    for i in 0..512 {
        machine
            .call(
                RttMapUnprotected,
                &[rd, SHARED + i * 0x1000, 3, 0x4000_1000 + i * 0x1000],
            )
            .ok();
    }
    assert_eq!(
        machine.call(RttFold, &[rd, SHARED, 3]).condition,
        Some("rtt_homo")
    );
}

#[test]
fn there_are_no_blocks_of_512_gib() {
    let machine = Machine::new(usual_cpu());
    let (rtt_base, usual) = (machine.delegated(), usual_params(&machine));
    let params = RealmParams {
        s2sz: 41,
        rtt_base,
        rtt_level_start: 0,
        rtt_num_start: 1,
        ..usual
    };
    let rd = create_realm(&machine, &params);
    let shared = 1 << 40;
    machine.table(rd, shared, 1);
    for i in 0..512 {
        machine
            .call(RttMapUnprotected, &[rd, shared + (i << 30), 1, i << 30])
            .ok();
    }
    let reply = machine.call(RttFold, &[rd, shared, 1]);
    assert_eq!((reply.condition, reply.x.0[0]), (Some("rtt_homo"), 0x104));
}

#[test]
fn unprotected_mappings_end_a_skip_too() {
    // One starting-level table holds both halves; what is mapped in the upper half is not counted.
    let machine = Machine::new(usual_cpu());
    let (rtt_base, usual) = (machine.delegated(), usual_params(&machine));
    let rd = create_realm(
        &machine,
        &RealmParams {
            s2sz: 39,
            rtt_base,
            rtt_num_start: 1,
            ..usual
        },
    );
    let top = |ipa| machine.call(DataDestroy, &[rd, ipa]).x.0[2];
    assert_eq!(top(0), 1 << 39);
    machine.call(RttMapUnprotected, &[rd, 1 << 38, 1, 0]).ok();
    assert_eq!(top(0), 1 << 38);
    assert_eq!(top((1 << 38) - 0x1000), 1 << 38);
}

#[test]
fn data_folds_into_a_block_and_unfolds() {
    let (machine, rd) = realm();
    let table = machine.table(rd, PAGES, 3);
    let mut ram = PAGES;
    while ram < NO_PAGES {
        ram = machine.call(RttInitRipas, &[rd, ram, NO_PAGES]).ok().x.0[1];
    }
    let data = machine.delegated_aligned(512);
    for i in 0..512 {
        assert_eq!(
            machine.call(RttFold, &[rd, PAGES, 3]).condition,
            if i == 0 { None } else { Some("rtt_homo") }
        );
        if i == 0 {
            machine.table(rd, PAGES, 3);
        }
        machine
            .call(
                DataCreateUnknown,
                &[rd, data + i * 0x1000, PAGES + i * 0x1000],
            )
            .ok();
    }
    invalidations(&machine);
    machine.call(RttFold, &[rd, PAGES, 3]).ok();
    assert!(machine.is_zero(table));
    assert_eq!(machine.read(rd, PAGES, 3), [2, 1, data, RAM]);
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Range {
            vmid: VMID,
            ipa: PAGES,
            size: 0x20_0000
        }]
    );

    // The block keeps its table alive, and is no page.
    let reply = machine.call(DataDestroy, &[rd, PAGES + 0x5000]);
    assert_eq!(
        (reply.condition, reply.x.0[..3].to_vec()),
        (Some("rtt_walk"), vec![0x204, 0, PAGES + 0x5000])
    );
    assert_eq!(
        machine.call(RttDestroy, &[rd, 0x4000_0000, 2]).condition,
        Some("rtt_live")
    );

    invalidations(&machine);
    machine.table(rd, PAGES, 3);
    assert_eq!(
        invalidations(&machine),
        [TlbScope::Block {
            vmid: VMID,
            ipa: PAGES,
            level: 2
        }]
    );
    for i in 0..512 {
        assert_eq!(
            machine
                .call(DataDestroy, &[rd, PAGES + i * 0x1000])
                .ok()
                .x
                .0[1],
            data + i * 0x1000
        );
    }
    machine.call(RttDestroy, &[rd, PAGES, 3]).ok();
    machine.call(RttDestroy, &[rd, 0x4000_0000, 2]).ok();
}

#[test]
fn scattered_data_does_not_fold() {
    let (machine, rd) = realm();
    machine.table(rd, PAGES, 3);
    let data = machine.delegated_aligned(512);
    // All there, but in the wrong order.
    for i in 0..512 {
        machine
            .call(
                DataCreateUnknown,
                &[rd, data + (i ^ 1) * 0x1000, PAGES + i * 0x1000],
            )
            .ok();
    }
    assert_eq!(
        machine.call(RttFold, &[rd, PAGES, 3]).condition,
        Some("rtt_homo")
    );
}
