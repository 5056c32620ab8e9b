//! The interrupt controller that a realm sees: a GICv3 with 32 shared interrupts (SPIs), one security state, and affinity routing
//! only (Arm IHI 0069).
//!
//! The monitor switches the CPU interface; the host has the distributor and the redistributors, fills the list registers before each
//! entry and takes them back after each exit (RMM specification 1.0-rel0, A6.1). While a vCPU is outside of the realm, all that is
//! known of its interrupts is here; while it is inside, what is in its list registers is *in flight*. Hardware-backed list registers are not
//! allowed, so a level is looked at again when its interrupt has been handled: the list register asks for a maintenance interrupt
//! then, which makes the realm leave.
//!
//! Every method may be called by all PEs at once. What they return as [`Targets`] are vCPUs that the caller has to wake, or to call out of the realm.

mod bank;
mod distributor;
mod interface;
mod redistributor;
mod sgi;
mod shared;
mod targets;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use realm_host::rec::{Entry, GicExit, Timers};
use spin::{Mutex, MutexGuard};

pub use redistributor::FRAMES as REDISTRIBUTOR_SIZE;
pub use sgi::SgiRequest;
pub use targets::{MAX_VCPUS, Targets};

use interface::Interface;
use shared::Shared;

/// Bytes of address space that the distributor takes.
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;

/// PPI of the virtual timer.
pub const VIRTUAL_TIMER: u32 = 27;
/// PPI of the physical timer.
pub const PHYSICAL_TIMER: u32 = 30;
/// PPI of the PMU.
pub const PMU: u32 = 23;
/// The first INTID of the shared interrupts.
pub const FIRST_SPI: u32 = 32;

/// GICD_IIDR and GICR_IIDR: no product of Arm's, but with Arm's number, as virtual controllers have it.
const IMPLEMENTER: u64 = 0x53 << 24 | 0x43B;

/// The interrupt controller of a realm.
#[derive(Debug)]
pub struct Gic {
    vcpus: Vec<Mutex<Interface>>,
    /// Taken after that of a vCPU, where both are needed.
    shared: Mutex<Shared>,
}

/// Which system register software generates an interrupt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiGroup {
    /// ICC_SGI0R_EL1; with one security state ICC_ASGI1R_EL1 too.
    Zero,
    /// ICC_SGI1R_EL1.
    One,
}

impl Gic {
    /// The controller of a realm with so many vCPUs, at most [`MAX_VCPUS`].
    #[must_use]
    pub fn new(vcpus: usize) -> Self {
        let vcpus = vcpus.min(MAX_VCPUS);
        Self {
            vcpus: (0..vcpus).map(|_| Mutex::default()).collect(),
            shared: Mutex::new(Shared::new(vcpus)),
        }
    }

    /// Both locks for a vCPU's sake. `None` if there is no such vCPU.
    fn both(&self, vcpu: usize) -> Option<(MutexGuard<'_, Interface>, MutexGuard<'_, Shared>)> {
        let interface = self.vcpus.get(vcpu)?.lock();
        Some((interface, self.shared.lock()))
    }

    /// Makes a software-generated interrupt pending wherever it is in that group.
    pub fn send(&self, sender: usize, group: SgiGroup, request: SgiRequest) -> Targets {
        let mut targets = Targets::NONE;
        let forwarded = self.shared.lock().forwarded;
        let bit = 1 << request.intid();
        for (vcpu, interface) in self.vcpus.iter().enumerate() {
            if !request.addresses(vcpu as u64, sender as u64) {
                continue;
            }
            let bank = &mut interface.lock().bank;
            let in_group_1 = bank.group1 & bit != 0;
            if in_group_1 == (group == SgiGroup::One) {
                bank.set_pending(bit);
                if bank.deliverable(forwarded) & bit != 0 {
                    targets.add(vcpu);
                }
            }
        }
        targets
    }

    /// The input line of a shared interrupt changes, or stays. `spi` counts from 0; an INTID minus [`FIRST_SPI`]. What does not exist is
    /// ignored.
    pub fn set_line(&self, spi: u32, level: bool) -> Targets {
        if spi >= u32::BITS {
            return Targets::NONE;
        }
        let mut shared = self.shared.lock();
        shared.change(0, |shared| shared.bank.set_line(spi, level))
    }

    /// Takes the state of an exit.
    pub fn left(&self, vcpu: usize, gic: &GicExit, timers: &Timers, pmu: bool) -> Targets {
        self.both(vcpu)
            .map_or(Targets::NONE, |(mut interface, mut shared)| {
                interface.left(vcpu, &mut shared, gic, timers, pmu)
            })
    }

    /// Puts what is pending or active into the first `count` list registers of the next entry.
    #[must_use]
    pub fn enter(&self, vcpu: usize, count: usize, now: u64) -> Entry {
        self.both(vcpu)
            .map_or_else(Entry::default, |(mut interface, mut shared)| {
                interface.enter(vcpu, &mut shared, count, now)
            })
    }

    /// The entry that [`Gic::enter`] was for did not take place.
    pub fn not_entered(&self, vcpu: usize) -> Targets {
        self.both(vcpu)
            .map_or(Targets::NONE, |(mut interface, mut shared)| {
                interface.not_entered(vcpu, &mut shared)
            })
    }

    /// Whether anything is pending that ends a vCPU's wait.
    #[must_use]
    pub fn is_pending(&self, vcpu: usize, now: u64) -> bool {
        self.both(vcpu)
            .is_some_and(|(mut interface, shared)| interface.is_pending(vcpu, &shared, now))
    }

    /// When a vCPU's next timer asserts its interrupt, as a value of the counter.
    #[must_use]
    pub fn deadline(&self, vcpu: usize) -> Option<u64> {
        let (interface, shared) = self.both(vcpu)?;
        interface.deadline(&shared)
    }

    /// A vCPU has been turned off: when it is on again, its timers are off.
    pub fn turn_off(&self, vcpu: usize) {
        if let Some(interface) = self.vcpus.get(vcpu) {
            interface.lock().turn_off();
        }
    }

    /// A vCPU has written an INTID to ICC_DIR_EL1, and has left the realm for it. That is nothing while its ends deactivate.
    pub fn deactivate(&self, vcpu: usize, value: u64) -> Targets {
        match self.both(vcpu) {
            Some((mut interface, mut shared)) if interface.is_split() => {
                interface.deactivate(value as u32 & 0xFF_FFFF, &mut shared)
            }
            _ => Targets::NONE,
        }
    }
}

/// One of the bytes of a register that has a byte for each interrupt.
fn bytes(first: u64, size: u64, byte: impl Fn(u32) -> u8) -> u64 {
    (0..size).fold(0, |value, n| {
        value | u64::from(byte((first + n) as u32)) << (8 * n)
    })
}

/// The identification registers at the end of each frame: GICv3, the rest as Arm's controllers have it.
fn identification(offset: u64) -> u64 {
    const FIRST: u64 = 0xFFD0;
    const BYTES: [u8; 12] = [0x44, 0, 0, 0, 0x92, 0xB4, 0x3B, 0, 0x0D, 0xF0, 0x05, 0xB1];
    let index = offset.wrapping_sub(FIRST) / 4;
    BYTES.get(index as usize).copied().unwrap_or(0).into()
}
