//! The controller as a realm and its host see it.

mod storms;

extern crate std;

use std::vec::Vec;

use realm_host::rec::{Entry, GicExit, Timer, Timers};

use super::interface::{hcr, lr};
use super::*;

const ASSERTED: Timer = Timer {
    control: 0b101,
    compare: 10,
};
const ARMED: Timer = Timer {
    control: 0b001,
    compare: 100,
};
/// A vCPU that listens to both groups, at all priorities.
const LISTENING: u64 = 0xF8 << 24 | 0b11;
const UART: u32 = 33;

const GICD_CTLR: u64 = 0;
const GICD_IROUTER: u64 = 0x6000;
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICPENDR: u64 = 0x280;
const ISACTIVER: u64 = 0x300;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
const ICFGR: u64 = 0xC00;
const GICR_WAKER: u64 = 0x14;
const PRIVATE: u64 = 0x1_0000;

/// A controller as Linux sets it up: all in group 1, at priority 0xA0, and enabled.
fn set_up(vcpus: usize) -> Gic {
    let gic = Gic::new(vcpus);
    let _ = gic.write_distributor(GICD_CTLR, 4, 0b10010);
    let _ = gic.write_distributor(IGROUPR + 4, 4, !0);
    let _ = gic.write_distributor(ISENABLER + 4, 4, !0);
    for intid in 32..64 {
        let _ = gic.write_distributor(IPRIORITYR + intid, 1, 0xA0);
    }
    for vcpu in 0..vcpus {
        let frame = vcpu as u64 * REDISTRIBUTOR_SIZE;
        let _ = gic.write_redistributor(frame + GICR_WAKER, 4, 0);
        let _ = gic.write_redistributor(frame + PRIVATE + IGROUPR, 4, !0);
        let _ = gic.write_redistributor(frame + PRIVATE + ISENABLER, 4, !0);
        for word in 0..8 {
            let offset = frame + PRIVATE + IPRIORITYR + 4 * word;
            let _ = gic.write_redistributor(offset, 4, 0xA0A0_A0A0);
        }
    }
    gic
}

fn exit(gic: &Gic, vcpu: usize, registers: &[u64], timers: Timers) -> Targets {
    let mut state = GicExit {
        vmcr: LISTENING,
        ..GicExit::default()
    };
    state.list_registers[..registers.len()].copy_from_slice(registers);
    gic.left(vcpu, &state, &timers, false)
}

/// INTID and state of the list registers that are in use.
fn states(entry: &Entry) -> Vec<(u64, u64)> {
    let used = entry
        .list_registers
        .iter()
        .filter(|&&register| register >> 62 != 0);
    used.map(|register| (register & lr::INTID, register >> 62))
        .collect()
}

fn send(gic: &Gic, target: u64, intid: u64) -> Targets {
    gic.send(0, SgiGroup::One, SgiRequest::new(intid << 24 | 1 << target))
}

fn list(targets: Targets) -> Vec<usize> {
    targets.iter().collect()
}

#[test]
fn a_timer_is_a_level() {
    let gic = set_up(1);
    let timers = Timers {
        virtual_timer: ASSERTED,
        ..Timers::default()
    };
    let _ = exit(&gic, 0, &[], timers);
    assert!(gic.is_pending(0, 0));
    let entry = gic.enter(0, 4, 0);
    assert_eq!(states(&entry), [(27, 1)]);
    assert_eq!(
        entry.list_registers[0],
        1 << 62 | 1 << 60 | 0xA0 << 48 | 1 << 41 | 27
    );
    // The realm acknowledged it but the timer is still high: active only.
    let active = entry.list_registers[0] ^ (lr::PENDING | lr::ACTIVE);
    let _ = exit(&gic, 0, &[active], timers);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(27, 2)]);
    // Handled, still high: pending again.
    let _ = exit(&gic, 0, &[0], timers);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(27, 1)]);
    // Low before it was acknowledged: withdrawn.
    let _ = exit(&gic, 0, &entry.list_registers, Timers::default());
    assert_eq!(states(&gic.enter(0, 4, 0)), []);
    assert!(!gic.is_pending(0, 0));
}

