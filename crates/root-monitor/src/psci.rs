//! Power control of the machine's PEs for the normal world (PSCI 1.1).

use crate::gpt::Gpt;
use crate::monitor::Action;
use crate::platform::Platform;
use aarch64_formats::gpt::Gpi;
use cca_abi::Condition;
use cca_abi::psci::normal_world::{affinity_info, cpu_on, cpu_suspend, features};
use cca_abi::psci::{Function, MIGRATE_NOT_REQUIRED, VERSION_1_1, code, is_smc32};
use cca_abi::smccc::{self, Registers};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// The affinity fields of MPIDR_EL1 and of PSCI's target arguments.
pub const AFFINITY: u64 = 0xFF_00FF_FFFF;

const OFF: u8 = 0;
const PENDING: u8 = 1;
const ON: u8 = 2;

/// Where and with what a PE starts in the normal world, at NS-EL2 with the MMU off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// PA of the first instruction.
    pub entry: u64,
    /// X0. X1 to X3 are zero.
    pub argument: u64,
}

/// What the root monitor knows about one PE.
#[derive(Debug)]
pub struct ProcessingElement {
    mpidr: u64,
    state: AtomicU8,
    entry: AtomicU64,
    argument: AtomicU64,
    booting_rmm: AtomicBool,
}

impl ProcessingElement {
    /// A PE that is off. Of `mpidr` only the affinity fields matter.
    #[must_use]
    pub const fn new(mpidr: u64) -> Self {
        Self {
            mpidr: mpidr & AFFINITY,
            state: AtomicU8::new(OFF),
            entry: AtomicU64::new(0),
            argument: AtomicU64::new(0),
            booting_rmm: AtomicBool::new(false),
        }
    }

    /// The affinity fields of its MPIDR_EL1.
    #[must_use]
    pub const fn mpidr(&self) -> u64 {
        self.mpidr
    }

    /// Whether the RMM is booting on this PE: between its entry and RMM_BOOT_COMPLETE.
    pub(crate) fn booting_rmm(&self) -> bool {
        self.booting_rmm.load(Ordering::Relaxed)
    }

    pub(crate) fn set_booting_rmm(&self, booting: bool) {
        self.booting_rmm.store(booting, Ordering::Relaxed);
    }

    /// Claims the PE for being turned on. Exactly one of several callers succeeds.
    pub(crate) fn claim(&self, start: Start) -> Result<(), cpu_on::Condition> {
        match self
            .state
            .compare_exchange(OFF, PENDING, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => {
                self.entry.store(start.entry, Ordering::Relaxed);
                self.argument.store(start.argument, Ordering::Release);
                Ok(())
            }
            Err(PENDING) => Err(cpu_on::Condition::Pending),
            Err(_) => Err(cpu_on::Condition::On),
        }
    }

    /// The PE enters the normal world: it is on now.
    pub(crate) fn enter(&self) -> Start {
        let argument = self.argument.load(Ordering::Acquire);
        let start = Start {
            entry: self.entry.load(Ordering::Relaxed),
            argument,
        };
        self.state.store(ON, Ordering::Release);
        start
    }

    fn turn_off(&self) {
        self.state.store(OFF, Ordering::Release);
    }

    fn affinity_info(&self) -> i64 {
        match self.state.load(Ordering::Acquire) {
            ON => code::SUCCESS,
            PENDING => code::AFFINITY_ON_PENDING,
            _ => code::OFF,
        }
    }
}

/// PSCI and the queries of the SMC calling convention, for a caller in the normal world.
pub(crate) struct Psci<'a, P> {
    pub(crate) platform: &'a P,
    pub(crate) gpt: &'a Gpt<'a>,
    pub(crate) pes: &'a [ProcessingElement],
}

