//! A realm program that does what the host tells it, step by step: the realm's part of a scenario.
//!
//! Each vCPU makes one host call after the other with the immediate [`IMMEDIATE`]. The host answers with an
//! operation and its arguments in the general purpose registers; the program carries it out and reports the result
//! with the next call. A real realm would of course never hand itself over like this.

use cca_abi::rsi::HostCall;
use cca_abi::smccc::Registers;

use crate::Rsi;
use crate::demo::GuestPe;

/// Immediate of the puppet's host calls.
pub const IMMEDIATE: u16 = 0x5055;

/// Number of registers that an SMC takes from the host and reports to it.
pub const SMC_REGISTERS: usize = 12;

/// Number of doublewords that [`Operation::ReadMany`] reports.
pub const LOAD_WORDS: usize = 28;

/// Number of registers that [`Operation::ReadRegisters`] reports at most.
pub const READ_REGISTERS: usize = 14;

/// Number of encodings of system registers, op0 2 and 3: an encoding is bits 19 to 5 of MRS and MSR.
pub const ENCODINGS: u64 = 1 << 15;

/// The encoding of a system register.
#[must_use]
pub const fn encoding(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    (op0 & 1) << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

/// What a vCPU reports that does not have what the operation is about.
pub const NOTHING: u64 = u64::MAX;

/// What the host can have a vCPU do. The operation's number is in X0 of the host's answer, its arguments follow;
/// the result is in X1 and up of the next host call, whose X0 repeats the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Nothing.
    Nothing = 0,
    /// An SMC with X0 to X11 from the arguments; reports X0 to X11.
    Smc = 1,
    /// Loads the doubleword at an IPA.
    Read = 2,
    /// Stores a doubleword: IPA, value.
    Write = 3,
    /// Loads a word from a device: IPA.
    LoadDevice = 4,
    /// Stores a word in a device: IPA, value.
    StoreDevice = 5,
    /// Waits for an interrupt.
    Wait = 6,
    /// Lets the virtual timer expire after so many ticks.
    ArmTimer = 7,
    /// Stops the virtual timer.
    DisarmTimer = 8,
    /// Takes an interrupt; reports its INTID, or 1023 if there is none.
    Acknowledge = 9,
    /// Ends the interrupt with this INTID.
    EndOfInterrupt = 10,
    /// Reports MPIDR_EL1.
    Mpidr = 11,
    /// Reports the address at which a vCPU that CPU_ON starts begins. Its context argument is the address of the
    /// granule for its host calls.
    SecondaryEntry = 12,
    /// Runs in the realm for ever, without an exit of its own.
    Spin = 13,
    /// Fills the vector registers: seed; reports the bytes of a vector, or [`NOTHING`] if there are none.
    FillVectors = 14,
    /// Looks at the vector registers: seed; reports how many bytes differ from what was filled in, or [`NOTHING`].
    CompareVectors = 15,
    /// Lets the cycle counter overflow (1), or clears the overflow (0); reports the number of event counters, or
    /// [`NOTHING`] if there is no PMU.
    OverflowCycles = 16,
    /// Loads the [`LOAD_WORDS`] doublewords from an IPA on, which is 8-byte aligned.
    ReadMany = 17,
    /// Fills breakpoint, watchpoint and PMU registers: seed; reports how many breakpoints, watchpoints and event counters
    /// there are, or [`NOTHING`].
    FillRegisters = 18,
    /// Looks at these registers: seed; reports how many differ from what was filled in, or [`NOTHING`].
    CompareRegisters = 19,
    /// Loads from a device: IPA, bytes (1, 2, 4 or 8).
    Load = 20,
    /// Stores in a device: IPA, bytes (1, 2, 4 or 8), value.
    Store = 21,
    /// Adds to a doubleword in one instruction, which no host can emulate: IPA, value.
    Add = 22,
    /// Waits for an event.
    WaitForEvent = 23,
    /// Writes to a register of the interrupt controller that its host has: number in [`GicRegister`], value.
    WriteGic = 24,
    /// Reads an identification register: CRm, op2.
    Identify = 25,
    /// Uses a feature: CRm and op2 of the identification register that shows it, lowest bit of the field; reports what became of
    /// it as [`Use`] says.
    UseFeature = 26,
    /// Uses memory for ever, without an exit of its own: how (an [`Access`]), IPA.
    UseMemory = 40,
    /// Reports the IPAs of the code of [`Operation::UseMemory`] and of the last table of stage 1 for an IPA, or [`NOTHING`].
    Places = 41,
    /// Fills the system registers that the program does not need: seed; reports how many hold something that another seed
    /// would not have left, or [`NOTHING`].
    FillSystem = 42,
    /// Looks at these registers; reports which differ from what was filled in, a bit for each, or [`NOTHING`].
    CompareSystem = 43,
    /// Reads the system registers from one encoding on and before another that can be read, [`READ_REGISTERS`] at most; reports
    /// how many, and encoding and content of each.
    ReadRegisters = 44,
    /// Writes a system register, if it can be written: encoding, value.
    WriteRegister = 45,
}

