//! KVM's loop around RMI_REC_ENTER, and the VMM's part in it.

use alloc::format;
use core::ops::Range;

use cca_abi::explain::{RmiResult, Syndrome};
use cca_abi::psci::{Function, code};
use cca_abi::rmi::run::{
    ENTER_WORDS, EXIT, EXIT_WORDS, ExitReason, RecExit, enter_flags, enter_offset,
};
use cca_abi::rmi::{Command, psci_complete, rec_enter, rtt_set_ripas};
use cca_abi::smccc::Registers;
use realm_guest::puppet::{IMMEDIATE, Operation, SMC_REGISTERS};

use super::stage2::BLOCKS;
use super::vm::Vm;
use super::{invoke, must};
use crate::fixture::Fixture;
use crate::puppet::{MEMORY, MEMORY_SIZE, UART};
const _: () = assert!(MEMORY + MEMORY_SIZE < SPARE);

/// A vCPU may be entered this often before it has something for the VMM.
const PATIENCE: usize = 10_000;
/// Guest memory that the realm's program leaves alone. A table of level 2 begins here, as KVM folds no other tables than
/// those that begin in the range which it has unmapped.
pub(super) const SPARE: u64 = 0x8000_0000;
const SPARE_SIZE: u64 = 8 << 20;
/// Exception class of ESR_EL2.
const DATA_ABORT: u64 = 0x24;
/// The virtual timer's interrupt.
const TIMER: u64 = 27;
/// List register: pending, of group 1, the end is signalled.
const PENDING: u64 = 1 << 62 | 1 << 60 | 1 << 41 | 0xA0 << 48;

/// Why KVM_RUN comes back to the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// A host call that the VMM has asked for; its registers are in the shadow.
    Call,
    /// Access to a device: guest address without the shared bit, and what is written.
    Mmio(u64, Option<u64>),
    /// The vCPU has switched itself off.
    Stopped,
    /// The realm has switched itself off, or wants to be started again.
    System(Function),
    /// The realm is off already.
    Off,
    /// Nothing that KVM can do anything with.
    Error,
}

impl Vm {
    /// A VM whose realm obeys, with this many vCPUs of which the first waits in a host call.
    pub(super) fn start(fixture: &mut Fixture<'_>, bits: u32, vcpus: usize) -> Vm {
        let mut vm = Vm::create(fixture, bits, 0, |_| {});
        vm.slot = MEMORY..SPARE + SPARE_SIZE;
        vm.init_ripas(fixture, vm.slot.clone());
        let image = fixture.host().puppet_image();
        for (ipa, words) in (MEMORY..).step_by(4096).zip(image.chunks(512)) {
            vm.populate(fixture, ipa, words);
        }
        let mut gprs = [0; 8];
        // The program maps what it is told of, and the alias of it.
        let size = vm.slot.end - vm.slot.start;
        gprs[..3].copy_from_slice(&[MEMORY, size, UART]);
        for _ in 0..vcpus {
            vm.create_vcpu(fixture, MEMORY, gprs);
        }
        vm.activate(fixture);
        vm.expect_call(fixture, 0);
        vm
    }

    /// Answers a host call of a vCPU with an operation; its result is in X1 and up of the next host call.
    pub(super) fn perform(
        &mut self,
        fixture: &mut Fixture<'_>,
        vcpu: usize,
        operation: Operation,
        arguments: &[u64],
    ) -> [u64; 30] {
        self.order(vcpu, operation, arguments);
        let gprs = self.expect_call(fixture, vcpu);
        fixture.equal("the operation", gprs[0], operation as u64);
        core::array::from_fn(|i| gprs[i + 1])
    }

    /// Has a vCPU make an SMC that KVM or the RMM answers: X0 and up afterwards.
    pub(super) fn smc(
        &mut self,
        fixture: &mut Fixture<'_>,
        vcpu: usize,
        call: &Registers,
    ) -> [u64; 30] {
        self.perform(fixture, vcpu, Operation::Smc, &call.0[..SMC_REGISTERS])
    }

    /// Leaves an operation in KVM's copy of the registers.
    pub(super) fn order(&mut self, vcpu: usize, operation: Operation, arguments: &[u64]) {
        let shadow = &mut self.vcpus[vcpu].shadow;
        *shadow = [0; 31];
        shadow[0] = operation as u64;
        shadow[1..=arguments.len()].copy_from_slice(arguments);
    }

    /// Runs a vCPU to its next host call.
    pub(super) fn expect_call(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) -> [u64; 31] {
        match self.run(fixture, vcpu) {
            User::Call => self.vcpus[vcpu].shadow,
            other => {
                fixture.fail(&format!("expected a host call, got {other:x?}"));
                [0; 31]
            }
        }
    }