#[test]
fn an_armed_timer_wakes_at_its_deadline() {
    let gic = set_up(1);
    let armed = Timers {
        virtual_timer: ARMED,
        physical: Timer {
            control: 1,
            compare: 90,
        },
    };
    let _ = exit(&gic, 0, &[], armed);
    assert_eq!(gic.deadline(0), Some(90));
    assert!(!gic.is_pending(0, 89));
    assert!(gic.is_pending(0, 90));
    assert_eq!(states(&gic.enter(0, 4, 95)), [(30, 1)]);
    let _ = gic.not_entered(0);
    assert_eq!(states(&gic.enter(0, 4, 100)), [(27, 1), (30, 1)]);
    let _ = gic.not_entered(0);
    // A masked timer neither asserts nor wakes.
    let masked = Timer {
        control: 0b111,
        compare: 0,
    };
    let _ = exit(
        &gic,
        0,
        &[],
        Timers {
            virtual_timer: masked,
            ..Timers::default()
        },
    );
    assert_eq!(gic.deadline(0), None);
    assert!(!gic.is_pending(0, u64::MAX));
    // Nor does one that nobody listens to.
    let _ = gic.write_redistributor(PRIVATE + ICENABLER, 4, 1 << VIRTUAL_TIMER);
    let _ = exit(&gic, 0, &[], armed);
    assert_eq!(gic.deadline(0), Some(90));
    let _ = gic.write_redistributor(PRIVATE + ICENABLER, 4, 1 << PHYSICAL_TIMER);
    assert_eq!(gic.deadline(0), None);
    assert!(!gic.is_pending(0, u64::MAX));
    // Turned off and on again, it has no timers.
    let _ = gic.write_redistributor(PRIVATE + ISENABLER, 4, !0);
    assert!(gic.is_pending(0, u64::MAX));
    gic.turn_off(0);
    assert!(!gic.is_pending(0, u64::MAX));
}

#[test]
fn an_sgi_is_an_edge_and_is_not_lost_while_active() {
    let gic = set_up(1);
    assert_eq!(list(send(&gic, 0, 3)), [0]);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(3, 1)]);
    let _ = exit(&gic, 0, &[lr::ACTIVE | 3], Timers::default());
    let _ = send(&gic, 0, 3);
    let _ = send(&gic, 0, 3);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(3, 3)]);
    // Sent again after it had been acknowledged, before the vCPU was out.
    let _ = send(&gic, 0, 3);
    let _ = exit(&gic, 0, &[lr::ACTIVE | 3], Timers::default());
    assert_eq!(states(&gic.enter(0, 4, 0)), [(3, 3)]);
    let _ = exit(&gic, 0, &[], Timers::default());
    assert_eq!(states(&gic.enter(0, 4, 0)), []);
}

#[test]
fn an_sgi_goes_to_those_that_have_it_in_the_group_of_the_register() {
    let gic = set_up(3);
    let others = SgiRequest::new(1 << 40 | 7 << 24);
    assert_eq!(list(gic.send(1, SgiGroup::One, others)), [0, 2]);
    assert!(gic.send(1, SgiGroup::Zero, others).is_empty());
    let frame = 2 * REDISTRIBUTOR_SIZE + PRIVATE;
    let _ = gic.write_redistributor(frame + ICPENDR, 4, 1 << 7);
    let _ = gic.write_redistributor(frame + IGROUPR, 4, !(1 << 7));
    assert_eq!(list(gic.send(1, SgiGroup::One, others)), [0]);
    assert!(
        gic.send(1, SgiGroup::Zero, others).is_empty(),
        "the distributor forwards group 1 only"
    );
    let targets = gic.write_distributor(GICD_CTLR, 4, 0b11);
    assert_eq!(list(targets), [0, 1, 2]);
    let entry = gic.enter(2, 4, 0);
    assert_eq!(states(&entry), [(7, 1)]);
    assert_eq!(entry.list_registers[0] & lr::GROUP_1, 0);
}

#[test]
fn before_anybody_sets_it_up_nothing_is_signalled() {
    let gic = Gic::new(2);
    let _ = send(&gic, 1, 3);
    assert!(gic.set_line(1, true).is_empty());
    let timers = Timers {
        virtual_timer: ASSERTED,
        ..Timers::default()
    };
    let _ = exit(&gic, 1, &[], timers);
    assert!(!gic.is_pending(1, 1000));
    assert_eq!(states(&gic.enter(1, 4, 1000)), []);
}

