//! PSCI of a realm, and RMI_PSCI_COMPLETE.

mod rig;

use std::sync::mpsc::channel;

use cca_abi::rmi;
use cca_abi::rmi::psci_complete::Input;
use cca_abi::rmi::run::{RecEnter, RecExit};
use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::platform::{Exception, Platform as _, ProcessingElement, RecContext, Stage2};
use realm_monitor::rec::layout::{self, SysReg};
use rig::*;

const INPUT: u64 = 1;
const CPU_ON: u64 = 0xC400_0003;
const AFFINITY_INFO: u64 = 0xC400_0004;
const INVALID_PARAMETERS: u64 = -2_i64 as u64;
const DENIED: u64 = -3_i64 as u64;
const ALREADY_ON: u64 = -4_i64 as u64;
const INVALID_ADDRESS: u64 = -9_i64 as u64;

fn psci_exit(function: u64, target: u64) -> RecExit {
    let mut exit = RecExit {
        exit_reason: 3,
        ..RecExit::default()
    };
    (exit.gprs[0], exit.gprs[1]) = (function, target);
    exit
}

fn answers(rig: &mut Rig, call: &[u64], expected: u64) {
    let out = rig.answered(call);
    assert_eq!(out[..4], [expected, 0, 0, 0], "{call:#x?}");
}

#[test]
fn version_and_features() {
    let mut rig = Rig::active();
    answers(&mut rig, &[0x8400_0000, 1, 2, 3], 0x1_0001);
    let known = [
        0x8400_0000,
        0xC400_0001,
        0x8400_0001,
        0x8400_0002,
        0xC400_0003,
        0x8400_0003,
        0xC400_0004,
        0x8400_0004,
        0x8400_0008,
        0x8400_0009,
        0x8400_000A,
        0x8000_0000,
    ];
    for function in known {
        answers(&mut rig, &[0x8400_000A, function], 0);
    }
    for function in [
        0x8400_0006,
        0x8400_000B,
        0xC400_000E,
        0x8000_0001,
        0xC400_0190,
        0,
    ] {
        answers(&mut rig, &[0x8400_000A, function], u64::MAX);
    }
}

#[test]
fn calls_that_name_no_other_processor_are_answered_or_passed_on() {
    let mut rig = Rig::active();
    let before = rig.rec(REC0).pc();
    for function in [0xC400_0001, 0x8400_0001] {
        rig.smc(&[function, 1, 2, 3]);
        assert_eq!(rig.run(), psci_exit(function, 0), "no argument is shown");
        assert_eq!(
            [0, 1, 2, 3, 4].map(|n| rig.rec(REC0).gpr(n)),
            [0, 0, 0, 0, 0x104]
        );
    }
    assert_eq!(rig.rec(REC0).pc(), before + 8);

    rig.smc(&[0x8400_0002, 1, 2, 3]);
    assert_eq!(rig.run(), psci_exit(0x8400_0002, 0));
    rig.refused_enter(&RecEnter::default(), "rec_runnable", 3);
}

#[test]
fn a_realm_that_is_off_stays_off() {
    for function in [0x8400_0008, 0x8400_0009] {
        let mut rig = Rig::active();
        rig.smc(&[function, 1, 2, 3]);
        assert_eq!(rig.run(), psci_exit(function, 0));
        for rec in [REC0, REC1] {
            rig.refused(&Rig::enter_call(rec).encode(), "system_off", 0x102);
        }
    }
}

#[test]
fn calls_that_can_be_refused_here_are() {
    let mut rig = Rig::active();
    answers(&mut rig, &[CPU_ON, 1, UNPROTECTED, 0], INVALID_ADDRESS);
    answers(&mut rig, &[CPU_ON, 1, u64::MAX, 0], INVALID_ADDRESS);
    for target in [3, 0x100, 1 << 32, 1 << 16] {
        answers(&mut rig, &[CPU_ON, target, ENTRY, 0], INVALID_PARAMETERS);
        answers(&mut rig, &[AFFINITY_INFO, target, 0], INVALID_PARAMETERS);
    }
    answers(&mut rig, &[CPU_ON, 0, ENTRY, 0], ALREADY_ON);
    answers(&mut rig, &[AFFINITY_INFO, 0, 0], 0);
    answers(&mut rig, &[AFFINITY_INFO, 1, 1], INVALID_PARAMETERS);
    // The SMC32 form has 32-bit arguments.
    answers(&mut rig, &[0x8400_0003, 1 << 32, ENTRY, 0], ALREADY_ON);
}

/// Has REC 0 make a call that needs an answer.
fn pending(rig: &mut Rig, call: &[u64]) {
    rig.smc(call);
    assert_eq!(rig.run(), psci_exit(call[0], call[1]));
    rig.refused_enter(&RecEnter::default(), "rec_psci", 3);
}

