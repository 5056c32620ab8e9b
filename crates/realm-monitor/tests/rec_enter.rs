//! RMI_REC_ENTER: when it is refused, and how it completes what the previous exit left open.

mod rig;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::run::{RecEnter, RecExit, enter_flags};
use cca_abi::rmi::{self, Ripas, rec_enter};
use cca_abi::rsi::Command;
use realm_monitor::platform::Exception;
use realm_monitor::rec::layout::{self, SysReg};
use rig::*;

const INPUT: u64 = 1;
const REALM_NEW: u64 = 2;
const REALM_OFF: u64 = 0x102;
const REC: u64 = 3;

const DATA_ABORT: u64 = 0x24 << 26;
const ISV: u64 = 1 << 24;
const WRITE: u64 = 1 << 6;

fn flags(flags: u64) -> RecEnter {
    RecEnter {
        flags,
        ..RecEnter::default()
    }
}

fn emulated(value: u64) -> RecEnter {
    let mut enter = flags(enter_flags::EMUL_MMIO);
    enter.gprs = [0xBAD; 31];
    enter.gprs[0] = value;
    enter
}

#[test]
fn every_refusal_changes_nothing() {
    let mut rig = Rig::active();
    rig.delegate(SPARE);
    let with_run = |run_ptr| rec_enter::Input { rec: REC0, run_ptr }.encode();
    rig.refused(&with_run(RUN + 8), "run_align", INPUT);
    rig.refused(&with_run(OUTSIDE), "run_bound", INPUT);
    for run in [SPARE, RD, DATA] {
        rig.refused(&with_run(run), "run_pas", INPUT);
    }
    rig.make_secure(NS);
    rig.refused(&with_run(NS), "run_read", INPUT);
    let with_rec = |rec| Rig::enter_call(rec).encode();
    rig.refused(&with_rec(REC0 + 8), "rec_align", INPUT);
    rig.refused(&with_rec(OUTSIDE), "rec_bound", INPUT);
    for rec in [UNDELEGATED, SPARE, RD, ROOT, DATA] {
        rig.refused(&with_rec(rec), "rec_gran_state", INPUT);
    }
    // As if another PE were inside RMI_REC_ENTER.
    rig.monitor.granules().add(rig.monitor.platform(), REC0, 1);
    rig.refused(&with_rec(REC0), "rec_state", REC);
    rig.monitor
        .granules()
        .subtract(rig.monitor.platform(), REC0, 1);

    for accesses in 0..2 {
        rig.fault_after(accesses);
        rig.refused(&with_rec(REC0), "run_read", INPUT);
    }
    rig.fault_after(u64::MAX);
    rig.refused(&with_rec(REC1), "rec_runnable", REC);

    for bit in [0, 8, 10, 13, 15, 27, 31, 63] {
        rig.refused_enter(
            &RecEnter {
                gicv3_hcr: 1 << bit,
                ..RecEnter::default()
            },
            "rec_gicv3",
            REC,
        );
    }
    let mut enter = RecEnter::default();
    enter.gicv3_lrs[3] = 1 << 62 | 1 << 61 | 27;
    rig.refused_enter(&enter, "rec_gicv3", REC);
    rig.refused_enter(&flags(enter_flags::EMUL_MMIO), "rec_mmio", REC);
}

#[test]
fn a_realm_that_is_not_active_is_not_entered() {
    let mut rig = Rig::with_realm();
    rig.create_rec(RD, REC0, 0, true);
    rig.refused_enter(&RecEnter::default(), "realm_new", REALM_NEW);
    rig.ok(&rmi::realm_activate::Input { rd: RD }.encode());
    rig.smc(&[0x8400_0008]);
    rig.run();
    // The state of the realm comes before everything that is wrong with the REC or the record.
    rig.refused_enter(&flags(enter_flags::EMUL_MMIO), "system_off", REALM_OFF);
    rig.refused(&Rig::enter_call(REC0).encode(), "system_off", REALM_OFF);
}

#[test]
fn a_record_that_cannot_be_written_is_lost_but_the_rec_is_not() {
    let mut rig = Rig::active();
    rig.set_enter(&RecEnter::default());
    rig.script([Exception::Irq]);
    rig.fault_after(2);
    let out = rig.call(&Rig::enter_call(REC0).encode());
    assert_eq!(out.0[0], INPUT);
    rig.fault_after(u64::MAX);
    rig.script([Exception::Irq]);
    assert_eq!(rig.run(), irq());
}

