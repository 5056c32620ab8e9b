//! What a program in a realm uses: instructions with their results.

use std::cell::{Cell, RefCell};

use cca_abi::smccc::Registers;
use realm_guest::Conduit;
use realm_guest::demo::GuestPe;
use realm_guest::puppet::{GicRegister, PuppetPe};

use super::core::{Core, Instruction, Taken};
use super::interface::SPURIOUS;
use super::syndrome::{Encoding, Transfer};
use super::sysreg::names;

/// A vCPU as the program that runs on it sees it.
pub struct GuestCpu {
    core: RefCell<Core>,
    turn: Cell<u8>,
}

/// The registers that loads and stores take turns in using.
const TRANSFER_REGISTERS: std::ops::RangeInclusive<u8> = 9..=15;
/// The register of system register accesses.
const SYSTEM_REGISTER: u8 = 8;

/// Where [`GuestPe::secondary_entry`] points, from the page that the first vCPU was started in.
pub const SECONDARY_OFFSET: u64 = 0x40;

impl GuestCpu {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: RefCell::new(core),
            turn: Cell::new(*TRANSFER_REGISTERS.start()),
        }
    }

    /// Executes one instruction. `Err`: the realm took an exception to its own EL1, and went on behind the
    /// instruction.
    pub fn execute(&self, instruction: Instruction) -> Result<(), Taken> {
        self.core.borrow_mut().execute(instruction)
    }

    /// X`n`.
    pub fn register(&self, n: usize) -> u64 {
        self.core.borrow().state.gprs[n]
    }

    /// Sets X`n`. X29 belongs to the machine: a vCPU that changes it starts all over.
    pub fn set_register(&self, n: usize, value: u64) {
        self.core.borrow_mut().state.gprs[n] = value;
    }

    /// The program counter.
    pub fn pc(&self) -> u64 {
        self.core.borrow().state.pc
    }

    fn next_register(&self) -> u8 {
        let register = self.turn.get();
        let next = if register == *TRANSFER_REGISTERS.end() {
            *TRANSFER_REGISTERS.start()
        } else {
            register + 1
        };
        self.turn.set(next);
        register
    }

    /// Loads `size` bytes (1, 2, 4 or 8) at `ipa`, which is aligned to them.
    pub fn load(&self, ipa: u64, size: u8) -> Result<u64, Taken> {
        let register = self.next_register();
        self.execute(Instruction::Load(ipa, Transfer::plain(size, register)))?;
        Ok(self.register(usize::from(register)))
    }

    /// Stores the low `size` bytes (1, 2, 4 or 8) of `value` at `ipa`, which is aligned to them.
    pub fn store(&self, ipa: u64, size: u8, value: u64) -> Result<(), Taken> {
        let register = self.next_register();
        self.set_register(usize::from(register), value);
        self.execute(Instruction::Store(ipa, Transfer::plain(size, register)))
    }

    /// Adds to the doubleword at `ipa` and returns what was there: an access that no host can emulate.
    pub fn atomic_add(&self, ipa: u64, addend: u64) -> Result<u64, Taken> {
        let register = self.next_register();
        self.set_register(usize::from(register), addend);
        self.execute(Instruction::AtomicAdd(ipa, Transfer::plain(8, register)))?;
        Ok(self.register(usize::from(register)))
    }

    /// `MRS`.
    pub fn read_system(&self, register: Encoding) -> Result<u64, Taken> {
        self.execute(Instruction::Mrs(register, SYSTEM_REGISTER))?;
        Ok(self.register(usize::from(SYSTEM_REGISTER)))
    }

    /// `MSR`.
    pub fn write_system(&self, register: Encoding, value: u64) -> Result<(), Taken> {
        self.set_register(usize::from(SYSTEM_REGISTER), value);
        self.execute(Instruction::Msr(register, SYSTEM_REGISTER))
    }

    /// `SMC #0` with X0 to X17.
    ///
    /// # Panics
    ///
    /// If the realm takes an exception instead.
    pub fn call(&self, registers: &mut Registers) {
        let count = registers.0.len();
        self.core.borrow_mut().state.gprs[..count].copy_from_slice(&registers.0);
        must(self.execute(Instruction::Smc), "SMC");
        registers
            .0
            .copy_from_slice(&self.core.borrow().state.gprs[..count]);
    }
}

