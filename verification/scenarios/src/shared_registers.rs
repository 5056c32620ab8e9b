//! Registers of a PE that a realm and its host share, one after the other.

use alloc::vec::Vec;

/// What the host has in registers that a realm uses too: contents that a seed tells from others, and how much of them is
/// lost later.
pub trait SharedRegisters {
    /// Fills the vector registers: V, or if `length` is not 0 those of SVE with vectors of `length` * 128 bits, which the
    /// machine has.
    fn fill_vectors(&self, length: u64, seed: u64);

    /// Number of bytes of the vector registers that are not what [`SharedRegisters::fill_vectors`] left in them.
    fn vector_differences(&self, length: u64, seed: u64) -> u64;

    /// Enters streaming mode and fills its vector registers and ZA; with `all` in the mode that has all instructions, and
    /// FFR. Returns the bytes of a vector; `None` if there is no such mode.
    fn fill_streaming(&self, all: bool, seed: u64) -> Option<u64>;

    /// Number of bytes that are not what [`SharedRegisters::fill_streaming`] left; `None` if streaming mode is off. Turns it off.
    fn leave_streaming(&self, all: bool, seed: u64) -> Option<u64>;

    /// Fills breakpoint, watchpoint and PMU registers.
    fn fill_points(&self, seed: u64);

    /// Number of those registers that are not what [`SharedRegisters::fill_points`] left in them.
    fn point_differences(&self, seed: u64) -> u64;

    /// Fills the list and active priorities registers of the GIC's virtual CPU interface, and DISR_EL1 as if an SError had been
    /// deferred.
    fn fill_interface(&self, seed: u64);

    /// Number of those registers that are not what [`SharedRegisters::fill_interface`] left in them.
    fn interface_differences(&self, seed: u64) -> u64;

    /// Lets the cycle counter and an event counter of each range count cycles wherever the host can have them count, from zero
    /// on. `false` if there are none.
    fn start_counters(&self) -> bool;

    /// What these three have counted.
    fn counters(&self) -> [u64; 3];

    /// Lets nothing count any more.
    fn stop_counters(&self);

    /// Fills the system registers of EL0 to EL2 that the host does not need for running. Returns how many hold something that
    /// another seed would not have left.
    fn fill_system(&self, seed: u64) -> u64;

    /// The names of those that are not what [`SharedRegisters::fill_system`] left in them last.
    fn system_differences(&self) -> Vec<&'static str>;

    /// The first encoding of a system register ([`realm_guest::puppet::encoding`]) from `from` on and before `end` that the host
    /// can read, and its content.
    fn next_readable(&self, from: u64, end: u64) -> Option<(u64, u64)>;
}
