//! The controller as a realm and its host see it.

extern crate std;

use std::vec::Vec;

use realm_host::rec::{Entry, GicExit, MAX_LIST_REGISTERS, Timer, Timers};

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
    gic.turn_on(0);
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
    assert_eq!(entry.hcr, hcr::NPIE | hcr::LRENPIE);
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
    gic.deactivate(0, 4);
    assert_eq!(gic.read_redistributor(PRIVATE + ISACTIVER, 4), 0);
}

#[test]
fn a_shared_interrupt_goes_where_it_is_routed() {
    let gic = set_up(18);
    assert_eq!(list(gic.set_line(1, true)), [0]);
    assert!(gic.set_line(1, true).is_empty(), "nothing new");
    assert!(
        gic.is_pending(0, 0) == false,
        "vCPU 0 listens to nothing yet"
    );
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What the monitor accepts (RMM specification 1.0-rel0, A6.1): no hardware interrupt, no NMI, five bits of priority, no pINTID but
/// for the maintenance bit, an INTID that exists, and none twice.
fn assert_legal(entry: &Entry, count: usize) {
    assert_eq!(entry.hcr & !0x40FE, 0);
    let used: Vec<u64> = entry
        .list_registers
        .iter()
        .copied()
        .filter(|list| list & lr::STATE != 0)
        .collect();
    assert!(used.len() <= count);
    assert!(entry.list_registers[count..].iter().all(|&list| list == 0));
    for list in &used {
        let allowed = lr::STATE | lr::GROUP_1 | lr::EOI | 0xF8 << lr::PRIORITY | 0x3F;
        assert_eq!(list & !allowed, 0, "{list:#x}");
        let same = used
            .iter()
            .filter(|other| *other & lr::INTID == list & lr::INTID);
        assert_eq!(same.count(), 1, "{used:x?}");
    }
}

#[test]
fn a_storm_of_registers_and_exits_leaves_legal_list_registers() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let vcpus = 1 + random.below(20) as usize;
        let count = 1 + random.below(MAX_LIST_REGISTERS as u64) as usize;
        let gic = Gic::new(vcpus);
        let mut inside: Vec<Option<Entry>> = std::vec![None; vcpus];
        for _ in 0..4000 {
            let vcpu = random.below(vcpus as u64) as usize;
            let size = [1, 2, 4, 8, 3, 16][random.below(6) as usize];
            let (offset, value) = (random.below(0x1000), random.next());
            let frame = random.below(vcpus as u64 + 1) * REDISTRIBUTOR_SIZE;
            match random.below(12) {
                0 => drop(gic.write_distributor(offset, size, value)),
                1 => drop(gic.write_distributor(offset & !3, 4, value)),
                2 => drop(gic.write_distributor(GICD_IROUTER + offset / 4, size, value & 0x101)),
                3 => drop(gic.write_redistributor(frame + PRIVATE + (offset & !3), 4, value)),
                4 => drop(gic.write_redistributor(random.next(), size, value)),
                5 => {
                    let _ = gic.read_distributor(random.next() >> random.below(64), size);
                    let _ = gic.read_redistributor(random.next() >> random.below(64), size);
                }
                6 => drop(gic.set_line(random.below(70) as u32, value & 1 != 0)),
                7 => drop(gic.send(vcpu, SgiGroup::One, SgiRequest::new(value & 0x1_0F03_FFFF))),
                8 => gic.deactivate(vcpu, value & 0x3F),
                9 => drop((gic.is_pending(vcpu, value), gic.deadline(vcpu))),
                _ => match inside[vcpu].take() {
                    None => {
                        let entry = gic.enter(vcpu, count, random.next());
                        assert_legal(&entry, count);
                        inside[vcpu] = Some(entry);
                    }
                    Some(entry) => {
                        let mut state = GicExit {
                            list_registers: entry.list_registers,
                            hcr: random.next(),
                            misr: random.next(),
                            vmcr: random.next(),
                        };
                        for list in &mut state.list_registers {
                            *list ^= random.next() & lr::STATE;
                        }
                        let timers = Timers {
                            physical: Timer {
                                control: random.next(),
                                compare: random.next(),
                            },
                            virtual_timer: ASSERTED,
                        };
                        let _ = gic.left(vcpu, &state, &timers, value & 1 != 0);
                    }
                },
            }
        }
        // And nothing has broken: set up anew, an interrupt arrives.
        for (vcpu, entry) in inside.into_iter().enumerate() {
            if entry.is_some() {
                let _ = exit(&gic, vcpu, &[], Timers::default());
            }
        }
        let _ = gic.write_redistributor(PRIVATE + ICACTIVER, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + IGROUPR, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + ISENABLER, 4, !0);
        let _ = gic.write_redistributor(PRIVATE + ICPENDR, 4, !0);
        let _ = gic.write_distributor(ICENABLER + 4, 4, !0);
        let _ = gic.write_distributor(ICACTIVER + 4, 4, !0);
        let _ = gic.write_distributor(GICD_CTLR, 4, 2);
        let _ = exit(&gic, 0, &[], Timers::default());
        let _ = send(&gic, 0, 5);
        assert_eq!(states(&gic.enter(0, count, 0)), [(5, 1)], "seed {seed}");
    }
}