#[test]
fn the_highest_priority_comes_first_and_the_rest_gets_its_turn() {
    let gic = set_up(1);
    let _ = gic.write_redistributor(PRIVATE + IPRIORITYR + 2, 1, 0x20);
    for intid in [0, 1, 2] {
        let _ = send(&gic, 0, intid);
    }
    let entry = gic.enter(0, 2, 0);
    assert_eq!(states(&entry), [(2, 1), (0, 1)]);
    assert_eq!(entry.hcr, hcr::NPIE);
    assert!(
        entry.list_registers[..2]
            .iter()
            .all(|list| list & lr::EOI != 0)
    );
    // One is handled, the other one is being handled.
    let _ = exit(
        &gic,
        0,
        &[0, entry.list_registers[1] ^ lr::STATE],
        Timers::default(),
    );
    let entry = gic.enter(0, 2, 0);
    assert_eq!((states(&entry), entry.hcr), (std::vec![(0, 2), (1, 1)], 0));
    assert!(entry.list_registers.iter().all(|list| list & lr::EOI == 0));
}

#[test]
fn what_is_active_in_no_list_register_ends_all_the_same() {
    let gic = set_up(1);
    for priority in 0..3 {
        let _ = gic.write_redistributor(PRIVATE + IPRIORITYR + priority, 1, priority << 4);
    }
    let _ = gic.write_redistributor(PRIVATE + ISACTIVER, 4, 0b110);
    let _ = send(&gic, 0, 0);
    let entry = gic.enter(0, 1, 0);
    assert_eq!(states(&entry), [(0, 1)]);
    assert_eq!(entry.hcr, hcr::NPIE | hcr::LRENPIE | hcr::TDIR);
    // It has ended SGI 0 and then the next one, which it had acknowledged before.
    let state = GicExit {
        hcr: 1 << 27,
        vmcr: LISTENING,
        ..GicExit::default()
    };
    let _ = gic.left(0, &state, &Timers::default(), false);
    assert_eq!(gic.read_redistributor(PRIVATE + ISACTIVER, 4), 0b100);
    assert_eq!(states(&gic.enter(0, 1, 0)), [(2, 2)]);
}

#[test]
fn with_split_ends_what_is_pending_goes_first_and_deactivation_leaves_the_realm() {
    let gic = set_up(1);
    let _ = gic.write_redistributor(PRIVATE + ISACTIVER, 4, 1 << 4);
    let _ = send(&gic, 0, 9);
    assert_eq!(states(&gic.enter(0, 1, 0)), [(4, 2)]);
    let split = GicExit {
        list_registers: core::array::from_fn(|n| if n == 0 { lr::ACTIVE | 4 } else { 0 }),
        vmcr: LISTENING | 1 << 9,
        ..GicExit::default()
    };
    let _ = gic.left(0, &split, &Timers::default(), false);
    let entry = gic.enter(0, 1, 0);
    assert_eq!(states(&entry), [(9, 1)]);
    assert_eq!(entry.hcr, hcr::NPIE | hcr::LRENPIE | hcr::TDIR);
    let _ = gic.not_entered(0);
    let _ = gic.deactivate(0, 4);
    assert_eq!(gic.read_redistributor(PRIVATE + ISACTIVER, 4), 0);
}

/// An exit that leaves the list registers as `lists`, with ends split or not, and a count of ends in no list register.
fn leave(gic: &Gic, vcpu: usize, lists: &[u64], split: bool, ends: u64) -> Targets {
    let state = GicExit {
        list_registers: core::array::from_fn(|n| lists.get(n).copied().unwrap_or(0)),
        hcr: ends << 27,
        vmcr: LISTENING | u64::from(split) << 9,
        ..GicExit::default()
    };
    gic.left(vcpu, &state, &Timers::default(), false)
}

