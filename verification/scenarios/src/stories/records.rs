//! Exit records: for each kind of exit exactly the fields that belong to it, and zeros in all others, to the end of the page.

use alloc::format;
use alloc::vec::Vec;

use cca_abi::explain::Syndrome;
use cca_abi::psci::{Function, code};
use cca_abi::rmi::run::{
    ENTER_WORDS, EXIT, EXIT_WORDS, ExitReason, RecEnter, RecExit, enter_flags, exit_offset,
};
use cca_abi::rmi::{Command, data_destroy, psci_complete, rtt_map_unprotected};
use cca_abi::rsi::Command as Rsi;
use realm_guest::puppet::{GicRegister, IMMEDIATE, Operation};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{CALL_PAGE, FREE_PAGE, Puppet};
use crate::realm::UNPROTECTED;

pub(super) const STORIES: &[Story] = &[Story {
    name: "RMI_REC_ENTER/exit records have what belongs to the exit, and nothing else",
    covers: &["RMI_REC_ENTER/success"],
    needs: Needs::Nothing,
    tell: records,
}];

/// A device register in the unprotected half, at which every access is aligned.
const DEVICE: u64 = UNPROTECTED + 0x0900_0018;
/// MPIDR of the second vCPU.
const OTHER: u64 = 1;
/// A page in the unprotected half that becomes shared memory.
const SHARED: u64 = UNPROTECTED + FREE_PAGE;
/// ICH_HCR_EL2.TDIR.
const TRAP_DEACTIVATION: u64 = 1 << 14;
/// What the exit half of the record holds before an entry.
const POISON: u64 = 0x5EED_5EED_5EED_5EED;

/// Exception classes, in place.
const WAIT: u64 = 0x01 << 26;
const REGISTER: u64 = 0x18 << 26;
const INSTRUCTION: u64 = 0x20 << 26;
const DATA: u64 = 0x24 << 26;
/// Fields of the syndrome of an abort: IL, ISV, SF, WnR; a translation fault at level 3.
const IL: u64 = 1 << 25;
const ISV: u64 = 1 << 24;
const SF: u64 = 1 << 15;
const WRITE: u64 = 1 << 6;
const MISSING: u64 = 7;

/// One kind of exit: what the realm is told, with which flags, and what the host sees beside the timers and the interrupt
/// controller.
struct Kind {
    name: &'static str,
    operation: Operation,
    arguments: Vec<u64>,
    flags: u64,
    /// ICH_HCR_EL2 as the host gives it.
    control: u64,
    expected: RecExit,
}

fn kind(name: &'static str, operation: Operation, arguments: &[u64], expected: RecExit) -> Kind {
    Kind {
        name,
        operation,
        arguments: arguments.to_vec(),
        flags: 0,
        control: 0,
        expected,
    }
}

/// A synchronous exit.
fn sync(esr: u64) -> RecExit {
    RecExit {
        esr,
        ..RecExit::default()
    }
}

/// An abort that shows the page.
fn abort(esr: u64, ipa: u64) -> RecExit {
    RecExit {
        hpfar: ipa >> 12 << 4,
        ..sync(esr)
    }
}

/// An access to [`DEVICE`] of 1 << `log` bytes, with the value that is written.
fn device(log: u64, written: Option<u64>) -> RecExit {
    let write = if written.is_some() { WRITE } else { 0 };
    let wide = if log == 3 { SF } else { 0 };
    let mut exit = RecExit {
        far: DEVICE & 0xFFF,
        ..abort(DATA | ISV | log << 22 | wide | write | MISSING, DEVICE)
    };
    exit.gprs[0] = written.unwrap_or(0);
    exit
}

/// A write to a register of the interrupt controller from X8, with the whole syndrome.
fn gic(crm_op2: (u64, u64), value: u64) -> RecExit {
    let (crm, op2) = crm_op2;
    let iss = 3 << 20 | op2 << 17 | 12 << 10 | 8 << 5 | crm << 1;
    let mut exit = sync(REGISTER | IL | iss);
    exit.gprs[0] = value;
    exit
}

/// A host call that reports no more than the operation.
fn host_call(operation: Operation) -> RecExit {
    let mut exit = RecExit {
        exit_reason: ExitReason::HostCall as u8,
        imm: IMMEDIATE,
        ..RecExit::default()
    };
    exit.gprs[0] = operation as u64;
    exit
}

/// A PSCI call, of which the host sees the function and whom it is about.
fn psci(function: Function, arguments: [u64; 3], target: u64) -> Kind {
    let function: u64 = function.function_id().into();
    let mut exit = RecExit {
        exit_reason: ExitReason::Psci as u8,
        ..RecExit::default()
    };
    exit.gprs[..2].copy_from_slice(&[function, target]);
    let [x1, x2, x3] = arguments;
    kind("PSCI", Operation::Smc, &[function, x1, x2, x3], exit)
}