/// A vCPU's CPU interface as far as it matters here: takes what is pending in its list registers, and ends it.
struct Vcpu {
    entry: Option<Entry>,
    handled: [u64; 64],
}

#[test]
fn no_edge_is_lost_and_none_is_handled_more_often_than_it_was_sent() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let count = 1 + random.below(4) as usize;
        let gic = set_up(3);
        let _ = gic.write_distributor(ICFGR + 8, 4, 0xAAAA_AAAA);
        let _ = gic.write_distributor(ICFGR + 12, 4, 0xAAAA_AAAA);
        for vcpu in 0..3 {
            let _ = exit(&gic, vcpu, &[], Timers::default());
        }
        let mut vcpus: Vec<Vcpu> = (0..3)
            .map(|_| Vcpu {
                entry: None,
                handled: [0; 64],
            })
            .collect();
        let mut sent = [[0; 64]; 3];
        let mut edges = [0; 64];
        for step in 0..6000 {
            let vcpu = random.below(3) as usize;
            let quiet = step > 4000;
            match random.below(6) {
                0 if !quiet => {
                    let intid = random.below(16);
                    let _ = send(&gic, vcpu as u64, intid);
                    sent[vcpu][intid as usize] += 1;
                }
                1 if !quiet => {
                    let n = random.below(32);
                    let _ = gic.set_line(n as u32, true);
                    let _ = gic.set_line(n as u32, false);
                    edges[n as usize] += 1;
                }
                2 if !quiet => {
                    let n = 32 + random.below(32);
                    let route = random.below(3);
                    let _ = gic.write_distributor(GICD_IROUTER + 8 * n, 8, route);
                }
                3 => match vcpus[vcpu].entry.take() {
                    None => {
                        let entry = gic.enter(vcpu, count, 0);
                        assert_legal(&entry, count);
                        vcpus[vcpu].entry = Some(entry);
                    }
                    Some(entry) => {
                        let _ = exit(&gic, vcpu, &entry.list_registers, Timers::default());
                    }
                },
                _ => {
                    let Vcpu { entry, handled } = &mut vcpus[vcpu];
                    let Some(entry) = entry else { continue };
                    let lists = &mut entry.list_registers;
                    // What is active ends before the next one of the same priority begins.
                    if let Some(list) = lists.iter_mut().find(|list| **list & lr::ACTIVE != 0) {
                        *list &= !lr::ACTIVE;
                    } else if let Some(list) = lists.iter_mut().find(|list| **list >> 62 == 1) {
                        *list ^= lr::STATE;
                        handled[(*list & lr::INTID) as usize] += 1;
                    }
                }
            }
        }
        for (vcpu, sent) in vcpus.iter().zip(&sent) {
            for intid in 0..16 {
                let handled = vcpu.handled[intid];
                assert!(handled <= sent[intid], "SGI {intid}");
                assert_eq!(handled == 0, sent[intid] == 0, "SGI {intid}, seed {seed}");
            }
        }
        for n in 0..32 {
            let handled: u64 = vcpus.iter().map(|vcpu| vcpu.handled[32 + n]).sum();
            assert!(handled <= edges[n]);
            assert_eq!(handled == 0, edges[n] == 0, "SPI {n}, seed {seed}");
        }
        let left = (0..3).filter(|&vcpu| gic.is_pending(vcpu, 0));
        assert_eq!(left.count(), 0, "seed {seed}");
    }
}
