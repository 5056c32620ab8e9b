//! The interrupt controller as a program in a realm finds it, with list registers, exits and all, on the in-process machine.

mod support;

use machine::cpu::{GuestCpu, names};
use realm_guest::demo::GuestPe;
use realm_vmm::{Outcome, board};
use support::*;

const GICD: u64 = ALIAS | board::DISTRIBUTOR;
/// The frame of the private interrupts of vCPU 0.
const PRIVATE: u64 = (ALIAS | board::REDISTRIBUTORS) + 0x1_0000;
const IGROUPR: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICPENDR: u64 = 0x280;
const ISACTIVER: u64 = 0x300;
const ICACTIVER: u64 = 0x380;
const IPRIORITYR: u64 = 0x400;
const IROUTER: u64 = 0x6000;

/// Runs a program on one vCPU, which turns the realm off at its end.
fn in_realm(program: fn(&GuestCpu)) {
    let run = run(&machine(1), &options(1), program, nothing);
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

/// Puts everything into group 1 at priority 0xA0, and enables SGIs.
fn set_up(guest: &GuestCpu) {
    guest.store_device(GICD, 0b10010);
    guest.store_device(ALIAS | (board::REDISTRIBUTORS + 0x14), 0);
    guest.store_device(PRIVATE + IGROUPR, !0);
    guest.store_device(GICD + IGROUPR + 4, !0);
    for word in 0..8 {
        guest.store_device(PRIVATE + IPRIORITYR + 4 * word, 0xA0A0_A0A0);
        guest.store_device(GICD + IPRIORITYR + 32 + 4 * word, 0xA0A0_A0A0);
    }
    guest.store_device(PRIVATE + ISENABLER, 0xFFFF);
    set(guest, names::ICC_PMR_EL1, 0xFF);
    set(guest, names::ICC_IGRPEN1_EL1, 1);
}

fn set(guest: &GuestCpu, register: machine::cpu::Encoding, value: u64) {
    guest.write_system(register, value).expect("a register");
}

fn send(guest: &GuestCpu, intid: u64) {
    set(guest, names::ICC_SGI1R_EL1, intid << 24 | 1);
}

/// Takes the next interrupt, and leaves it active.
fn take(guest: &GuestCpu) -> u64 {
    loop {
        if let Some(intid) = guest.acknowledge_interrupt() {
            return intid.into();
        }
        guest.wait_for_interrupt();
    }
}

fn take_and_end(guest: &GuestCpu) -> u64 {
    let intid = take(guest);
    guest.end_of_interrupt(intid as u32);
    intid
}

fn private(guest: &GuestCpu, register: u64) -> u32 {
    guest.load_device(PRIVATE + register)
}

#[test]
fn more_are_active_than_there_are_list_registers() {
    in_realm(|guest| {
        set_up(guest);
        for intid in 0..7 {
            let byte = 0xE0 - 0x10 * intid;
            let at = PRIVATE + IPRIORITYR + intid;
            guest.store(at, 1, byte).expect("a priority");
        }
        for intid in 0..7 {
            send(guest, intid);
            assert_eq!(take(guest), intid);
        }
        assert_eq!(private(guest, ISACTIVER), 0x7F);
        for intid in (0..7).rev() {
            guest.end_of_interrupt(intid);
            assert_eq!(private(guest, ISACTIVER), (1 << intid) - 1);
        }
        assert_eq!(private(guest, ISPENDR), 0);
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn with_split_ends_eight_stay_active_until_each_is_deactivated() {
    in_realm(|guest| {
        set_up(guest);
        set(guest, names::ICC_CTLR_EL1, 2);
        for intid in 0..8 {
            send(guest, intid);
            assert_eq!(take_and_end(guest), intid);
        }
        assert_eq!(private(guest, ISACTIVER), 0xFF);
        // One that is active is not delivered again before it is deactivated.
        send(guest, 3);
        assert_eq!(private(guest, ISPENDR), 1 << 3);
        assert_eq!(guest.acknowledge_interrupt(), None);
        let mut active = 0xFF;
        for intid in [5, 0, 7, 2, 3, 6, 1, 4] {
            set(guest, names::ICC_DIR_EL1, intid);
            active &= !(1 << intid);
            assert_eq!(private(guest, ISACTIVER), active);
            if intid == 3 {
                assert_eq!(take_and_end(guest), 3);
                set(guest, names::ICC_DIR_EL1, 3);
            }
        }
        for nothing in [40, 1023, 0xFF_FFFF] {
            set(guest, names::ICC_DIR_EL1, nothing);
        }
        assert_eq!((private(guest, ISACTIVER), private(guest, ISPENDR)), (0, 0));
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn what_is_disabled_withdrawn_or_masked_does_not_come() {
    in_realm(|guest| {
        set_up(guest);
        // Disabled while it is active; pending while it is disabled.
        send(guest, 2);
        assert_eq!(take(guest), 2);
        guest.store_device(PRIVATE + ICENABLER, 1 << 2);
        assert_eq!(private(guest, ISACTIVER), 1 << 2);
        guest.end_of_interrupt(2);
        assert_eq!(private(guest, ISACTIVER), 0);
        send(guest, 2);
        assert_eq!(private(guest, ISPENDR), 1 << 2);
        assert_eq!(guest.acknowledge_interrupt(), None);
        guest.store_device(PRIVATE + ISENABLER, 1 << 2);
        assert_eq!(take_and_end(guest), 2);
        // Withdrawn.
        send(guest, 5);
        guest.store_device(PRIVATE + ICPENDR, 1 << 5);
        assert_eq!(guest.acknowledge_interrupt(), None);
        // The group is off in the distributor, in the CPU interface; the priority is masked.
        guest.store_device(GICD, 0b10000);
        send(guest, 1);
        assert_eq!(guest.acknowledge_interrupt(), None);
        guest.store_device(GICD, 0b10010);
        assert_eq!(take_and_end(guest), 1);
        for (register, off, on) in [
            (names::ICC_IGRPEN1_EL1, 0, 1),
            (names::ICC_PMR_EL1, 0x80, 0xF8),
        ] {
            set(guest, register, off);
            send(guest, 1);
            assert_eq!(guest.acknowledge_interrupt(), None);
            set(guest, register, on);
            assert_eq!(take_and_end(guest), 1);
        }
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn what_changes_while_it_is_pending_or_active_is_respected() {
    in_realm(|guest| {
        set_up(guest);
        // The priorities change before either is taken.
        let priority = |intid: u64, value: u64| {
            let at = PRIVATE + IPRIORITYR + intid;
            guest.store(at, 1, value).expect("a priority");
        };
        priority(1, 0xC0);
        priority(2, 0x40);
        send(guest, 1);
        send(guest, 2);
        priority(1, 0x20);
        assert_eq!([take_and_end(guest), take_and_end(guest)], [1, 2]);
        // Sent twice while it is active: once more.
        send(guest, 9);
        assert_eq!(take(guest), 9);
        send(guest, 9);
        send(guest, 9);
        guest.end_of_interrupt(9);
        assert_eq!(take_and_end(guest), 9);
        assert_eq!((private(guest, ISPENDR), private(guest, ISACTIVER)), (0, 0));
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn a_shared_interrupt_that_software_makes_active_is_held_back() {
    in_realm(|guest| {
        set_up(guest);
        let bit = 1 << 5;
        guest.store_device(GICD + ISACTIVER + 4, bit);
        guest.store_device(GICD + ISENABLER + 4, bit);
        guest.store_device(GICD + ISPENDR + 4, bit);
        assert_eq!(guest.acknowledge_interrupt(), None);
        assert_eq!(guest.load_device(GICD + ISACTIVER + 4), bit);
        guest.store_device(GICD + ICACTIVER + 4, bit);
        assert_eq!(take_and_end(guest), 37);
        // Routed to nobody it stays pending.
        guest
            .store(GICD + IROUTER + 8 * 37, 8, 0x305)
            .expect("a route");
        guest.store_device(GICD + ISPENDR + 4, bit);
        assert_eq!(guest.acknowledge_interrupt(), None);
        assert_eq!(guest.load_device(GICD + ISPENDR + 4) & bit, bit);
        guest.store(GICD + IROUTER + 8 * 37, 8, 0).expect("a route");
        assert_eq!(take_and_end(guest), 37);
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn software_generated_interrupts_go_where_they_are_addressed() {
    in_realm(|guest| {
        set_up(guest);
        // Another cluster, another range, everybody else; a group that the interrupt is not in.
        for elsewhere in [1 << 16 | 1, 1 << 32 | 1, 1 << 48 | 1, 1 << 44 | 1, 1 << 40] {
            set(guest, names::ICC_SGI1R_EL1, 4 << 24 | elsewhere);
        }
        set(guest, names::ICC_SGI0R_EL1, 6 << 24 | 1);
        assert_eq!(private(guest, ISPENDR), 0);
        for intid in 0..16 {
            send(guest, intid);
        }
        let taken = (0..16).fold(0, |taken, _| taken | 1 << take_and_end(guest));
        assert_eq!(taken, 0xFFFF);
        assert_eq!((private(guest, ISPENDR), private(guest, ISACTIVER)), (0, 0));
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn registers_that_do_not_exist_read_as_zero() {
    in_realm(|guest| {
        set_up(guest);
        let frame = ALIAS | board::REDISTRIBUTORS;
        let wide = |at| guest.load(at, 8).expect("a register");
        assert_eq!(guest.load_device(frame + 0x14), 0);
        guest.store_device(frame + 0x14, 2);
        assert_eq!(
            guest.load_device(frame + 0x14),
            6,
            "asleep, and its children"
        );
        guest.store_device(frame + 0x14, 0);
        assert_eq!(guest.load_device(frame + 0x14), 0);
        assert_eq!(wide(frame + 8), 1 << 4, "the only one is the last");
        for absent in [frame + 0x70, frame + 0x78] {
            guest.store(absent, 8, u64::MAX).expect("a register");
            assert_eq!(wide(absent), 0);
        }
        guest.store_device(frame, 1);
        assert_eq!(guest.load_device(frame), 0, "there are no LPIs");
        for at in [GICD + 0xFFE8, frame + 0xFFE8] {
            assert_eq!(guest.load_device(at) >> 4 & 0xF, 3, "GICv3");
        }
        guest.store_device(GICD + ISENABLER + 8, !0);
        for zero in [0x820, ISENABLER, ISENABLER + 8] {
            assert_eq!(guest.load_device(GICD + zero), 0, "{zero:#x}");
        }
        guest
            .store(GICD + IPRIORITYR + 40, 1, 0xFF)
            .expect("a priority");
        assert_eq!(guest.load(GICD + IPRIORITYR + 40, 1), Ok(0xF8));
        guest.store_device(PRIVATE + 0xC00, 0);
        assert_eq!(private(guest, 0xC00), 0xAAAA_AAAA, "SGIs are edges");
        let route = GICD + IROUTER + 8 * 38;
        guest.store_device(route + 4, 0x12);
        guest.store_device(route, 0x8000_0103);
        assert_eq!(wide(route), 0x12_8000_0103);
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn what_is_pending_gets_its_turn_when_list_registers_full_of_active_ones_are_free() {
    in_realm(|guest| {
        set_up(guest);
        for (intid, priority) in [
            (0, 0x80),
            (1, 0x70),
            (2, 0x60),
            (3, 0x50),
            (8, 0xD0),
            (9, 0xD8),
        ] {
            let at = PRIVATE + IPRIORITYR + intid;
            guest.store(at, 1, priority).expect("a priority");
        }
        for intid in 0..4 {
            send(guest, intid);
            assert_eq!(take(guest), intid);
        }
        send(guest, 9);
        send(guest, 8);
        assert_eq!(
            guest.acknowledge_interrupt(),
            None,
            "their priority is lower"
        );
        assert_eq!(private(guest, ISPENDR), 0x300);
        for intid in (0..4).rev() {
            guest.end_of_interrupt(intid);
        }
        assert_eq!([take_and_end(guest), take_and_end(guest)], [8, 9]);
        assert_eq!((private(guest, ISPENDR), private(guest, ISACTIVER)), (0, 0));
        call(guest, &[SYSTEM_OFF]);
    });
}

#[test]
fn a_level_comes_again_until_its_line_is_low_and_software_can_pend_it() {
    /// UARTIMSC and its bit for transmission.
    const MASK: u64 = (ALIAS | board::UART) + 0x38;
    const TRANSMIT: u32 = 1 << 5;
    const SPI: u32 = 1 << board::UART_SPI;
    const INTID: u64 = 32 + board::UART_SPI as u64;
    in_realm(|guest| {
        set_up(guest);
        let pending = |guest: &GuestCpu| guest.load_device(GICD + ISPENDR + 4) & SPI;
        // Of software alone, and withdrawn.
        guest.store_device(GICD + ISPENDR + 4, SPI);
        assert_eq!(pending(guest), SPI);
        guest.store_device(GICD + ICPENDR + 4, SPI);
        assert_eq!(pending(guest), 0);
        // Of the line, while it is disabled and after.
        guest.store_device(ALIAS | board::UART, b'.'.into());
        guest.store_device(MASK, TRANSMIT);
        assert_eq!(pending(guest), SPI);
        assert_eq!(guest.acknowledge_interrupt(), None);
        guest.store_device(GICD + ISENABLER + 4, SPI);
        for _ in 0..3 {
            assert_eq!(take_and_end(guest), INTID);
        }
        assert_eq!(take(guest), INTID);
        guest.store_device(MASK, 0);
        guest.end_of_interrupt(INTID as u32);
        assert_eq!(guest.acknowledge_interrupt(), None);
        assert_eq!(pending(guest), 0);
        call(guest, &[SYSTEM_OFF]);
    });
}