    /// The VMM has read a device: the value goes to the realm with the next entry.
    pub(super) fn complete_mmio(&mut self, vcpu: usize, value: Option<u64>) {
        let enter = &mut self.vcpus[vcpu].enter;
        if let Some(value) = value {
            enter.gprs[0] = value;
        }
        enter.flags |= enter_flags::EMUL_MMIO;
    }

    /// KVM_RUN, again and again until there is something that a VMM has to think about. What it does about memory faults
    /// is to make the memory what the realm wants it to be.
    pub(super) fn run(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) -> User {
        for _ in 0..PATIENCE {
            if fixture.check().is_err() {
                return User::Error;
            }
            self.complete(fixture, vcpu);
            let x0 = self.enter(fixture, vcpu);
            if x0 == 0x102 {
                return User::Off;
            }
            if x0 != 0 {
                fixture.fail(&format!("RMI_REC_ENTER: {}", RmiResult(x0)));
                return User::Error;
            }
            if let Some(user) = self.handle(fixture, vcpu) {
                return user;
            }
        }
        fixture.fail("the realm does not get further");
        User::Error
    }

    /// What is left to do of the last exit before a vCPU is entered.
    fn complete(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) {
        let exit = self.vcpus[vcpu].exit;
        match ExitReason::decode(exit.exit_reason) {
            Some(ExitReason::HostCall | ExitReason::Psci) => {
                self.vcpus[vcpu].enter.gprs = self.vcpus[vcpu].shadow;
            }
            Some(ExitReason::RipasChange) => {
                let (rd, rec) = (self.rd, self.vcpus[vcpu].rec);
                let range = exit.ripas_base..exit.ripas_top;
                let set = |base, top| rtt_set_ripas::Input { rd, rec, base, top }.encode();
                self.change_ripas(fixture, range.clone(), Command::RttSetRipas, set);
                if exit.ripas_value == 0 {
                    self.unmap_private(fixture, range);
                }
            }
            _ => {}
        }
    }

    /// Enters a vCPU once: X0.
    fn enter(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) -> u64 {
        let host = fixture.host();
        let vcpu = &mut self.vcpus[vcpu];
        // The timer's output is a level: as long as it is high, its interrupt is pending, but not while it is handled.
        let waiting = vcpu.lists.iter().any(|list| list & 0xFFFF_FFFF == TIMER);
        if vcpu.exit.cntv_ctl & 7 == 5 && !waiting {
            match vcpu.lists.iter_mut().find(|list| **list == 0) {
                Some(list) => *list = PENDING | TIMER,
                None => fixture.fail("no list register is free"),
            }
        }
        vcpu.enter.gicv3_lrs = vcpu.lists;
        let mut words = [0; ENTER_WORDS];
        vcpu.enter.write(&mut words);
        for (word, value) in words.into_iter().enumerate() {
            host.write(vcpu.run_page, word, value);
        }
        let input = rec_enter::Input {
            rec: vcpu.rec,
            run_ptr: vcpu.run_page,
        };
        let answer = invoke(fixture, Command::RecEnter, input.encode());
        if answer.done() {
            let words: [u64; EXIT_WORDS] =
                core::array::from_fn(|word| host.read(vcpu.run_page, EXIT / 8 + word));
            vcpu.exit = RecExit::read(&words);
            vcpu.enter.flags = 0;
            host.write(vcpu.run_page, enter_offset::FLAGS / 8, 0);
            // What is neither pending nor active any more is done with.
            vcpu.lists = vcpu
                .exit
                .gicv3_lrs
                .map(|list| if list >> 62 == 0 { 0 } else { list });
        }
        answer.x(0)
    }

    /// What KVM and the VMM do about an exit; `None` if the vCPU is to be entered again.
    fn handle(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) -> Option<User> {
        let exit = self.vcpus[vcpu].exit;
        match ExitReason::decode(exit.exit_reason) {
            Some(ExitReason::Irq | ExitReason::Fiq) => {
                fixture.host().take_interrupts();
                None
            }
            Some(ExitReason::Sync) if exit.esr >> 26 == DATA_ABORT => {
                self.data_abort(fixture, &exit)
            }
            Some(ExitReason::HostCall) if exit.imm == IMMEDIATE => {
                self.vcpus[vcpu].shadow = exit.gprs;
                Some(User::Call)
            }
            Some(ExitReason::Psci) => {
                self.vcpus[vcpu].shadow = exit.gprs;
                self.psci(fixture, vcpu)
            }
            Some(ExitReason::RipasChange) => {
                let range = exit.ripas_base..exit.ripas_top;
                let within = range.start < range.end && range.end <= self.shared_bit();
                fixture.equal("whether the RIPAS change is one", within, true);
                self.memory_fault(fixture, range, exit.ripas_value == 1);
                None
            }
            _ => {
                fixture.fail(&format!(
                    "KVM can do nothing with reason {}, {}, HPFAR {:#x}",
                    exit.exit_reason,
                    Syndrome(exit.esr),
                    exit.hpfar
                ));
                Some(User::Error)
            }
        }
    }

