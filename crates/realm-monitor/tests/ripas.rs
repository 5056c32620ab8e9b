//! What the commands on RIPAS do when they succeed.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::*;
use common::world::*;
use common::{Machine, create_realm, usual_cpu, usual_params};
use realm_monitor::platform::TlbScope;
use realm_monitor::rec::layout;

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
fn init_ripas_stops_at_the_end_of_a_table_and_at_what_is_not_unassigned() {
    let (machine, rd) = realm();
    machine.table(rd, PAGES, 3);
    let init = |base, top| machine.call(RttInitRipas, &[rd, base, top]).ok().x.0[1];
    assert_eq!(
        init(0x4000_0000, 0x8000_0000),
        PAGES,
        "a table is in the way"
    );
    assert_eq!(
        init(PAGES, 0x8000_0000),
        PAGES + 12 * 0x1000,
        "more would keep interrupts waiting"
    );
    assert_eq!(
        init(NO_PAGES - 4 * 0x1000, 0x8000_0000),
        NO_PAGES,
        "the end of the table"
    );
    assert_eq!(
        init(NO_PAGES, NO_PAGES + 0x50_0000),
        NO_PAGES + 0x40_0000,
        "whole entries only"
    );
    assert_eq!(init(0x7FC0_0000, 0x1_0000_0000), 0x8000_0000);
    machine
        .call(
            DataCreateUnknown,
            &[rd, machine.delegated(), PAGES + 0x8000],
        )
        .ok();
    assert_eq!(
        init(PAGES, NO_PAGES),
        PAGES + 0x8000,
        "a page is in the way"
    );
    assert_eq!(machine.read(rd, PAGES + 0x7000, 3), [3, 0, 0, RAM]);
    assert_eq!(machine.read(rd, NO_PAGES + 0x40_0000, 3), [2, 0, 0, EMPTY]);
}

/// What a realm's request to change a range does.
struct Request {
    machine: Machine,
    rd: u64,
    rec: u64,
}

impl Request {
    fn new(base: u64, top: u64, ripas: u64, change_destroyed: bool) -> Self {
        let (machine, rd) = realm();
        machine.table(rd, PAGES, 3);
        let rec = World::rec(&machine, rd);
        let words = machine.fake().words(rec);
        words[layout::RIPAS_ADDR].store(base, Relaxed);
        words[layout::RIPAS_TOP].store(top, Relaxed);
        words[layout::RIPAS_VALUE].store(ripas, Relaxed);
        words[layout::RIPAS_DESTROYED].store(change_destroyed.into(), Relaxed);
        Self { machine, rd, rec }
    }

    fn set(&self, base: u64, top: u64) -> u64 {
        let out_top = self
            .machine
            .call(RttSetRipas, &[self.rd, self.rec, base, top])
            .ok()
            .x
            .0[1];
        assert_eq!(
            self.machine.fake().words(self.rec)[layout::RIPAS_ADDR].load(Relaxed),
            out_top
        );
        out_top
    }
}

#[test]
fn a_realm_shares_memory_and_takes_it_back() {
    let top = PAGES + 0x4000;
    let request = Request::new(PAGES, top, EMPTY, false);
    let Request { machine, rd, rec } = &request;
    let src = machine.host_filled(0x42);
    let data = machine.delegated();
    machine
        .call(DataCreate, &[*rd, data, PAGES + 0x1000, src, 0])
        .ok();
    machine.call(RttInitRipas, &[*rd, PAGES + 0x2000, top]).ok();
    invalidations(machine);
    assert_eq!(request.set(PAGES, PAGES + 0x1000), PAGES + 0x1000);
    assert_eq!(invalidations(machine), []);
    assert_eq!(request.set(PAGES + 0x1000, top), top);
    let range = TlbScope::Range {
        vmid: VMID,
        ipa: PAGES + 0x1000,
        size: 0x3000,
    };
    assert_eq!(invalidations(machine), [range]);
    assert_eq!(machine.read(*rd, PAGES + 0x1000, 3), [3, 1, data, EMPTY]);
    assert_eq!(machine.read(*rd, PAGES + 0x2000, 3), [3, 0, 0, EMPTY]);
    // The request is complete: there is nothing left to change.
    let again = machine.call(RttSetRipas, &[*rd, *rec, top, top + 0x1000]);
    assert_eq!(again.condition, Some("top_bound"));

    let words = machine.fake().words(*rec);
    words[layout::RIPAS_ADDR].store(PAGES, Relaxed);
    words[layout::RIPAS_VALUE].store(RAM, Relaxed);
    assert_eq!(request.set(PAGES, top), top);
    assert_eq!(invalidations(machine), [], "invalid entries are not cached");
    assert_eq!(machine.read(*rd, PAGES + 0x1000, 3), [3, 1, data, RAM]);
    assert_eq!(machine.read(*rd, PAGES, 3), [3, 0, 0, RAM]);
}

#[test]
fn destroyed_memory_changes_only_if_the_realm_says_so() {
    for change_destroyed in [false, true] {
        let request = Request::new(PAGES, NO_PAGES, RAM, change_destroyed);
        let Request { machine, rd, .. } = &request;
        let hole = PAGES + 0x3000;
        machine
            .call(
                DataCreate,
                &[*rd, machine.delegated(), hole, machine.host(), 0],
            )
            .ok();
        machine.call(DataDestroy, &[*rd, hole]).ok();
        assert_eq!(
            request.set(PAGES, NO_PAGES),
            if change_destroyed { NO_PAGES } else { hole }
        );
        let ripas = if change_destroyed { RAM } else { DESTROYED };
        assert_eq!(machine.read(*rd, hole, 3), [3, 0, 0, ripas]);
        assert_eq!(machine.read(*rd, hole - 0x1000, 3), [3, 0, 0, RAM]);
    }
}

#[test]
fn a_change_stops_at_a_table_and_at_the_end_of_one() {
    let request = Request::new(0x4000_0000, 0x1_0000_0000, RAM, false);
    assert_eq!(request.set(0x4000_0000, 0x1_0000_0000), PAGES);
    assert_eq!(request.set(PAGES, 0x1_0000_0000), NO_PAGES);
    assert_eq!(
        request.set(NO_PAGES, 0x8000_0000 - 0x1000),
        0x8000_0000 - 0x20_0000
    );
    assert_eq!(
        request.machine.read(request.rd, NO_PAGES, 2),
        [2, 0, 0, RAM]
    );
}