fn complete(rig: &mut Rig, target_rec: u64, status: i64) {
    rig.ok(&Input {
        calling_rec: REC0,
        target_rec,
        status,
    }
    .encode());
    assert_eq!(rig.rec(REC0).get(layout::PSCI_PENDING), 0);
}

/// X0 to X4 of the caller when it runs again.
fn result(rig: &mut Rig) -> [u64; 5] {
    rig.script([Exception::Irq]);
    assert_eq!(rig.run(), irq());
    core::array::from_fn(|n| rig.rec(REC0).gpr(n))
}

#[test]
fn a_processor_is_turned_on_and_starts_from_scratch() {
    let mut rig = Rig::active();
    // The target ran before.
    rig.rec(REC1).set(layout::RUNNABLE, 1);
    rig.step(|rec| {
        for n in 0..31 {
            rec.set_gpr(n, 0xDEAD);
        }
        for word in layout::SYSREGS..layout::SYSREGS + SysReg::COUNT {
            rec.set(word, 0xDEAD);
        }
        rec.set(layout::CNTV_CTL, 1);
        rec.set(layout::CNTV_CVAL, 1 << 40);
        rec.set(layout::ICH_VMCR_EL2, 0xDEAD);
        rec.set(layout::PSTATE, 0);
        rec.set_gpr(0, 0x8400_0002);
        sync(0x17 << 26 | 1 << 25)
    });
    rig.enter(REC1, &RecEnter::default());

    rig.rec(REC0).set_sysreg(SysReg::SctlrEl1, u64::MAX);
    pending(&mut rig, &[CPU_ON, 1, RAM + 0x2000, 0xC0FFEE]);
    complete(&mut rig, REC1, 0);
    assert_eq!(result(&mut rig), [0, 0, 0, 0, 0x104]);

    let rec = rig.rec(REC1);
    assert_eq!(
        (rec.pc(), rec.get(layout::PSTATE), rec.gpr(0)),
        (RAM + 0x2000, 0x3C5, 0xC0FFEE)
    );
    assert!((1..31).all(|n| rec.gpr(n) == 0));
    assert_eq!(
        rec.sysreg(SysReg::SctlrEl1),
        0x00C5_0878 | 1 << 25,
        "the byte order is the caller's"
    );
    assert_eq!(rec.sysreg(SysReg::VbarEl1), 0);
    assert_eq!(
        (rec.get(layout::CNTV_CTL), rec.get(layout::ICH_VMCR_EL2)),
        (0, 0)
    );
    rig.script([Exception::Irq]);
    assert_eq!(rig.enter(REC1, &RecEnter::default()), irq());
}

#[test]
fn the_answer_depends_on_the_target() {
    let mut rig = Rig::active();
    pending(&mut rig, &[CPU_ON, 2, ENTRY, 0]);
    complete(&mut rig, REC2, -3);
    assert_eq!(result(&mut rig)[..4], [DENIED, 0, 0, 0]);
    assert_eq!(rig.rec(REC2).get(layout::RUNNABLE), 0);

    pending(&mut rig, &[AFFINITY_INFO, 2, 0]);
    complete(&mut rig, REC2, 0);
    assert_eq!(result(&mut rig)[..4], [1, 0, 0, 0]);

    pending(&mut rig, &[0x8400_0003, 2, ENTRY, 7]);
    complete(&mut rig, REC2, 0);
    assert_eq!(result(&mut rig)[..4], [0, 0, 0, 0]);
    assert_eq!(rig.rec(REC2).gpr(0), 7);

    pending(&mut rig, &[CPU_ON, 2, ENTRY + 0x1000, 8]);
    // It is on, so nobody can deny it.
    rig.refused(
        &Input {
            calling_rec: REC0,
            target_rec: REC2,
            status: -3,
        }
        .encode(),
        "status",
        INPUT,
    );
    complete(&mut rig, REC2, 0);
    assert_eq!(result(&mut rig)[..4], [ALREADY_ON, 0, 0, 0]);
    assert_eq!((rig.rec(REC2).gpr(0), rig.rec(REC2).pc()), (7, ENTRY));

    pending(&mut rig, &[0x8400_0004, 2, 0]);
    complete(&mut rig, REC2, 0);
    assert_eq!(result(&mut rig)[..4], [0, 0, 0, 0]);
}