#[test]
fn an_emulated_read_arrives_as_the_instruction_wants_it() {
    let mut rig = Rig::active();
    let byte = 0;
    let half = 1 << 22;
    let word = 2 << 22;
    let double = 3 << 22;
    let (sse, sf) = (1 << 21, 1 << 15);
    let cases = [
        (byte, 0xFFFF_FFFF_FFFF_FF80, 0x80),
        (byte | sse, 0x80, 0xFFFF_FF80),
        (byte | sse | sf, 0x80, 0xFFFF_FFFF_FFFF_FF80),
        (half | sse | sf, 0x1_7FFF, 0x7FFF),
        (word, 0x1_2345_6789, 0x2345_6789),
        (word | sse | sf, 0x8000_0000, 0xFFFF_FFFF_8000_0000),
        (double | sf, 0x0123_4567_89AB_CDEF, 0x0123_4567_89AB_CDEF),
    ];
    for (access, value, expected) in cases {
        rig.script([abort(
            DATA_ABORT | ISV | access | 12 << 16 | 7,
            0,
            UNPROTECTED,
        )]);
        rig.run();
        let before = rig.rec(REC0).pc();
        rig.script([Exception::Irq]);
        rig.enter(REC0, &emulated(value));
        let rec = rig.rec(REC0);
        assert_eq!(
            (rec.gpr(12), rec.pc()),
            (expected, before + 4),
            "{access:#x}"
        );
        assert_eq!(rec.gpr(0), 0x100, "only the destination changes");
    }
}

#[test]
fn an_emulated_access_without_destination_only_moves_on() {
    let mut rig = Rig::active();
    for access in [31 << 16, 5 << 16 | WRITE] {
        rig.script([abort(DATA_ABORT | ISV | access | 7, 0, UNPROTECTED)]);
        rig.run();
        let before: Vec<_> = (0..31).map(|n| rig.rec(REC0).gpr(n)).collect();
        let pc = rig.rec(REC0).pc();
        rig.script([Exception::Irq]);
        rig.enter(REC0, &emulated(0x77));
        assert_eq!(
            (0..31).map(|n| rig.rec(REC0).gpr(n)).collect::<Vec<_>>(),
            before
        );
        assert_eq!(rig.rec(REC0).pc(), pc + 4);
    }
}

#[test]
fn an_access_is_completed_once_and_only_right_after_it() {
    let mut rig = Rig::active();
    let read = abort(DATA_ABORT | ISV | 2 << 22 | 7, 0, UNPROTECTED);
    rig.script([read]);
    rig.run();
    // Refused for another reason: the access stays open.
    let mut bad = emulated(1);
    bad.gicv3_hcr = 1;
    rig.refused_enter(&bad, "rec_gicv3", REC);
    rig.script([Exception::Irq]);
    rig.enter(REC0, &emulated(1));
    rig.refused_enter(&emulated(1), "rec_mmio", REC);

    rig.script([read]);
    rig.run();
    let pc = rig.rec(REC0).pc();
    rig.script([Exception::Irq]);
    rig.run();
    assert_eq!(
        rig.rec(REC0).pc(),
        pc,
        "not emulated: the instruction is executed again"
    );
    rig.refused_enter(&emulated(1), "rec_mmio", REC);
}