/// How memory is used by [`Operation::UseMemory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads.
    Read = 0,
    /// Stores.
    Write = 1,
    /// Loads, each with a walk of stage 1.
    Walk = 2,
    /// Nothing but fetching the loop's own instructions.
    Execute = 3,
}

impl Access {
    const fn decode(number: u64) -> Self {
        match number {
            0 => Self::Read,
            1 => Self::Write,
            2 => Self::Walk,
            _ => Self::Execute,
        }
    }
}

/// What became of the use of a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It does not do what it should.
    Wrong = 0,
    /// It works.
    Works = 1,
    /// The program does not know how to use it.
    Unknown = 2,
    /// The field describes the processor, and there is nothing to use.
    Description = 3,
}

/// Registers of the interrupt controller whose writes leave a realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GicRegister {
    /// ICC_SGI1R_EL1.
    Sgi1 = 0,
    /// ICC_ASGI1R_EL1.
    Asgi1 = 1,
    /// ICC_SGI0R_EL1.
    Sgi0 = 2,
    /// ICC_DIR_EL1, if the host traps it.
    Deactivate = 3,
}

impl GicRegister {
    /// All of them, by their numbers.
    pub const ALL: [Self; 4] = [Self::Sgi1, Self::Asgi1, Self::Sgi0, Self::Deactivate];
}

impl Operation {
    /// From its number.
    #[must_use]
    pub const fn decode(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Nothing,
            1 => Self::Smc,
            2 => Self::Read,
            3 => Self::Write,
            4 => Self::LoadDevice,
            5 => Self::StoreDevice,
            6 => Self::Wait,
            7 => Self::ArmTimer,
            8 => Self::DisarmTimer,
            9 => Self::Acknowledge,
            10 => Self::EndOfInterrupt,
            11 => Self::Mpidr,
            12 => Self::SecondaryEntry,
            13 => Self::Spin,
            14 => Self::FillVectors,
            15 => Self::CompareVectors,
            16 => Self::OverflowCycles,
            17 => Self::ReadMany,
            18 => Self::FillRegisters,
            19 => Self::CompareRegisters,
            20 => Self::Load,
            21 => Self::Store,
            22 => Self::Add,
            23 => Self::WaitForEvent,
            24 => Self::WriteGic,
            25 => Self::Identify,
            26 => Self::UseFeature,
            40 => Self::UseMemory,
            41 => Self::Places,
            42 => Self::FillSystem,
            43 => Self::CompareSystem,
            44 => Self::ReadRegisters,
            45 => Self::WriteRegister,
            _ => return None,
        })
    }
}

/// A vCPU of a realm that obeys: beside what every program needs, what is good for scenarios only.
pub trait PuppetPe: GuestPe {
    /// Loads `size` bytes (1, 2, 4 or 8) from a device, with an instruction that the host can emulate.
    fn load(&self, ipa: u64, size: u64) -> u64;

    /// Stores the low `size` bytes (1, 2, 4 or 8) of `value` in a device, with an instruction that the host can emulate.
    fn store(&self, ipa: u64, size: u64, value: u64);

    /// Adds to the doubleword at `ipa` in one instruction, which no host can emulate.
    fn add(&self, ipa: u64, value: u64);

    /// WFE. May return early.
    fn wait_for_event(&self);

    /// Writes `value`, in X8, to a register of the interrupt controller.
    fn write_gic(&self, register: GicRegister, value: u64);

    /// The identification register with op0 3, op1 0, CRn 0, and this CRm (1 to 7) and op2 (0 to 7).
    fn identify(&self, crm: u64, op2: u64) -> u64;

    /// The first encoding of a system register from `from` on and before `end` that can be read, and its content.
    fn next_readable(&self, from: u64, end: u64) -> Option<(u64, u64)>;

    /// Writes the system register with this encoding, if there is one that can be written.
    fn write_register(&self, encoding: u64, value: u64);

    /// Uses the feature that the field from bit `low` on of an identification register shows; `None` where vCPUs are simulated
    /// with less than they show.
    fn use_feature(&self, crm: u64, op2: u64, low: u64) -> Option<Use> {
        let _ = (crm, op2, low);
        None
    }
}

/// Obeys the host for ever. `page` is the IPA of a granule of protected memory for the host calls.
///
/// Returns only if the host gives an answer that is no operation, or a host call is refused.
pub fn run<P: PuppetPe>(pe: &P, page: u64) {
    let mut report = [0; 31];
    loop {
        let Some(answer) = call_host(pe, page, &report) else {
            return;
        };
        let Some(operation) = Operation::decode(answer[0]) else {
            return;
        };
        report = [0; 31];
        report[0] = answer[0];
        carry_out(pe, operation, &answer[1..], &mut report[1..]);
    }
}

