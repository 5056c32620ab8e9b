//! What the demonstration program needs from the vCPU that it runs on.

use crate::Conduit;
use crate::puppet::Access;

/// One vCPU of a realm as the program on it sees it: memory by intermediate physical address (stage 1 is an identity
/// map), the virtual timer, and the interrupts that the GIC's CPU interface signals.
///
/// Memory accesses are single-copy atomic accesses of the stated width that the compiler neither drops nor repeats,
/// because each may be an exit to the host.
pub trait GuestPe: Conduit {
    /// Loads the doubleword at `ipa` (8-byte aligned) from normal memory, protected or shared.
    fn read(&self, ipa: u64) -> u64;

    /// Stores a doubleword at `ipa` (8-byte aligned) in normal memory, protected or shared.
    fn write(&self, ipa: u64, value: u64);

    /// Loads the 32-bit device register at `ipa` with an instruction that the host can emulate.
    fn load_device(&self, ipa: u64) -> u32;

    /// Stores to the 32-bit device register at `ipa` with an instruction that the host can emulate.
    fn store_device(&self, ipa: u64, value: u32);

    /// `MPIDR_EL1`.
    fn mpidr(&self) -> u64;

    /// The virtual counter, `CNTVCT_EL0`, in ticks.
    fn counter(&self) -> u64;

    /// Ticks of the counter in a second, `CNTFRQ_EL0`.
    fn frequency(&self) -> u64;

    /// Makes the virtual timer assert its interrupt (INTID 27) once the counter has reached `deadline`.
    fn arm_timer(&self, deadline: u64);

    /// Stops the virtual timer; its interrupt is no longer asserted.
    fn disarm_timer(&self);

    /// Waits until an interrupt can be acknowledged. May return early.
    fn wait_for_interrupt(&self);

    /// Takes the interrupt that is signalled, if any: its INTID. It is then active until
    /// [`end_of_interrupt`](Self::end_of_interrupt).
    fn acknowledge_interrupt(&self) -> Option<u32>;

    /// Ends the handling of an interrupt that [`acknowledge_interrupt`](Self::acknowledge_interrupt) returned.
    fn end_of_interrupt(&self, intid: u32);

    /// Where a vCPU that PSCI `CPU_ON` starts is to begin: a protected address whose code comes to
    /// [`run_secondary`](super::run_secondary) with the context argument of the call.
    fn secondary_entry(&self) -> u64;

    /// Fills all vector registers that ID_AA64PFR0_EL1 shows, V or with SVE those of the longest vectors, with contents
    /// that `seed` tells from others. Returns the bytes of a vector; `None` where vCPUs are simulated without any.
    fn fill_vectors(&self, seed: u64) -> Option<u64> {
        let _ = seed;
        None
    }

    /// Lets the cycle counter overflow and ask for an interrupt, or ends that. Returns the number of event counters;
    /// `None` if the vCPU has no PMU, or is simulated without its counters.
    fn overflow_cycles(&self, asked: bool) -> Option<u64> {
        let _ = asked;
        None
    }

    /// Fills all breakpoint, watchpoint and PMU registers that the vCPU has with contents that `seed` tells from others, and
    /// lets it take debug exceptions, of which none comes. Returns how many breakpoints, watchpoints and event counters
    /// there are; `None` where vCPUs are simulated without any.
    fn fill_registers(&self, seed: u64) -> Option<u64> {
        let _ = seed;
        None
    }

    /// Number of these registers that are not what [`fill_registers`](Self::fill_registers) left in them.
    fn register_differences(&self, seed: u64) -> Option<u64> {
        let _ = seed;
        None
    }

    /// Uses the doubleword at `ipa` for ever.
    fn use_memory(&self, access: Access, ipa: u64) -> ! {
        loop {
            match access {
                Access::Read | Access::Walk => drop(self.read(ipa)),
                Access::Write => self.write(ipa, 0),
                Access::Execute => drop(self.counter()),
            }
        }
    }

    /// Where the code of [`use_memory`](Self::use_memory) is, and the last table of stage 1 for `ipa`; `None` where vCPUs are
    /// simulated without either.
    fn places(&self, ipa: u64) -> Option<[u64; 2]> {
        let _ = ipa;
        None
    }

    /// Fills the system registers that the program does not need. Returns how many hold something that another seed would not
    /// have left; `None` where vCPUs are simulated without them.
    fn fill_system(&self, seed: u64) -> Option<u64> {
        let _ = seed;
        None
    }

    /// The registers that are not what [`fill_system`](Self::fill_system) left in them last, a bit for each.
    fn system_differences(&self) -> Option<u64> {
        None
    }

    /// Number of bytes of the vector registers that are not what [`fill_vectors`](Self::fill_vectors) left in them.
    fn vector_differences(&self, seed: u64) -> Option<u64> {
        let _ = seed;
        None
    }
}