#[test]
fn with_split_ends_the_count_of_ends_deactivates_nothing() {
    let gic = set_up(1);
    let _ = leave(&gic, 0, &[], true, 0);
    let active = || gic.read_redistributor(PRIVATE + ISACTIVER, 4);
    // Eight are taken one after the other, their priority is dropped, and none is deactivated.
    for intid in 0..8 {
        let _ = send(&gic, 0, intid);
        let entry = gic.enter(0, 4, 0);
        assert!(entry.hcr & hcr::TDIR != 0);
        let lists: Vec<_> = entry
            .list_registers
            .iter()
            .map(|list| {
                let taken = list & lr::PENDING != 0;
                if taken {
                    list & !lr::STATE | lr::ACTIVE
                } else {
                    *list
                }
            })
            .collect();
        let _ = leave(&gic, 0, &lists, true, 1);
        assert_eq!(active(), (2 << intid) - 1);
    }
    // One that is active is not delivered, and comes when it is deactivated. The order is the realm's.
    let _ = send(&gic, 0, 3);
    for intid in [5, 0, 7, 2, 3, 6, 1, 4] {
        assert!(!gic.is_pending(0, 0));
        let _ = gic.deactivate(0, intid);
        assert_eq!(active() >> intid & 1, 0);
        if intid == 3 {
            assert!(gic.is_pending(0, 0));
            let _ = gic.write_redistributor(PRIVATE + ICPENDR, 4, !0);
        }
    }
    assert_eq!(active(), 0);
    for nothing in [0, 31, 40, 1023, 0xFF_FFFF, u64::MAX] {
        assert!(gic.deactivate(0, nothing).is_empty());
    }
}

#[test]
fn without_split_ends_a_write_that_deactivates_is_none() {
    let gic = set_up(1);
    let _ = gic.write_redistributor(PRIVATE + ISACTIVER, 4, 1 << 4);
    let _ = leave(&gic, 0, &[], false, 0);
    assert!(gic.deactivate(0, 4).is_empty());
    assert_eq!(gic.read_redistributor(PRIVATE + ISACTIVER, 4), 1 << 4);
}

#[test]
fn a_shared_interrupt_is_deactivated_from_any_vcpu() {
    let gic = set_up(2);
    for vcpu in 0..2 {
        let _ = leave(&gic, vcpu, &[], true, 0);
    }
    // Active on vCPU 0, outside of the realm: it is over at once, and being high it is pending again.
    let _ = gic.set_line(1, true);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(33, 1)]);
    let _ = leave(&gic, 0, &[lr::ACTIVE | 33], true, 0);
    assert_eq!(list(gic.deactivate(1, 33)), [0]);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(33, 1)]);
    // Active in its list register: it is called for that.
    let _ = leave(&gic, 0, &[lr::ACTIVE | 33], true, 0);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(33, 2)]);
    assert_eq!(list(gic.deactivate(1, 33)), [0]);
    let _ = gic.set_line(1, false);
    let _ = leave(&gic, 0, &[lr::ACTIVE | 33], true, 0);
    assert_eq!(gic.read_distributor(ISACTIVER + 4, 4), 0);
    assert_eq!(states(&gic.enter(0, 4, 0)), []);
}