/// A program that has no exception handler dies of an exception.
fn must<T>(result: Result<T, Taken>, what: &str) -> T {
    result.unwrap_or_else(|Taken { esr, far, elr }| {
        panic!("a vCPU took an exception at {what}: ESR_EL1 {esr:#x}, FAR_EL1 {far:#x}, ELR_EL1 {elr:#x}")
    })
}

impl Conduit for GuestCpu {
    fn smc(&self, registers: &mut Registers) {
        self.call(registers);
    }
}

impl GuestPe for GuestCpu {
    fn read(&self, ipa: u64) -> u64 {
        must(self.load(ipa, 8), "a load")
    }

    fn write(&self, ipa: u64, value: u64) {
        must(self.store(ipa, 8, value), "a store");
    }

    fn load_device(&self, ipa: u64) -> u32 {
        must(self.load(ipa, 4), "a device load") as u32
    }

    fn store_device(&self, ipa: u64, value: u32) {
        must(self.store(ipa, 4, u64::from(value)), "a device store");
    }

    fn mpidr(&self) -> u64 {
        must(self.read_system(names::MPIDR_EL1), "MPIDR_EL1")
    }

    fn counter(&self) -> u64 {
        must(self.read_system(names::CNTVCT_EL0), "CNTVCT_EL0")
    }

    fn frequency(&self) -> u64 {
        must(self.read_system(names::CNTFRQ_EL0), "CNTFRQ_EL0")
    }

    fn arm_timer(&self, deadline: u64) {
        must(
            self.write_system(names::CNTV_CVAL_EL0, deadline),
            "CNTV_CVAL_EL0",
        );
        must(self.write_system(names::CNTV_CTL_EL0, 1), "CNTV_CTL_EL0");
    }

    fn disarm_timer(&self) {
        must(self.write_system(names::CNTV_CTL_EL0, 0), "CNTV_CTL_EL0");
    }

    fn wait_for_interrupt(&self) {
        must(self.execute(Instruction::WaitForInterrupt), "WFI");
    }

    fn acknowledge_interrupt(&self) -> Option<u32> {
        let id = must(self.read_system(names::ICC_IAR1_EL1), "ICC_IAR1_EL1") as u32;
        (id != SPURIOUS).then_some(id)
    }

    fn end_of_interrupt(&self, intid: u32) {
        must(
            self.write_system(names::ICC_EOIR1_EL1, u64::from(intid)),
            "ICC_EOIR1_EL1",
        );
    }

    fn secondary_entry(&self) -> u64 {
        (self.pc() & !(crate::memory::GRANULE_SIZE - 1)) + SECONDARY_OFFSET
    }
}

impl PuppetPe for GuestCpu {
    fn load(&self, ipa: u64, size: u64) -> u64 {
        must(GuestCpu::load(self, ipa, size as u8), "a device load")
    }

    fn store(&self, ipa: u64, size: u64, value: u64) {
        must(
            GuestCpu::store(self, ipa, size as u8, value),
            "a device store",
        );
    }

    fn add(&self, ipa: u64, value: u64) {
        must(self.atomic_add(ipa, value), "an addition");
    }

    fn wait_for_event(&self) {
        must(self.execute(Instruction::WaitForEvent), "WFE");
    }

    fn write_gic(&self, register: GicRegister, value: u64) {
        let name = match register {
            GicRegister::Sgi1 => names::ICC_SGI1R_EL1,
            GicRegister::Asgi1 => names::ICC_ASGI1R_EL1,
            GicRegister::Sgi0 => names::ICC_SGI0R_EL1,
            GicRegister::Deactivate => names::ICC_DIR_EL1,
        };
        must(self.write_system(name, value), "a GIC register");
    }

    fn identify(&self, crm: u64, op2: u64) -> u64 {
        let register = Encoding(3, 0, 0, crm as u8, op2 as u8);
        must(self.read_system(register), "an identification register")
    }

    fn next_readable(&self, from: u64, end: u64) -> Option<(u64, u64)> {
        let read = |encoding| {
            let value = self.read_system(Encoding::numbered(encoding)).ok()?;
            Some((encoding, value))
        };
        (from..end).find_map(read)
    }

    fn write_register(&self, encoding: u64, value: u64) {
        // What cannot be written is left alone.
        let _ = self.write_system(Encoding::numbered(encoding), value);
    }
}