impl<P: Platform> Psci<'_, P> {
    /// Serves a call of PE `pe`; X0 is the only result.
    pub(crate) fn call(&self, pe: usize, registers: &mut Registers) -> Action {
        let function_id = smccc::function_id(registers.0[0]);
        let mut operands = *registers;
        if is_smc32(function_id) {
            operands
                .0
                .iter_mut()
                .for_each(|operand| *operand &= 0xFFFF_FFFF);
        }
        let mut action = Action::Return;
        let result = match Function::from_function_id(function_id) {
            Some(Function::Version) => VERSION_1_1.cast_signed(),
            Some(Function::MigrateInfoType) => MIGRATE_NOT_REQUIRED.cast_signed(),
            Some(Function::Features) => status(
                Self::features(&features::Input::decode(&operands)),
                |condition| condition.kind().code(),
            ),
            Some(Function::CpuOn) => status(
                self.cpu_on(&cpu_on::Input::decode(&operands)),
                |condition| condition.kind().code(),
            ),
            Some(Function::AffinityInfo) => {
                match self.affinity_info(&affinity_info::Input::decode(&operands)) {
                    Ok(state) => state,
                    Err(condition) => condition.kind().code(),
                }
            }
            Some(Function::CpuSuspend) => {
                match Self::cpu_suspend(&cpu_suspend::Input::decode(&operands)) {
                    Ok(()) => {
                        action = Action::Suspend;
                        code::SUCCESS
                    }
                    Err(condition) => condition.kind().code(),
                }
            }
            Some(Function::CpuOff) => {
                self.pes[pe].turn_off();
                return Action::PowerDown;
            }
            Some(Function::SystemOff) => return Action::SystemOff,
            Some(Function::SystemReset) => return Action::SystemReset,
            None => match function_id {
                smccc::VERSION => smccc::VERSION_1_3.cast_signed(),
                smccc::ARCH_FEATURES => Self::arch_features(operands.0[1] as u32),
                _ => code::NOT_SUPPORTED,
            },
        };
        registers.0[0] = result.cast_unsigned();
        action
    }

    fn find(&self, mpidr: u64) -> Option<usize> {
        self.pes.iter().position(|pe| pe.mpidr == mpidr)
    }

    fn cpu_on(&self, input: &cpu_on::Input) -> Result<(), cpu_on::Condition> {
        let target = self
            .find(input.target_cpu)
            .ok_or(cpu_on::Condition::Mpidr)?;
        // The normal world has to reach its entry; a granule that is delegated later faults when it is fetched.
        let reachable = matches!(
            self.gpt.lookup(input.entry_point),
            Some(Gpi::NonSecure | Gpi::Any)
        );
        if !input.entry_point.is_multiple_of(4) || !reachable {
            return Err(cpu_on::Condition::Entry);
        }
        self.pes[target].claim(Start {
            entry: input.entry_point,
            argument: input.context_id,
        })?;
        self.platform.wake(target);
        Ok(())
    }

    fn affinity_info(&self, input: &affinity_info::Input) -> Result<i64, affinity_info::Condition> {
        if input.lowest_affinity_level != 0 {
            return Err(affinity_info::Condition::Level);
        }
        let target = self
            .find(input.target_affinity)
            .ok_or(affinity_info::Condition::Target)?;
        Ok(self.pes[target].affinity_info())
    }

    /// Only standby of the PE itself: there is nothing below it to power down.
    ///
    /// The argument is in the original format: StateID in bits 15:0, StateType in bit 16, PowerLevel in bits 25:24.
    fn cpu_suspend(input: &cpu_suspend::Input) -> Result<(), cpu_suspend::Condition> {
        const STATE_ID: u64 = 0xFFFF;
        if input.power_state & 0xFFFF_FFFF & !STATE_ID != 0 {
            return Err(cpu_suspend::Condition::PowerState);
        }
        Ok(())
    }

    fn features(input: &features::Input) -> Result<(), features::Condition> {
        let function_id = input.function_id as u32;
        if Function::from_function_id(function_id).is_some() || function_id == smccc::VERSION {
            Ok(())
        } else {
            Err(features::Condition::Unknown)
        }
    }

    fn arch_features(function_id: u32) -> i64 {
        match function_id {
            smccc::VERSION | smccc::ARCH_FEATURES => code::SUCCESS,
            _ => code::NOT_SUPPORTED,
        }
    }
}

fn status<C>(result: Result<(), C>, code_of: impl Fn(C) -> i64) -> i64 {
    match result {
        Ok(()) => code::SUCCESS,
        Err(condition) => code_of(condition),
    }
}
