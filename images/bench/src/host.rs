//! Calls that are counted, and memory for them.

use core::cell::Cell;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command;
use cca_abi::smccc::Registers;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use hardware::host::{Dram, timed_smc};
use hardware::println;

/// Memory that the benchmark works with. It is there with 1 GiB of DRAM, too.
pub(crate) const MEMORY: Range<u64> = 0x4400_0000..0x5000_0000;

/// The normal world.
pub(crate) struct Host {
    dram: Dram,
    next: Cell<u64>,
    /// Instructions in the firmware so far.
    pub(crate) firmware: Cell<u64>,
}

impl Host {
    pub(crate) fn new(mut dram: Dram) -> Self {
        dram.add(MEMORY);
        Self {
            dram,
            next: Cell::new(MEMORY.start),
            firmware: Cell::new(0),
        }
    }

    /// Starts again with the first granule; all were given back.
    pub(crate) fn reset(&self) {
        self.next.set(MEMORY.start);
    }

    /// A granule that is Non-secure.
    pub(crate) fn granule(&self) -> u64 {
        let pa = self.next.get();
        assert!(pa < MEMORY.end, "the benchmark used up all memory");
        self.next.set(pa + GRANULE_SIZE);
        pa
    }

    /// A granule with this content.
    pub(crate) fn granule_with(&self, content: &[u64; GRANULE_WORDS]) -> u64 {
        let pa = self.granule();
        for (word, &value) in content.iter().enumerate() {
            self.write(pa, word, value);
        }
        pa
    }

    /// A granule that is delegated; its delegation is measured.
    pub(crate) fn delegated(&self) -> u64 {
        let pa = self.granule();
        self.call(Command::GranuleDelegate, &[pa]);
        pa
    }

    pub(crate) fn write(&self, pa: u64, word: usize, value: u64) {
        self.dram.granule(pa)[word].store(value, Relaxed);
    }

    pub(crate) fn read(&self, pa: u64, word: usize) -> u64 {
        self.dram.granule(pa)[word].load(Relaxed)
    }

    /// A command that must succeed, measured under its own name.
    pub(crate) fn call(&self, command: Command, operands: &[u64]) -> Registers {
        self.call_as(command.name(), command, operands)
    }

    /// A command that must succeed, measured under a name.
    pub(crate) fn call_as(&self, name: &str, command: Command, operands: &[u64]) -> Registers {
        let mut registers = Registers::default();
        registers.0[0] = command.function_id().into();
        registers.0[1..=operands.len()].copy_from_slice(operands);
        let count = timed_smc(&mut registers);
        self.firmware.set(self.firmware.get() + count);
        println!("bench {name} {count}");
        assert!(
            registers.0[0] == 0,
            "{name} with {operands:x?} is refused: {:#x}",
            registers.0[0]
        );
        registers
    }
}