fn kinds() -> Vec<Kind> {
    const VALUE: u64 = 0x8182_8384_8586_8788;
    let mut kinds = Vec::new();
    for (name, operation, flags, esr) in [
        ("WFI", Operation::Wait, enter_flags::TRAP_WFI, WAIT),
        (
            "WFE",
            Operation::WaitForEvent,
            enter_flags::TRAP_WFE,
            WAIT | 1,
        ),
    ] {
        kinds.push(Kind {
            flags,
            ..kind(name, operation, &[], sync(esr))
        });
    }
    for log in 0..4 {
        let size = 1 << log;
        let written = VALUE & u64::MAX >> (64 - 8 * size);
        kinds.push(kind(
            "emulatable read",
            Operation::Load,
            &[DEVICE, size],
            device(log, None),
        ));
        kinds.push(kind(
            "emulatable write",
            Operation::Store,
            &[DEVICE, size, VALUE],
            device(log, Some(written)),
        ));
    }
    kinds.push(kind(
        "access to an unprotected address that is not emulatable",
        Operation::Add,
        &[SHARED + 8, 1],
        abort(DATA | MISSING, SHARED),
    ));
    for (name, register, place) in [
        ("SGI1R", GicRegister::Sgi1, (11, 5)),
        ("ASGI1R", GicRegister::Asgi1, (11, 6)),
        ("SGI0R", GicRegister::Sgi0, (11, 7)),
    ] {
        kinds.push(kind(
            name,
            Operation::WriteGic,
            &[register as u64, 0x0300_0002],
            gic(place, 0x0300_0002),
        ));
    }
    kinds.push(Kind {
        control: TRAP_DEACTIVATION,
        ..kind(
            "DIR",
            Operation::WriteGic,
            &[GicRegister::Deactivate as u64, 3],
            RecExit {
                gicv3_hcr: TRAP_DEACTIVATION,
                ..gic((11, 1), 3)
            },
        )
    });
    let mut change = RecExit {
        exit_reason: ExitReason::RipasChange as u8,
        ripas_base: FREE_PAGE,
        ripas_top: FREE_PAGE + 0x1000,
        ..RecExit::default()
    };
    for ripas in [0, 1] {
        change.ripas_value = ripas;
        kinds.push(kind(
            "RIPAS change",
            Operation::Smc,
            &[
                Rsi::IpaStateSet.function_id().into(),
                FREE_PAGE,
                FREE_PAGE + 0x1000,
                ripas.into(),
                1,
            ],
            change,
        ));
    }
    kinds.push(kind(
        "protected address",
        Operation::Write,
        &[FREE_PAGE + 0x238, 1],
        abort(DATA | MISSING, FREE_PAGE),
    ));
    let call = host_call(Operation::Nothing);
    kinds.push(kind("host call", Operation::Nothing, &[], call));
    kinds.push(psci(Function::CpuSuspend, [0x1234, 0x5678, 0x9ABC], 0));
    kinds.push(psci(Function::AffinityInfo, [OTHER, 0, 0], OTHER));
    kinds
}

/// What a REC left in its record: the exit half, and whether the entry half is as the host wrote it.
fn page(
    fixture: &Fixture<'_>,
    puppet: &Puppet,
    index: usize,
    enter: &RecEnter,
) -> (Vec<u64>, bool) {
    let host = fixture.host();
    let run_ptr = puppet.run_pages[index];
    let mut words = [0; ENTER_WORDS];
    enter.write(&mut words);
    let same =
        (0..EXIT / 8).all(|word| host.read(run_ptr, word) == words.get(word).copied().unwrap_or(0));
    let exit = (EXIT / 8..512).map(|word| host.read(run_ptr, word));
    (exit.collect(), same)
}

/// Enters the REC with a poisoned exit half until it leaves for something else than an interrupt, whose record is checked
/// too. The timers and the interrupt controller are as in `steady`.
fn leave(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    index: usize,
    enter: &RecEnter,
    steady: &RecExit,
) -> Vec<u64> {
    let mut enter = *enter;
    for _ in 0..1000 {
        for word in EXIT / 8..512 {
            fixture.host().write(puppet.run_pages[index], word, POISON);
        }
        let (x0, exit) = puppet.enter(fixture, index, &enter);
        fixture.equal("X0", x0, 0);
        let (words, same) = page(fixture, puppet, index, &enter);
        fixture.equal("the entry half is the host's", same, true);
        if exit.exit_reason != ExitReason::Irq as u8 || fixture.check().is_err() {
            return words;
        }
        let irq = RecExit {
            exit_reason: ExitReason::Irq as u8,
            gicv3_hcr: enter.gicv3_hcr,
            ..RecExit::default()
        };
        compare(fixture, "IRQ", &words, &irq, steady);
        fixture.host().take_interrupts();
        enter.flags &= enter_flags::TRAP_WFI | enter_flags::TRAP_WFE;
    }
    fixture.fail("nothing but interrupts");
    Vec::new()
}

