//! Exits for memory accesses, waiting and timers, and what the host may answer.

use alloc::format;

use cca_abi::rmi::run::{ExitReason, RecEnter, RecExit, enter_flags};
use cca_abi::rmi::{Command, rtt_map_unprotected, rtt_unmap_unprotected};
use realm_guest::puppet::{Operation, encoding};

use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::{FREE_PAGE, Puppet};
use crate::realm::UNPROTECTED;

const REC: u64 = 3;
/// A device register in the unprotected half.
const DEVICE: u64 = UNPROTECTED + 0x0900_0018;
/// ESR_EL2 without its fault status and with nothing that a host may not see, for an emulatable access of four bytes.
const EMULATABLE: u64 = 0x24 << 26 | 1 << 24 | 2 << 22;
const WRITE: u64 = 1 << 6;
const FAULT_STATUS: u64 = 0x3F;
/// CNTV_CTL_EL0.ISTATUS.
const ASSERTED: u64 = 1 << 2;
/// SF says whether the register is 64 bits wide: either is right for a load into W.
const SF: u64 = 1 << 15;

pub(super) const STORIES: &[Story] = &[
    Story {
        name: "RMI_REC_ENTER/emulated read",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: emulated_read,
    },
    Story {
        name: "RMI_REC_ENTER/emulated write",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: emulated_write,
    },
    Story {
        name: "RMI_REC_ENTER/rec_mmio after another exit",
        covers: &["RMI_REC_ENTER/rec_mmio"],
        needs: Needs::Nothing,
        tell: no_emulation,
    },
    Story {
        name: "RMI_REC_ENTER/shared memory",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: shared_memory,
    },
    Story {
        name: "REC: shared memory at which nothing answers stops nobody but the realm",
        covers: &[],
        needs: Needs::Registers,
        tell: nothing_answers,
    },
    Story {
        name: "RMI_REC_ENTER/unpopulated memory",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: unpopulated,
    },
    Story {
        name: "RMI_REC_ENTER/host call carries 31 registers both ways",
        covers: &["RSI_HOST_CALL/success", "RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: host_call,
    },
    Story {
        name: "RMI_REC_ENTER/WFI exits if the host asks",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: wait,
    },
    Story {
        name: "RMI_REC_ENTER/virtual timer",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: timer,
    },
    Story {
        name: "RMI_REC_ENTER/a timer that is masked shows that its time has come",
        covers: &["RMI_REC_ENTER/success"],
        needs: Needs::Nothing,
        tell: masked_timers,
    },
];

/// Expects an exit that shows no more than an emulatable access.
fn emulatable(fixture: &mut Fixture<'_>, exit: &RecExit, write: bool, value: u64) {
    fixture.reason(exit, ExitReason::Sync);
    let must = EMULATABLE | if write { WRITE } else { 0 };
    fixture.equal("ESR", exit.esr & !(FAULT_STATUS | SF), must);
    fixture.equal("FAR", exit.far, DEVICE & 0xFFF);
    fixture.equal("HPFAR", exit.hpfar, (DEVICE >> 12) << 4);
    fixture.equal("X0", exit.gprs[0], value);
    fixture.equal(
        "X1 to X30",
        exit.gprs[1..].iter().all(|&gpr| gpr == 0),
        true,
    );
}

fn emulated_read(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let exit = puppet.provoke(fixture, 0, Operation::LoadDevice, &[DEVICE]);
    emulatable(fixture, &exit, false, 0);
    let mut enter = RecEnter {
        flags: enter_flags::EMUL_MMIO,
        ..RecEnter::default()
    };
    enter.gprs[0] = 0xAAAA_BBBB_1234_5678;
    let report = puppet.expect_call(fixture, 0, &enter);
    fixture.equal("what was loaded", report[1], 0x1234_5678);
}

fn emulated_write(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let exit = puppet.provoke(fixture, 0, Operation::StoreDevice, &[DEVICE, 0x1_0000_0041]);
    emulatable(fixture, &exit, true, 0x41);
    // Without the flag the access is made again.
    let exit = puppet.run(fixture, 0, &RecEnter::default());
    emulatable(fixture, &exit, true, 0x41);
    let enter = RecEnter {
        flags: enter_flags::EMUL_MMIO,
        ..RecEnter::default()
    };
    puppet.expect_call(fixture, 0, &enter);
}

fn no_emulation(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let enter = RecEnter {
        flags: enter_flags::EMUL_MMIO,
        ..RecEnter::default()
    };
    let before = fixture.host().snapshot();
    let (x0, _) = puppet.enter(fixture, 0, &enter);
    fixture.equal("emulation after a host call", x0, REC);
    fixture.equal("state", fixture.host().snapshot(), before);
    // The pending host call is not lost by that.
    let mpidr = puppet.perform(fixture, 0, Operation::Mpidr, &[])[0];
    fixture.equal("MPIDR", mpidr, 1 << 31);
}

fn shared_memory(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let ipa = UNPROTECTED + FREE_PAGE;
    let rd = puppet.realm.rd;
    let exit = puppet.provoke(fixture, 0, Operation::Read, &[ipa]);
    fixture.reason(&exit, ExitReason::Sync);
    fixture.equal("HPFAR", exit.hpfar, (ipa >> 12) << 4);

    fixture.tables(rd, ipa);
    let page = fixture.non_secure_with(&[0x1111, 0x2222]);
    let desc = page | 0b110 << 2 | 0b11 << 6;
    let map = rtt_map_unprotected::Input {
        rd,
        ipa,
        level: 3,
        desc,
    };
    fixture.call(Command::RttMapUnprotected, map.encode());
    let report = puppet.expect_call(fixture, 0, &RecEnter::default());
    fixture.equal("what the realm reads", report[1], 0x1111);
    puppet.perform(fixture, 0, Operation::Write, &[ipa + 8, 0x3333]);
    fixture.equal("what the host reads", fixture.host().read(page, 1), 0x3333);

    let unmap = rtt_unmap_unprotected::Input { rd, ipa, level: 3 };
    fixture.call(Command::RttUnmapUnprotected, unmap.encode());
    let exit = puppet.provoke(fixture, 0, Operation::Read, &[ipa]);
    fixture.reason(&exit, ExitReason::Sync);
    fixture.equal("HPFAR", exit.hpfar, (ipa >> 12) << 4);
}

fn nothing_answers(fixture: &mut Fixture<'_>) {
    let Some(hole) = fixture.host().hole() else {
        return;
    };
    let puppet = Puppet::new(fixture, 1);
    let ipa = UNPROTECTED + FREE_PAGE;
    let rd = puppet.realm.rd;
    fixture.tables(rd, ipa);
    let map = rtt_map_unprotected::Input {
        rd,
        ipa,
        level: 3,
        desc: hole | 0b110 << 2 | 0b11 << 6,
    };
    fixture.call(Command::RttMapUnprotected, map.encode());
    let exit = puppet.provoke(fixture, 0, Operation::Read, &[ipa]);
    // The external abort comes to the RMM, which tells the host; where the machine gives it to the realm itself, the realm
    // has no other use for it than to report an exception.
    fixture.reason(&exit, ExitReason::Sync);
    let external = (0x24 << 26 | exit.esr & (1 << 10 | 1 << 9) | 0x10, 0);
    let (page, seen) = ((DEVICE >> 12) << 4, (exit.esr, exit.hpfar));
    if seen != external && exit.hpfar != page {
        fixture.fail(&format!(
            "neither an external abort nor a report: {seen:#x?}"
        ));
    }
    let unmap = rtt_unmap_unprotected::Input { rd, ipa, level: 3 };
    fixture.call(Command::RttUnmapUnprotected, unmap.encode());

    // The RMM serves others as before.
    let other = Puppet::new(fixture, 1);
    other.perform(fixture, 0, Operation::Write, &[FREE_PAGE, 5]);
    let report = other.perform(fixture, 0, Operation::Read, &[FREE_PAGE]);
    fixture.equal("what another realm reads", report[0], 5);
}

fn unpopulated(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let enter = Puppet::order(Operation::Write, &[FREE_PAGE + 0x123 * 8, 7]);
    let exit = puppet.run_to_page(fixture, 0, &enter);
    fixture.reason(&exit, ExitReason::Sync);
    fixture.equal(
        "ESR, non-emulatable",
        exit.esr & !(FAULT_STATUS | 1 << 10),
        0x24 << 26,
    );
    fixture.equal(
        "fault status: translation fault at level 3",
        exit.esr & FAULT_STATUS,
        7,
    );
    fixture.equal("FAR", exit.far, 0);
    fixture.equal("HPFAR", exit.hpfar, (FREE_PAGE >> 12) << 4);
    fixture.equal("X0 to X30", exit.gprs.iter().all(|&gpr| gpr == 0), true);
    puppet.expect_call(fixture, 0, &RecEnter::default());
    let value = puppet.perform(fixture, 0, Operation::Read, &[FREE_PAGE + 0x123 * 8])[0];
    fixture.equal("what the realm wrote", value, 7);
}

fn host_call(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    // The report of an SMC fills the registers of the next call.
    let arguments: [u64; 12] = core::array::from_fn(|i| 0x100 + i as u64);
    let mut enter = Puppet::order(Operation::Smc, &arguments);
    enter.gprs[30] = u64::MAX;
    let gprs = puppet.expect_call(fixture, 0, &enter);
    fixture.equal("X1: not supported", gprs[1], u64::MAX);
    fixture.equal("X5 to X12", gprs[5..13].to_vec(), arguments[4..].to_vec());
}

fn wait(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    let mut enter = Puppet::order(Operation::Wait, &[]);
    enter.flags = enter_flags::TRAP_WFI;
    let exit = puppet.run(fixture, 0, &enter);
    fixture.reason(&exit, ExitReason::Sync);
    fixture.equal("ESR", exit.esr, 0x01 << 26);
    // The program counter is behind the instruction.
    puppet.expect_call(fixture, 0, &RecEnter::default());
}

fn timer(fixture: &mut Fixture<'_>) {
    let puppet = Puppet::new(fixture, 1);
    // The exit that shows the timer's output may be one for another reason.
    let mut exit = puppet
        .enter(fixture, 0, &Puppet::order(Operation::ArmTimer, &[0]))
        .1;
    for _ in 0..100 {
        if exit.cntv_ctl & ASSERTED != 0 {
            break;
        }
        fixture.host().take_interrupts();
        exit = puppet
            .enter(fixture, 0, &Puppet::order(Operation::Nothing, &[]))
            .1;
    }
    fixture.equal(
        "CNTV_CTL: enabled, not masked, asserted",
        exit.cntv_ctl,
        0b101,
    );
    fixture.host().take_interrupts();

    // The host signals the interrupt through a list register; the realm takes and ends it.
    let mut enter = RecEnter::default();
    enter.gicv3_lrs[0] = 1 << 62 | 1 << 60 | 0xA0 << 48 | 27;
    let mut exit = puppet.run(fixture, 0, &enter);
    for operation in [Operation::Wait, Operation::Acknowledge] {
        let mut enter = Puppet::order(operation, &[]);
        enter.gicv3_lrs = exit.gicv3_lrs;
        exit = puppet.run(fixture, 0, &enter);
    }
    fixture.equal("the interrupt that the realm takes", exit.gprs[1], 27);
    fixture.equal(
        "state of the list register: active",
        exit.gicv3_lrs[0] >> 62,
        2,
    );
    for (operation, argument) in [(Operation::DisarmTimer, 0), (Operation::EndOfInterrupt, 27)] {
        let mut enter = Puppet::order(operation, &[argument]);
        enter.gicv3_lrs = exit.gicv3_lrs;
        exit = puppet.run(fixture, 0, &enter);
    }
    fixture.equal(
        "state of the list register: inactive",
        exit.gicv3_lrs[0] >> 62,
        0,
    );
    fixture.equal("CNTV_CTL: off", exit.cntv_ctl & 1, 0);
}

fn masked_timers(fixture: &mut Fixture<'_>) {
    /// CNTx_CTL_EL0.ENABLE and IMASK.
    const ENABLED: u64 = 1;
    const MASKED: u64 = 1 << 1;
    /// CNTx_CTL_EL0 and CNTx_CVAL_EL0, and what an exit shows of the first.
    type TimerRegisters = (u64, u64, fn(&RecExit) -> u64);
    const TIMERS: [TimerRegisters; 2] = [
        (encoding(3, 3, 14, 3, 1), encoding(3, 3, 14, 3, 2), |exit| {
            exit.cntv_ctl
        }),
        (encoding(3, 3, 14, 2, 1), encoding(3, 3, 14, 2, 2), |exit| {
            exit.cntp_ctl
        }),
    ];
    let puppet = Puppet::new(fixture, 1);
    for (control, compare, shown) in TIMERS {
        let write = |fixture: &mut Fixture<'_>, register, value| {
            let order = Puppet::order(Operation::WriteRegister, &[register, value]);
            puppet.run(fixture, 0, &order)
        };
        let asserted = ENABLED | MASKED | ASSERTED;
        write(fixture, compare, 0);
        let exit = write(fixture, control, ENABLED | MASKED);
        fixture.equal("what the host sees", shown(&exit), asserted);
        let seen = puppet.system(fixture, 0, control);
        fixture.equal("what the realm sees", seen, asserted);

        let exit = write(fixture, control, ENABLED);
        fixture.equal("what the host sees", shown(&exit), ENABLED | ASSERTED);
        let exit = write(fixture, control, 0);
        fixture.equal("what the host sees", shown(&exit) & ENABLED, 0);
    }
}