fn carry_out<P: PuppetPe>(pe: &P, operation: Operation, arguments: &[u64], report: &mut [u64]) {
    match operation {
        Operation::Nothing => {}
        Operation::Smc => {
            let mut registers = Registers::default();
            registers.0[..SMC_REGISTERS].copy_from_slice(&arguments[..SMC_REGISTERS]);
            pe.smc(&mut registers);
            report[..SMC_REGISTERS].copy_from_slice(&registers.0[..SMC_REGISTERS]);
        }
        Operation::Read => report[0] = pe.read(arguments[0]),
        Operation::ReadMany => {
            for (word, at) in report.iter_mut().zip(0..LOAD_WORDS as u64) {
                *word = pe.read(arguments[0] + 8 * at);
            }
        }
        Operation::Write => pe.write(arguments[0], arguments[1]),
        Operation::LoadDevice => report[0] = pe.load_device(arguments[0]).into(),
        Operation::StoreDevice => pe.store_device(arguments[0], arguments[1] as u32),
        Operation::Wait => pe.wait_for_interrupt(),
        Operation::ArmTimer => pe.arm_timer(pe.counter().wrapping_add(arguments[0])),
        Operation::DisarmTimer => pe.disarm_timer(),
        Operation::Acknowledge => report[0] = pe.acknowledge_interrupt().map_or(1023, u64::from),
        Operation::EndOfInterrupt => pe.end_of_interrupt(arguments[0] as u32),
        Operation::Mpidr => report[0] = pe.mpidr(),
        Operation::SecondaryEntry => report[0] = pe.secondary_entry(),
        Operation::FillVectors => {
            report[0] = pe.fill_vectors(arguments[0]).unwrap_or(NOTHING);
        }
        Operation::OverflowCycles => {
            report[0] = pe.overflow_cycles(arguments[0] != 0).unwrap_or(NOTHING);
        }
        Operation::CompareVectors => {
            report[0] = pe.vector_differences(arguments[0]).unwrap_or(NOTHING);
        }
        Operation::FillRegisters => {
            report[0] = pe.fill_registers(arguments[0]).unwrap_or(NOTHING);
        }
        Operation::CompareRegisters => {
            report[0] = pe.register_differences(arguments[0]).unwrap_or(NOTHING);
        }
        Operation::Load => report[0] = pe.load(arguments[0], arguments[1]),
        Operation::Store => pe.store(arguments[0], arguments[1], arguments[2]),
        Operation::Add => pe.add(arguments[0], arguments[1]),
        Operation::WaitForEvent => pe.wait_for_event(),
        Operation::WriteGic => {
            if let Some(register) = GicRegister::ALL.get(arguments[0] as usize) {
                pe.write_gic(*register, arguments[1]);
            }
        }
        Operation::Identify => report[0] = pe.identify(arguments[0], arguments[1]),
        Operation::UseFeature => {
            report[0] = pe
                .use_feature(arguments[0], arguments[1], arguments[2])
                .map_or(NOTHING, |outcome| outcome as u64);
        }
        Operation::UseMemory => pe.use_memory(Access::decode(arguments[0]), arguments[1]),
        Operation::Places => {
            let places = pe.places(arguments[0]).unwrap_or([NOTHING; 2]);
            report[..2].copy_from_slice(&places);
        }
        Operation::FillSystem => {
            report[0] = pe.fill_system(arguments[0]).unwrap_or(NOTHING);
        }
        Operation::CompareSystem => {
            report[0] = pe.system_differences().unwrap_or(NOTHING);
        }
        Operation::ReadRegisters => {
            let (mut from, end) = (arguments[0], arguments[1].min(ENCODINGS));
            let mut count = 0;
            for pair in report[1..].chunks_exact_mut(2).take(READ_REGISTERS) {
                let Some((encoding, value)) = pe.next_readable(from, end) else {
                    break;
                };
                pair.copy_from_slice(&[encoding, value]);
                from = encoding + 1;
                count += 1;
            }
            report[0] = count;
        }
        Operation::WriteRegister => pe.write_register(arguments[0] % ENCODINGS, arguments[1]),
        Operation::Spin => loop {
            pe.counter();
        },
    }
}

/// One host call with X0 to X30 from `report`; the host's answer, or `None` if the RMM refuses the call.
fn call_host<P: GuestPe>(pe: &P, page: u64, report: &[u64; 31]) -> Option<[u64; 31]> {
    let call = HostCall {
        imm: IMMEDIATE,
        gprs: *report,
    };
    for (index, word) in call.words().into_iter().enumerate() {
        pe.write(page + 8 * index as u64, word);
    }
    Rsi::new(pe).host_call(page).ok()?;
    Some(core::array::from_fn(|i| pe.read(page + 8 * (i as u64 + 1))))
}