#[test]
fn the_host_injects_an_abort_only_where_it_answers_for_the_memory() {
    let mut rig = Rig::active();
    let inject = flags(enter_flags::INJECT_SEA | enter_flags::EMUL_MMIO);
    // An access that could be emulated, and one that could not.
    for esr in [DATA_ABORT | ISV | WRITE | 7, DATA_ABORT | 7] {
        rig.step(move |rec| {
            rec.set(layout::PC, ENTRY + 0x10);
            rec.set(layout::PSTATE, 0x3C5);
            rec.set_sysreg(SysReg::VbarEl1, RAM);
            abort(esr, 0xFFFF_0000_0000_1238, UNPROTECTED)
        });
        rig.run();
        rig.script([Exception::Irq]);
        rig.enter(REC0, &inject);
        let rec = rig.rec(REC0);
        assert_eq!(rec.pc(), RAM + 0x200);
        assert_eq!(rec.sysreg(SysReg::ElrEl1), ENTRY + 0x10);
        assert_eq!(rec.sysreg(SysReg::FarEl1), 0xFFFF_0000_0000_1238);
        assert_eq!(
            rec.sysreg(SysReg::EsrEl1),
            0x25 << 26 | esr & WRITE | 1 << 9 | 0x10
        );
    }
    // Elsewhere the flag has no effect, and covers the other one.
    for exception in [Exception::Irq, abort(DATA_ABORT | 7, 0, UNPOPULATED)] {
        rig.script([exception]);
        rig.run();
        let pc = rig.rec(REC0).pc();
        rig.script([Exception::Irq]);
        rig.enter(REC0, &inject);
        assert_eq!(rig.rec(REC0).pc(), pc);
    }
}

const HOST_CALL: u64 = Command::HostCall.function_id() as u64;

/// Has the realm make a host call with a structure at `ipa`, which is in its memory.
fn host_call(rig: &mut Rig, ipa: u64) -> RecExit {
    let page = rig.host_page(DATA + ((ipa - RAM) & !0xFFF));
    let first = (ipa & 0xFFF) as usize / 8;
    page[first].store(0xFFFF_FFFF_FFFF_1234, Relaxed);
    for n in 0..31 {
        page[first + 1 + n].store(0xC0DE_0000 + n as u64, Relaxed);
    }
    rig.smc(&[HOST_CALL, ipa, 2, 3]);
    rig.run()
}

#[test]
fn a_host_call_passes_registers_both_ways() {
    let mut rig = Rig::active();
    let structure = RAM + 0x1F00;
    let before = rig.rec(REC0).pc();
    let exit = host_call(&mut rig, structure);
    let gprs = core::array::from_fn(|n| 0xC0DE_0000 + n as u64);
    assert_eq!(
        exit,
        RecExit {
            exit_reason: 5,
            imm: 0x1234,
            gprs,
            ..RecExit::default()
        }
    );
    assert_eq!(rig.rec(REC0).pc(), before + 4);

    let enter = RecEnter {
        gprs: core::array::from_fn(|n| 0xF00D_0000 + n as u64),
        ..RecEnter::default()
    };
    rig.script([Exception::Irq]);
    assert_eq!(rig.enter(REC0, &enter), irq());
    let words: Vec<_> = rig.host_page(DATA + 0x1000)[0xF00 / 8..]
        .iter()
        .map(|word| word.load(Relaxed))
        .collect();
    assert_eq!(
        words[0], 0xFFFF_FFFF_FFFF_1234,
        "the immediate is not written back"
    );
    assert_eq!(words[1..], enter.gprs);
    let rec = rig.rec(REC0);
    assert_eq!([0, 1, 2, 3, 4].map(|n| rec.gpr(n)), [0, 0, 0, 0, 0x104]);
    assert_eq!(rec.pc(), before + 4);
    // It is over: the next entry takes no registers.
    rig.script([Exception::Irq]);
    rig.enter(
        REC0,
        &RecEnter {
            gprs: [0xBAD; 31],
            ..RecEnter::default()
        },
    );
    assert_eq!(
        rig.host_page(DATA + 0x1000)[0xF08 / 8].load(Relaxed),
        0xF00D_0000
    );
}