#[test]
fn a_shared_interrupt_goes_where_it_is_routed() {
    let gic = set_up(18);
    assert_eq!(list(gic.set_line(1, true)), [0]);
    assert!(gic.set_line(1, true).is_empty(), "nothing new");
    assert!(!gic.is_pending(0, 0), "vCPU 0 listens to nothing yet");
    let _ = exit(&gic, 0, &[], Timers::default());
    assert!(gic.is_pending(0, 0));
    // Aff1 1, Aff0 1 is the eighteenth.
    let moved = gic.write_distributor(GICD_IROUTER + 8 * u64::from(UART), 8, 0x101);
    assert_eq!(list(moved), [17]);
    assert!(!gic.is_pending(0, 0));
    assert_eq!(states(&gic.enter(17, 4, 0)), [(33, 1)]);
    assert_eq!(states(&gic.enter(0, 4, 0)), []);
    // Moved while it is inside: who has it is called, and when it is back it goes on.
    let moved = gic.write_distributor(GICD_IROUTER + 8 * u64::from(UART), 8, 2);
    assert_eq!(list(moved), [2, 17]);
    assert_eq!(states(&gic.enter(2, 4, 0)), []);
    let _ = gic.not_entered(2);
    let on = exit(&gic, 17, &[lr::PENDING | 33], Timers::default());
    assert_eq!(list(on), [2]);
    assert_eq!(states(&gic.enter(17, 4, 0)), []);
    let _ = gic.not_entered(17);
    assert_eq!(states(&gic.enter(2, 4, 0)), [(33, 1)]);
    // Acknowledged there, it stays there until it is done; being high, it goes to the new place then.
    let _ = exit(&gic, 2, &[lr::ACTIVE | 33], Timers::default());
    let _ = gic.write_distributor(GICD_IROUTER + 8 * u64::from(UART), 4, 0x8000_0000);
    assert_eq!(
        gic.read_distributor(GICD_IROUTER + 8 * u64::from(UART), 8),
        1 << 31
    );
    assert_eq!(states(&gic.enter(0, 4, 0)), []);
    let _ = gic.not_entered(0);
    assert_eq!(states(&gic.enter(2, 4, 0)), [(33, 2)]);
    assert_eq!(list(exit(&gic, 2, &[0], Timers::default())), [0]);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(33, 1)]);
    // Nowhere.
    let _ = exit(&gic, 0, &[0], Timers::default());
    for nowhere in [0x10, 0x200, 0xFF_0000_0000] {
        let _ = gic.write_distributor(GICD_IROUTER + 8 * u64::from(UART), 8, nowhere);
        assert!((0..18).all(|vcpu| states(&gic.enter(vcpu, 4, 0)).is_empty()));
        for vcpu in 0..18 {
            let _ = gic.not_entered(vcpu);
        }
    }
}

#[test]
fn an_edge_is_remembered_when_its_line_is_low_again() {
    let gic = set_up(1);
    let _ = exit(&gic, 0, &[], Timers::default());
    let _ = gic.write_distributor(ICFGR + 8, 4, 0b10 << 2);
    assert_eq!(gic.read_distributor(ICFGR + 8, 4), 0b10 << 2);
    assert_eq!(list(gic.set_line(1, true)), [0]);
    assert!(gic.set_line(1, false).is_empty());
    assert!(gic.is_pending(0, 0));
    assert_eq!(gic.read_distributor(ISPENDR + 4, 4), 0b10);
    assert_eq!(states(&gic.enter(0, 4, 0)), [(33, 1)]);
    assert_eq!(gic.read_distributor(ISPENDR + 4, 4), 0b10);
    let _ = exit(&gic, 0, &[0], Timers::default());
    assert_eq!(gic.read_distributor(ISPENDR + 4, 4), 0);
    assert!(gic.set_line(1, false).is_empty() && gic.set_line(40, true).is_empty());
}