    fn data_abort(&mut self, fixture: &mut Fixture<'_>, exit: &RecExit) -> Option<User> {
        // Translation, access flag or permission fault, at any level.
        let status = exit.esr & 0x3F;
        fixture.equal("fault status", matches!(status >> 2, 1..=3), true);
        let ipa = (exit.hpfar & 0xFFF_FFFF_FFF0) << 8;
        let bit = self.shared_bit();
        let (page, private) = (ipa & !bit, ipa & bit == 0);
        if self.slot.contains(&page) {
            if private == self.shared.contains(&page) {
                self.memory_fault(fixture, page..page + 4096, private);
            } else if private {
                self.map_private(fixture, ipa, 3);
            } else {
                let pa = self.backing(fixture, page);
                self.map_shared(fixture, ipa, pa);
            }
            return None;
        }
        // A device: what KVM emulates has to have a valid syndrome, and the rest of the address in FAR_EL2.
        fixture.equal("ESR.ISV", exit.esr >> 24 & 1, 1);
        fixture.equal("whether the access is a shared one", private, false);
        let address = page | exit.far & 0xFFF;
        let bytes = 1 << (exit.esr >> 22 & 3);
        let mask = u64::MAX >> (64 - 8 * bytes);
        let written = (exit.esr >> 6 & 1 == 1).then_some(exit.gprs[0] & mask);
        Some(User::Mmio(address, written))
    }

    /// The VMM's memory behind a shared page.
    pub(super) fn backing(&mut self, fixture: &mut Fixture<'_>, page: u64) -> u64 {
        *self
            .backing
            .entry(page)
            .or_insert_with(|| fixture.non_secure_with(&[]))
    }

    /// KVM_EXIT_MEMORY_FAULT, upon which the VMM changes the attributes of the pages. KVM takes away what does not fit
    /// them any more, and once more what the VMM has let go of: private memory with a hole where a page was. Or the VMM does
    /// nothing; the change of RIPAS takes its course all the same.
    fn memory_fault(&mut self, fixture: &mut Fixture<'_>, range: Range<u64>, private: bool) {
        let size = range.end - range.start;
        self.memory_faults.push((range.start, size, private));
        if !self.obliging {
            return;
        }
        for page in range.clone().step_by(4096) {
            if private {
                self.shared.remove(&page);
            } else {
                self.shared.insert(page);
            }
        }
        self.unmap(fixture, range.clone(), !private);
        if !private {
            self.unmap(fixture, range, true);
        }
    }

    fn psci(&mut self, fixture: &mut Fixture<'_>, vcpu: usize) -> Option<User> {
        let gprs = self.vcpus[vcpu].shadow;
        let function = Function::from_function_id(gprs[0] as u32);
        let target = self
            .vcpus
            .iter()
            .position(|other| other.mpidr == gprs[1] & 0xFF_00FF_FFFF);
        match (function, target) {
            (Some(Function::CpuOn | Function::AffinityInfo), Some(target)) => {
                let input = psci_complete::Input {
                    calling_rec: self.vcpus[vcpu].rec,
                    target_rec: self.vcpus[target].rec,
                    status: code::SUCCESS,
                };
                must(fixture, Command::PsciComplete, input.encode());
                if function == Some(Function::CpuOn) {
                    self.vcpus[target].on = true;
                }
                self.vcpus[vcpu].shadow[0] = 0;
                None
            }
            // As if an interrupt were there at once.
            (Some(Function::CpuSuspend), _) => {
                self.vcpus[vcpu].shadow[0] = 0;
                None
            }
            (Some(Function::CpuOff), _) => {
                self.vcpus[vcpu].on = false;
                Some(User::Stopped)
            }
            (Some(function @ (Function::SystemOff | Function::SystemReset)), _) => {
                Some(User::System(function))
            }
            _ => {
                fixture.fail(&format!("PSCI function {:#x}", gprs[0]));
                Some(User::Error)
            }
        }
    }

    /// Maps a block of private memory, as successors of v7 do if the memory behind it is one.
    pub(super) fn map_block(&self, fixture: &mut Fixture<'_>, ipa: u64) {
        self.map_private(fixture, ipa, BLOCKS);
    }
}