#[test]
fn results_of_a_host_call_wait_for_the_page() {
    let mut rig = Rig::active();
    host_call(&mut rig, RAM);
    let lost = rig
        .ok(&rmi::data_destroy::Input { rd: RD, ipa: RAM }.encode())
        .0[1];
    // The host is asked for the page without a run of the realm; the call stays open.
    let enter = RecEnter {
        gprs: [7; 31],
        ..RecEnter::default()
    };
    let fault = RecExit {
        esr: 0x9000_0007,
        hpfar: RAM >> 8,
        ..RecExit::default()
    };
    assert_eq!(rig.enter(REC0, &enter), fault);
    assert_eq!(rig.enter(REC0, &enter), fault);
    rig.refused_enter(&flags(enter_flags::EMUL_MMIO), "rec_mmio", REC);

    // The realm can only have the page back by asking for it on another REC.
    rig.ok(&rmi::data_create_unknown::Input {
        rd: RD,
        data: lost,
        ipa: RAM,
    }
    .encode());
    let (asking, top) = (rig.rec(REC1), RAM + 0x1000);
    asking.set(layout::RIPAS_ADDR, RAM);
    asking.set(layout::RIPAS_TOP, top);
    asking.set(layout::RIPAS_VALUE, Ripas::Ram as u64);
    asking.set(layout::RIPAS_DESTROYED, 1);
    let out = rig.ok(&rmi::rtt_set_ripas::Input {
        rd: RD,
        rec: REC1,
        base: RAM,
        top,
    }
    .encode());
    assert_eq!(out.0[1], top);
    rig.script([Exception::Irq]);
    assert_eq!(rig.enter(REC0, &enter), irq());
    assert_eq!(rig.host_page(DATA)[1].load(Relaxed), 7);
    assert_eq!(rig.rec(REC0).gpr(0), 0);
}

#[test]
fn results_of_a_host_call_go_with_a_page_that_the_realm_gave_up() {
    let mut rig = Rig::active();
    host_call(&mut rig, RAM);
    // As if another REC had made the page EMPTY.
    rig.host_page(TABLES + 0x1000)[(RAM >> 12 & 0x1FF) as usize].store(0, Relaxed);
    rig.script([Exception::Irq]);
    assert_eq!(
        rig.enter(
            REC0,
            &RecEnter {
                gprs: [7; 31],
                ..RecEnter::default()
            }
        ),
        irq()
    );
    assert_eq!(rig.rec(REC0).gpr(0), 0);
    assert_eq!(rig.rec(REC0).get(layout::HOST_CALL_PENDING), 0);
}

#[test]
fn timers_that_fire_reach_the_host_once() {
    let mut rig = Rig::active();
    let deadline = 1000;
    rig.step(move |rec| {
        rec.set(layout::CNTV_CTL, 1);
        rec.set(layout::CNTV_CVAL, deadline);
        Exception::Irq
    });
    let armed = RecExit {
        cntv_ctl: 1,
        cntv_cval: deadline,
        ..irq()
    };
    assert_eq!(rig.run(), armed);

    // It fires while the host has control: the realm is not entered.
    rig.pe.counter = deadline;
    let fired = RecExit {
        cntv_ctl: 5,
        ..armed
    };
    assert_eq!(rig.run(), fired);
    // The host knows: the hardware interrupt is masked until the realm has dealt with it.
    rig.step(|rec| {
        assert_eq!(rec.get(layout::CNTHCTL_EL2), 3 << 10 | 1 << 18);
        rec.set(layout::CNTV_CVAL, 3000);
        sync(0x18 << 26 | 3 << 20 | 4 << 1 | 1)
    });
    // The output dropped at an exit that would otherwise have been the monitor's own business.
    assert_eq!(
        rig.run(),
        RecExit {
            cntv_ctl: 1,
            cntv_cval: 3000,
            ..irq()
        }
    );
    rig.step(|rec| {
        assert_eq!(rec.get(layout::CNTHCTL_EL2), 3 << 10);
        Exception::Irq
    });
    assert_eq!(
        rig.run(),
        RecExit {
            cntv_ctl: 1,
            cntv_cval: 3000,
            ..irq()
        }
    );
}

#[test]
fn the_physical_timer_counts_too_and_a_masked_one_does_not() {
    let mut rig = Rig::active();
    rig.step_until(50, |rec| {
        rec.set(layout::CNTP_CTL, 1);
        rec.set(layout::CNTP_CVAL, 40);
        rec.set(layout::CNTV_CTL, 3);
        rec.set(layout::CNTV_CVAL, 40);
        Exception::Irq
    });
    let exit = RecExit {
        cntp_ctl: 5,
        cntp_cval: 40,
        cntv_ctl: 7,
        cntv_cval: 40,
        ..irq()
    };
    assert_eq!(rig.run(), exit);
    rig.step(|rec| {
        assert_eq!(rec.get(layout::CNTHCTL_EL2), 3 << 10 | 1 << 19);
        rec.set(layout::CNTP_CTL, 0);
        Exception::Irq
    });
    assert_eq!(
        rig.run(),
        RecExit {
            cntp_ctl: 0,
            ..exit
        }
    );
}
