//! Realms that run: what KVM and a VMM do about their exits.

use cca_abi::mpidr::architectural_from_index;
use cca_abi::psci::{Function, code};
use cca_abi::smccc::{NOT_SUPPORTED, Registers};
use realm_guest::puppet::Operation;

use super::building::USUAL;
use super::run::{SPARE, User};
use super::vm::Vm;
use crate::fixture::Fixture;
use crate::puppet::{CALL_PAGE, UART};

/// A wait may end this often before its interrupt is there.
const PATIENCE: usize = 1000;

pub(super) fn whole_life(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    // Private memory comes when it is touched, page by page, with tables where they are missing.
    for (n, at) in [0, 0x1000, 0x1F_F000, 0x20_0000].into_iter().enumerate() {
        vm.perform(
            fixture,
            0,
            Operation::Write,
            &[SPARE + at + 8, n as u64 + 1],
        );
    }
    for (n, at) in [0, 0x1000, 0x1F_F000, 0x20_0000].into_iter().enumerate() {
        let read = vm.perform(fixture, 0, Operation::Read, &[SPARE + at + 8])[0];
        fixture.equal("what the realm wrote", read, n as u64 + 1);
    }

    // A device is emulated; what it is read as comes with the next entry.
    let device = vm.shared_bit() | UART | 0x18;
    vm.order(0, Operation::LoadDevice, &[device]);
    let user = vm.run(fixture, 0);
    fixture.equal("exit to the VMM", user, User::Mmio(UART | 0x18, None));
    vm.complete_mmio(0, Some(0x90));
    let loaded = vm.expect_call(fixture, 0)[1];
    fixture.equal("what the realm loads", loaded, 0x90);
    vm.order(0, Operation::StoreDevice, &[device, 0x41]);
    let user = vm.run(fixture, 0);
    let stored = User::Mmio(UART | 0x18, Some(0x41));
    fixture.equal("exit to the VMM", user, stored);
    vm.complete_mmio(0, None);
    vm.expect_call(fixture, 0);

    // KVM does not know a function: it says so in X0, and nothing of the rest is lost.
    vm.order(0, Operation::Nothing, &[]);
    vm.vcpus[0].shadow[1..].fill(NOT_SUPPORTED);
    let gprs = vm.expect_call(fixture, 0);
    fixture.equal("X0", gprs[0], Operation::Nothing as u64);
    let none = vm.memory_faults.is_empty();
    fixture.equal("whether no memory had to change", none, true);
    vm.destroy(fixture);
}

pub(super) fn power_control(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 2);
    let entry = vm.perform(fixture, 0, Operation::SecondaryEntry, &[])[0];
    let second = architectural_from_index(1);
    let call =
        |function: Function, arguments: &[u64]| Registers::call(function.function_id(), arguments);
    let on = call(Function::CpuOn, &[second, entry, CALL_PAGE + 0x1000]);
    let info = call(Function::AffinityInfo, &[second, 0]);
    // Twice: a vCPU that has switched itself off can come back.
    for _ in 0..2 {
        let answer = vm.smc(fixture, 0, &info)[0];
        fixture.equal("AFFINITY_INFO: off", answer, 1);
        let answer = vm.smc(fixture, 0, &on)[0];
        fixture.equal("CPU_ON", answer.cast_signed(), code::SUCCESS);
        fixture.equal("whether KVM lets it run", vm.vcpus[1].on, true);
        vm.expect_call(fixture, 1);
        let mpidr = vm.perform(fixture, 1, Operation::Mpidr, &[])[0];
        fixture.equal("MPIDR_EL1", mpidr, second | 1 << 31);
        let answer = vm.smc(fixture, 0, &info)[0];
        fixture.equal("AFFINITY_INFO: on", answer, 0);
        // KVM completes this as it does any other; that it is on is for the RMM to find out.
        let answer = vm.smc(fixture, 0, &on)[0].cast_signed();
        fixture.equal("CPU_ON once more", answer, code::ALREADY_ON);
        let suspend = call(Function::CpuSuspend, &[0, entry, 0]);
        let answer = vm.smc(fixture, 0, &suspend)[0];
        fixture.equal("CPU_SUSPEND", answer, 0);
        let off = call(Function::CpuOff, &[]);
        vm.order(1, Operation::Smc, &off.0[..12]);
        let user = vm.run(fixture, 1);
        fixture.equal("CPU_OFF", user, User::Stopped);
    }
    vm.smc(fixture, 0, &on);
    vm.expect_call(fixture, 1);
    let off = call(Function::SystemOff, &[]);
    vm.order(0, Operation::Smc, &off.0[..12]);
    let user = vm.run(fixture, 0);
    fixture.equal("SYSTEM_OFF", user, User::System(Function::SystemOff));
    // The other vCPU may be entered before KVM has stopped it: that is no error if it is told by this status.
    vm.order(1, Operation::Nothing, &[]);
    let user = vm.run(fixture, 1);
    fixture.equal("the other vCPU", user, User::Off);
    vm.destroy(fixture);
}

pub(super) fn timer(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    for ticks in [0, 100_000] {
        vm.perform(fixture, 0, Operation::ArmTimer, &[ticks]);
        let mut taken = 1023;
        for _ in 0..PATIENCE {
            vm.perform(fixture, 0, Operation::Wait, &[]);
            taken = vm.perform(fixture, 0, Operation::Acknowledge, &[])[0];
            if taken != 1023 || fixture.check().is_err() {
                break;
            }
        }
        fixture.equal("the interrupt that the realm takes", taken, 27);
        let state = vm.vcpus[0].lists[0] >> 62;
        fixture.equal("state of the list register: active", state, 2);
        vm.perform(fixture, 0, Operation::DisarmTimer, &[0]);
        let on = vm.vcpus[0].exit.cntv_ctl & 1;
        fixture.equal("CNTV_CTL.ENABLE", on, 0);
        vm.perform(fixture, 0, Operation::EndOfInterrupt, &[27]);
        let empty = vm.vcpus[0].lists.iter().all(|&list| list == 0);
        fixture.equal("whether the list registers are free", empty, true);
        let taken = vm.perform(fixture, 0, Operation::Acknowledge, &[])[0];
        fixture.equal("no more", taken, 1023);
    }
    vm.destroy(fixture);
}