#[test]
fn withdrawing_what_is_in_flight_calls_its_vcpu_and_works() {
    let gic = set_up(2);
    let _ = gic.write_distributor(GICD_IROUTER + 8 * 40, 8, 1);
    assert_eq!(list(gic.write_distributor(ISPENDR + 4, 4, 1 << 8)), [1]);
    assert_eq!(states(&gic.enter(1, 4, 0)), [(40, 1)]);
    assert_eq!(list(gic.write_distributor(ICPENDR + 4, 4, 1 << 8)), [1]);
    let _ = exit(&gic, 1, &[lr::PENDING | 40], Timers::default());
    assert_eq!(states(&gic.enter(1, 4, 0)), []);
    // Disabling takes until it is back.
    let _ = gic.write_distributor(ISPENDR + 4, 4, 1 << 8);
    let _ = gic.not_entered(1);
    assert_eq!(states(&gic.enter(1, 4, 0)), [(40, 1)]);
    assert_eq!(list(gic.write_distributor(ICENABLER + 4, 4, 1 << 8)), [1]);
    assert_eq!(gic.read_distributor(GICD_CTLR, 4) >> 31, 1);
    let _ = exit(&gic, 1, &[lr::PENDING | 40], Timers::default());
    assert_eq!(gic.read_distributor(GICD_CTLR, 4), 0x52);
    assert_eq!(states(&gic.enter(1, 4, 0)), []);
    let _ = gic.not_entered(1);
    assert_eq!(list(gic.write_distributor(ISENABLER + 4, 4, 1 << 8)), [1]);
    // So do the active state, and the private interrupts.
    let frame = REDISTRIBUTOR_SIZE + PRIVATE;
    let _ = exit(&gic, 1, &[], Timers::default());
    let _ = gic.write_distributor(ICPENDR + 4, 4, !0);
    assert_eq!(list(gic.write_redistributor(frame + ISPENDR, 4, 2)), [1]);
    assert_eq!(states(&gic.enter(1, 4, 0)), [(1, 1)]);
    for (register, state, after) in [
        (ICPENDR, lr::PENDING, std::vec![]),
        (ISACTIVER, 0, std::vec![(1, 2)]),
        (ICACTIVER, lr::ACTIVE, std::vec![]),
    ] {
        assert_eq!(list(gic.write_redistributor(frame + register, 4, 2)), [1]);
        let _ = exit(&gic, 1, &[state | 1], Timers::default());
        assert_eq!(states(&gic.enter(1, 4, 0)), after, "{register:#x}");
        if after.is_empty() {
            let _ = gic.write_redistributor(frame + ISPENDR, 4, 2);
            let _ = gic.not_entered(1);
            let _ = gic.enter(1, 4, 0);
        }
    }
    assert_eq!(list(gic.write_redistributor(frame + ICENABLER, 4, 2)), [1]);
    assert_eq!(gic.read_redistributor(REDISTRIBUTOR_SIZE, 4), 8);
    let _ = gic.not_entered(1);
    assert_eq!(gic.read_redistributor(REDISTRIBUTOR_SIZE, 4), 0);
}

#[test]
fn the_registers_say_what_the_controller_is() {
    let gic = Gic::new(18);
    assert_eq!(gic.read_distributor(GICD_CTLR, 4), 0x50);
    assert_eq!(gic.read_distributor(4, 4) & 0x1F, 1, "64 INTIDs");
    for frame in [0xFFE8, 17 * REDISTRIBUTOR_SIZE + 0xFFE8] {
        let read = if frame < DISTRIBUTOR_SIZE {
            gic.read_distributor(frame, 4)
        } else {
            gic.read_redistributor(frame, 4)
        };
        assert_eq!(read >> 4 & 0xF, 3, "GICv3");
    }
    for (vcpu, affinity) in [(0, 0), (15, 15), (16, 0x100), (17, 0x101)] {
        let typer = vcpu * REDISTRIBUTOR_SIZE + 8;
        let expected = affinity << 32 | vcpu << 8 | if vcpu == 17 { 1 << 4 } else { 0 };
        assert_eq!(gic.read_redistributor(typer, 8), expected);
        assert_eq!(gic.read_redistributor(typer, 4), expected & 0xFFFF_FFFF);
        assert_eq!(gic.read_redistributor(typer + 4, 4), affinity);
    }
    assert_eq!(gic.read_redistributor(18 * REDISTRIBUTOR_SIZE + 8, 8), 0);
    assert_eq!(gic.read_redistributor(GICR_WAKER, 4), 6);
    let _ = gic.write_redistributor(GICR_WAKER, 4, 0);
    assert_eq!(gic.read_redistributor(GICR_WAKER, 4), 0);
    assert_eq!(
        gic.read_redistributor(PRIVATE + ICFGR, 4),
        0xAAAA_AAAA,
        "SGIs are edges"
    );
    let _ = gic.write_redistributor(PRIVATE + ICFGR, 4, 0);
    assert_eq!(gic.read_redistributor(PRIVATE + ICFGR, 4), 0xAAAA_AAAA);
    let _ = gic.write_redistributor(PRIVATE + IPRIORITYR + 4, 4, 0x1122_33FF);
    assert_eq!(
        gic.read_redistributor(PRIVATE + IPRIORITYR + 4, 4),
        0x1020_30F8,
        "five bits of priority"
    );
    assert_eq!(gic.read_redistributor(PRIVATE + IPRIORITYR + 5, 1), 0x30);
    for (offset, size) in [(0, 8), (0, 2), (1, 4), (0x6102, 4), (0x80, 3), (1 << 40, 4)] {
        assert_eq!(gic.read_distributor(offset, size), 0, "{offset:#x} {size}");
    }
}
