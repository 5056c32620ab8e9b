//! Interrupts, waits and power of vCPUs, on the in-process machine.

mod support;

use machine::cpu::{GuestCpu, names};
use realm_guest::demo::GuestPe;
use realm_vmm::{Outcome, board, gic};
use support::*;

/// So many interrupts, one after the other: more than any list or counter has room for.
const MANY: u64 = 200;

/// A realm that has all the time that it needs: each interrupt takes some.
fn without_limit(vcpus: usize) -> machine::RunOptions<'static> {
    machine::RunOptions {
        time_limit_ms: 0,
        ..options(vcpus)
    }
}

#[test]
fn software_generated_interrupts_reach_vcpus_that_wait() {
    for pes in [1, 2] {
        let run = run(
            &machine(pes),
            &options(2),
            |guest| {
                take_interrupts(guest);
                call(guest, &[CPU_ON, 1, SECONDARY, 0]);
                // The other one says that it is up.
                assert_eq!(take(guest), 3);
                send(guest, 1, 5);
                assert_eq!(take(guest), 7);
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                take_interrupts(guest);
                send(guest, 0, 3);
                assert_eq!(take(guest), 5);
                send(guest, 0, 7);
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!(
            (run.report.outcome, run.error()),
            (Outcome::Ok, ""),
            "{pes} PEs"
        );
        assert_eq!(run.rec(0).exits.get("sysreg"), Some(&1));
        assert_eq!(run.rec(1).exits.get("sysreg"), Some(&2));
    }
}

#[test]
fn private_interrupts_of_another_vcpu_can_be_made_pending_and_enabled() {
    let run = run(
        &machine(2),
        &options(2),
        |guest| {
            take_interrupts(guest);
            call(guest, &[CPU_ON, 1, SECONDARY, 0]);
            assert_eq!(take(guest), 3);
            let other = ALIAS | (board::REDISTRIBUTORS + gic::REDISTRIBUTOR_SIZE + 0x1_0000);
            // Disabled there, it stays pending there.
            guest.store_device(other + 0x180, 1 << 4);
            guest.store_device(other + 0x200, 1 << 4);
            send(guest, 1, 5);
            assert_eq!(take(guest), 7);
            assert_eq!(guest.load_device(other + 0x200), 1 << 4);
            guest.store_device(other + 0x100, 1 << 4);
            assert_eq!(take(guest), 8);
            // Enabled, it comes at once.
            guest.store_device(other + 0x200, 1 << 6);
            assert_eq!(take(guest), 9);
            call(guest, &[SYSTEM_OFF]);
        },
        |guest| {
            take_interrupts(guest);
            send(guest, 0, 3);
            for (expected, answer) in [(5, 7), (4, 8), (6, 9)] {
                assert_eq!(take(guest), expected);
                send(guest, 0, answer);
            }
            call(guest, &[CPU_OFF]);
        },
    );
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

/// Sets this vCPU's interrupts up as Linux does: the distributor forwards group 1, and all private ones are in it, at priority 0xA0,
/// and enabled.
fn take_interrupts(guest: &GuestCpu) {
    let index = guest.mpidr() & 0xF;
    let frame = ALIAS | (board::REDISTRIBUTORS + index * gic::REDISTRIBUTOR_SIZE);
    guest.store_device(ALIAS | board::DISTRIBUTOR, 0b10010);
    guest.store_device(frame + 0x14, 0);
    assert_eq!(guest.load_device(frame + 0x14), 0);
    guest.store_device(frame + 0x1_0080, !0);
    for word in 0..8 {
        guest.store_device(frame + 0x1_0400 + 4 * word, 0xA0A0_A0A0);
    }
    guest.store_device(frame + 0x1_0100, !0);
    guest
        .write_system(names::ICC_PMR_EL1, 0xFF)
        .expect("a register");
    guest
        .write_system(names::ICC_IGRPEN1_EL1, 1)
        .expect("a register");
}

fn send(guest: &GuestCpu, target: u64, intid: u64) {
    guest
        .write_system(names::ICC_SGI1R_EL1, intid << 24 | 1 << target)
        .expect("a register");
}

fn take(guest: &GuestCpu) -> u32 {
    loop {
        if let Some(intid) = guest.acknowledge_interrupt() {
            guest.end_of_interrupt(intid);
            return intid;
        }
        guest.wait_for_interrupt();
    }
}

#[test]
fn a_suspended_vcpu_is_woken_by_its_timer() {
    let run = run(
        &machine(1),
        &options(1),
        |guest| {
            take_interrupts(guest);
            guest.arm_timer(guest.counter() + guest.frequency() / 100);
            assert_eq!(call(guest, &[CPU_SUSPEND, 0, 0, 0]), 0);
            assert_eq!(take(guest), 27);
            guest.disarm_timer();
            call(guest, &[SYSTEM_OFF]);
        },
        nothing,
    );
    assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
}

#[test]
fn a_vcpu_can_be_turned_off_and_on_again_and_again() {
    for pes in [1, 3] {
        let run = run(
            &machine(pes),
            &options(3),
            |guest| {
                take_interrupts(guest);
                let mut turned_on = 0;
                while turned_on < 20 {
                    let target = 1 + turned_on % 2;
                    match call(guest, &[CPU_ON, target, SECONDARY, 0]).cast_signed() {
                        0 => turned_on += 1,
                        -4 => {
                            guest.arm_timer(guest.counter() + 1000);
                            assert_eq!(call(guest, &[CPU_SUSPEND, 0, 0, 0]), 0);
                        }
                        other => panic!("CPU_ON answers {other}"),
                    }
                }
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!(
            (run.report.outcome, run.error()),
            (Outcome::Ok, ""),
            "{pes} PEs"
        );
        let started = run.rec(1).exits["psci"] + run.rec(2).exits["psci"];
        assert!(
            (18..=20).contains(&started),
            "{started} of 20 were still on when the realm ended"
        );
    }
}

#[test]
fn two_hundred_timers_in_the_past_interrupt_two_hundred_times() {
    for pes in [1, 2] {
        let run = run(
            &machine(pes),
            &without_limit(1),
            |guest| {
                take_interrupts(guest);
                for _ in 0..MANY {
                    guest.arm_timer(guest.counter() - 1);
                    let intid = loop {
                        guest.wait_for_interrupt();
                        if let Some(intid) = guest.acknowledge_interrupt() {
                            break intid;
                        }
                    };
                    assert_eq!(intid, 27);
                    // It is a level: who ends it first has it once more.
                    guest.disarm_timer();
                    guest.end_of_interrupt(intid);
                    assert_eq!(guest.acknowledge_interrupt(), None);
                }
                say(guest, "all\n");
                call(guest, &[SYSTEM_OFF]);
            },
            nothing,
        );
        assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
        assert_eq!(run.lines, [(0, "all".into())]);
    }
}

#[test]
fn two_hundred_interrupts_between_vcpus_arrive_one_by_one() {
    for pes in [1, 2] {
        let run = run(
            &machine(pes),
            &without_limit(2),
            |guest| {
                take_interrupts(guest);
                call(guest, &[CPU_ON, 1, SECONDARY, 0]);
                assert_eq!(take(guest), 3);
                for _ in 0..MANY {
                    send(guest, 1, 5);
                    assert_eq!(take(guest), 7);
                }
                say(guest, "all\n");
                call(guest, &[SYSTEM_OFF]);
            },
            |guest| {
                take_interrupts(guest);
                send(guest, 0, 3);
                for _ in 0..MANY {
                    assert_eq!(take(guest), 5);
                    send(guest, 0, 7);
                }
                call(guest, &[CPU_OFF]);
            },
        );
        assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
        assert_eq!(run.lines, [(0, "all".into())]);
        assert_eq!(run.rec(0).exits.get("sysreg"), Some(&MANY));
        assert_eq!(run.rec(1).exits.get("sysreg"), Some(&(MANY + 1)));
    }
}