#[test]
fn every_refusal_of_a_completion_changes_nothing() {
    let mut rig = Rig::active();
    rig.delegate(SPARE);
    rig.create_realm(RD_B, ROOT_B, 2);
    rig.create_rec(RD_B, REC_B, 0, true);
    let with = |calling_rec, target_rec, status| {
        Input {
            calling_rec,
            target_rec,
            status,
        }
        .encode()
    };
    rig.refused(&with(REC0, REC1, 0), "pending", INPUT);
    pending(&mut rig, &[CPU_ON, 1, ENTRY, 0]);

    rig.refused(&with(REC0, REC0, 0), "alias", INPUT);
    rig.refused(&with(REC0 + 8, REC1, 0), "calling_align", INPUT);
    rig.refused(&with(OUTSIDE, REC1, 0), "calling_bound", INPUT);
    rig.refused(&with(REC0, REC1 + 8, 0), "target_align", INPUT);
    rig.refused(&with(REC0, OUTSIDE, 0), "target_bound", INPUT);
    for other in [UNDELEGATED, SPARE, RD, ROOT, DATA] {
        rig.refused(&with(other, REC1, 0), "calling_state", INPUT);
        rig.refused(&with(REC0, other, 0), "target_state", INPUT);
    }
    rig.monitor.granules().add(rig.monitor.platform(), REC0, 1);
    rig.refused(&with(REC0, REC1, 0), "running", INPUT);
    rig.monitor
        .granules()
        .subtract(rig.monitor.platform(), REC0, 1);
    rig.refused(&with(REC1, REC0, 0), "pending", INPUT);
    rig.refused(&with(REC0, REC_B, 0), "owner", INPUT);
    rig.refused(&with(REC0, REC2, 0), "target", INPUT);
    for status in [1, -1, -2, -4, -5, -9, i64::MIN] {
        rig.refused(&with(REC0, REC1, status), "status", INPUT);
    }
    complete(&mut rig, REC1, 0);

    // AFFINITY_INFO cannot be denied.
    pending(&mut rig, &[AFFINITY_INFO, 2, 0]);
    rig.refused(&with(REC0, REC2, -3), "status", INPUT);
}

/// A PE whose realm runs until it is told to stop.
struct BlockingPe {
    entered: std::sync::mpsc::Sender<()>,
    leave: std::sync::mpsc::Receiver<()>,
}

impl ProcessingElement for BlockingPe {
    fn run(&mut self, _rec: RecContext<'_>, _stage2: &Stage2) -> Exception {
        self.entered.send(()).unwrap();
        let _ = self.leave.recv();
        Exception::Irq
    }

    fn start_signing(&mut self, _: usize, signing: Signing) -> Option<Signature> {
        Some(signing.sign())
    }

    fn resume_signing(&mut self, _: usize) -> Option<Signature> {
        unreachable!("nothing was suspended")
    }

    fn interrupt_pending(&self) -> bool {
        false
    }

    fn counter(&self) -> u64 {
        0
    }
}

#[test]
fn a_running_rec_is_not_locked_but_taken() {
    let mut rig = Rig::active();
    rig.rec(REC1).set(layout::RUNNABLE, 1);
    rig.set_enter(&RecEnter::default());
    pending(&mut rig, &[CPU_ON, 1, ENTRY + 0x1000, 9]);
    let (entered, has_entered) = channel();
    let (stop, leave) = channel();
    let monitor = &rig.monitor;
    std::thread::scope(|scope| {
        // Gone with a panic, so that nobody waits for it then.
        let stop = stop;
        scope.spawn(move || {
            let mut registers = rmi::rec_enter::Input {
                rec: REC1,
                run_ptr: NS,
            }
            .encode();
            rig::handle_rmi(monitor, &mut BlockingPe { entered, leave }, &mut registers);
            assert_eq!(registers.0[0], 0);
        });
        has_entered.recv().unwrap();
        let pe = &mut ScriptedPe::default();
        let mut call = |mut registers: cca_abi::smccc::Registers| {
            let dispatched = rig::handle_rmi(monitor, pe, &mut registers);
            (registers.0[0], dispatched.condition)
        };
        assert_eq!(call(Rig::enter_call(REC1).encode()), (3, Some("rec_state")));
        assert_eq!(
            call(rmi::rec_destroy::Input { rec: REC1 }.encode()),
            (3, Some("rec_state"))
        );
        let change = rmi::rtt_set_ripas::Input {
            rd: RD,
            rec: REC1,
            base: RAM,
            top: RAM + 0x1000,
        };
        assert_eq!(call(change.encode()), (3, Some("rec_state")));
        // A processor that runs is on, even if it has just turned itself off.
        RecContext(monitor.platform().granule(REC1)).set(layout::RUNNABLE, 0);
        assert_eq!(
            call(
                Input {
                    calling_rec: REC0,
                    target_rec: REC1,
                    status: 0
                }
                .encode()
            )
            .0,
            0
        );
        stop.send(()).unwrap();
    });
    assert_eq!(rig.rec(REC0).gpr(0), ALREADY_ON);
    rig.ok(&rmi::rec_destroy::Input { rec: REC1 }.encode());
}