/// Compares the exit half of a page.
fn compare(
    fixture: &mut Fixture<'_>,
    name: &str,
    is: &[u64],
    expected: &RecExit,
    steady: &RecExit,
) {
    let expected = RecExit {
        gicv3_vmcr: steady.gicv3_vmcr,
        cntp_ctl: steady.cntp_ctl,
        cntp_cval: steady.cntp_cval,
        cntv_ctl: steady.cntv_ctl,
        cntv_cval: steady.cntv_cval,
        ..*expected
    };
    let mut must = [0; EXIT_WORDS];
    expected.write(&mut must);
    for (word, &is) in is.iter().enumerate() {
        let must = must.get(word).copied().unwrap_or(0);
        if is != must {
            let offset = 8 * word;
            let explained = if offset == exit_offset::ESR {
                format!(" ({})", Syndrome(is))
            } else {
                alloc::string::String::new()
            };
            fixture.fail(&format!(
                "{name}: exit record at {offset:#x}: expected {must:#x}, got {is:#x}{explained}"
            ));
        }
    }
}

/// Lets the realm go on to its next host call.
fn answer(fixture: &mut Fixture<'_>, puppet: &Puppet, kind: &Kind) {
    if kind.expected.gprs[1] == OTHER {
        let input = psci_complete::Input {
            calling_rec: puppet.recs[0],
            target_rec: puppet.recs[1],
            status: code::SUCCESS,
        };
        fixture.call(Command::PsciComplete, input.encode());
    }
    if kind.operation == Operation::Add {
        let page = fixture.non_secure_with(&[]);
        let map = rtt_map_unprotected::Input {
            rd: puppet.realm.rd,
            ipa: SHARED,
            level: 3,
            desc: page | 0b110 << 2 | 0b11 << 6,
        };
        fixture.call(Command::RttMapUnprotected, map.encode());
    }
    let emulated = kind.expected.esr & (DATA | ISV) == DATA | ISV;
    let enter = RecEnter {
        flags: if emulated { enter_flags::EMUL_MMIO } else { 0 },
        ..RecEnter::default()
    };
    puppet.expect_call(fixture, 0, &enter);
}

/// Carries out what makes the realm leave in this way, and looks at the record.
fn check(fixture: &mut Fixture<'_>, puppet: &Puppet, kind: &Kind, steady: &RecExit) {
    let mut enter = Puppet::order(kind.operation, &kind.arguments);
    enter.flags = kind.flags;
    enter.gicv3_hcr = kind.control;
    let words = leave(fixture, puppet, 0, &enter, steady);
    let mut expected = kind.expected;
    // An event may be there already, and there are processors (QEMU's) on which one always is.
    let event = kind.operation == Operation::WaitForEvent;
    let reason = words.get(exit_offset::EXIT_REASON / 8);
    if event && reason == Some(&(ExitReason::HostCall as u64)) {
        expected = host_call(kind.operation);
    }
    compare(fixture, kind.name, &words, &expected, steady);
    if ExitReason::decode(expected.exit_reason) != Some(ExitReason::HostCall) {
        answer(fixture, puppet, kind);
    }
}

fn records(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 2);
    let rd = puppet.realm.rd;
    for ipa in [DEVICE, SHARED] {
        fixture.tables(rd, ipa);
    }
    let nothing = Puppet::order(Operation::Nothing, &[]);
    let steady = puppet.run(fixture, 0, &nothing);
    let timers = (steady.cntp_ctl & 1, steady.cntv_ctl & 1);
    fixture.equal("timers that nobody set", timers, (0, 0));
    for kind in kinds() {
        check(fixture, &puppet, &kind, &steady);
        if fixture.check().is_err() {
            return;
        }
    }

    // An instruction abort: a vCPU begins where memory is gone.
    let entry = puppet.perform(fixture, 0, Operation::SecondaryEntry, &[])[0];
    let on = psci(Function::CpuOn, [OTHER, entry, CALL_PAGE + 0x1000], OTHER);
    check(fixture, &puppet, &on, &steady);
    let ipa = entry & !0xFFF;
    let gone = data_destroy::Input { rd, ipa };
    fixture.call(Command::DataDestroy, gone.encode());
    let words = leave(
        fixture,
        &puppet,
        1,
        &RecEnter::default(),
        &RecExit::default(),
    );
    // It has set neither timers nor interrupt controller, whose reset values are the processor's.
    if fixture.check().is_err() {
        return;
    }
    let fresh = RecExit::read(&words);
    let expected = abort(INSTRUCTION | MISSING, ipa);
    compare(fixture, "instruction abort", &words, &expected, &fresh);

    let puppet = Puppet::new(fixture, 1);
    let steady = puppet.run(fixture, 0, &nothing);
    let off = psci(Function::SystemOff, [7, 7, 7], 0);
    let order = Puppet::order(off.operation, &off.arguments);
    let words = leave(fixture, &puppet, 0, &order, &steady);
    compare(fixture, "SYSTEM_OFF", &words, &off.expected, &steady);
}
