//! The redistributors' registers: two frames for each vCPU, one after the other.

use cca_abi::mpidr::architectural_from_index;

use super::bank::Bank;
use super::distributor::{BitRegister, is_aligned};
use super::interface::Interface;
use super::shared::Shared;
use super::{Gic, IMPLEMENTER, Targets, bytes, identification};

/// Bytes of a redistributor's two frames.
pub const FRAMES: u64 = 0x2_0000;
/// Where the frame of the private interrupts is.
const PRIVATE: u64 = 0x1_0000;

const CTLR: u64 = 0x0;
const IIDR: u64 = 0x4;
const TYPER: u64 = 0x8;
const TYPER_HIGH: u64 = 0xC;
const WAKER: u64 = 0x14;
const IDENTIFICATION: u64 = 0xFFD0;
const IDENTIFICATION_END: u64 = 0x1_0000;
const PRIORITIES: u64 = PRIVATE + 0x400;
const PRIORITIES_END: u64 = PRIVATE + 0x420;
const SGI_CONFIGURATION: u64 = PRIVATE + 0xC00;
const PPI_CONFIGURATION: u64 = PRIVATE + 0xC04;

/// GICR_CTLR.RWP: what has been disabled can still be signalled.
const WRITE_PENDING: u64 = 1 << 3;
/// GICR_TYPER.Last.
const LAST: u64 = 1 << 4;
/// GICR_WAKER.ProcessorSleep and ChildrenAsleep.
const PROCESSOR_SLEEP: u64 = 1 << 1;
const CHILDREN_ASLEEP: u64 = 1 << 2;

impl Gic {
    /// A read of `size` bytes at `offset` from the start of the first redistributor. Zero where there is nothing, or nothing of that size.
    #[must_use]
    pub fn read_redistributor(&self, offset: u64, size: u64) -> u64 {
        let (vcpu, offset) = ((offset / FRAMES) as usize, offset % FRAMES);
        if !is_aligned(offset, size, FRAMES) {
            return 0;
        }
        let Some(interface) = self.vcpus.get(vcpu) else {
            return 0;
        };
        let affinity = architectural_from_index(vcpu as u64);
        let affinity = affinity & 0xFF_FFFF | (affinity >> 32 & 0xFF) << 24;
        let last = if vcpu + 1 == self.vcpus.len() {
            LAST
        } else {
            0
        };
        let kind = affinity << 32 | (vcpu as u64) << 8 | last;
        match (offset, size) {
            (TYPER, 8) => kind,
            (TYPER, 4) => kind & 0xFFFF_FFFF,
            (TYPER_HIGH, 4) => kind >> 32,
            _ => interface.lock().read(offset, size),
        }
    }

    /// A write of `size` bytes at `offset` from the start of the first redistributor. Ignored where there is nothing, or nothing of
    /// that size.
    pub fn write_redistributor(&self, offset: u64, size: u64, value: u64) -> Targets {
        let (vcpu, offset) = ((offset / FRAMES) as usize, offset % FRAMES);
        if !is_aligned(offset, size, FRAMES) {
            return Targets::NONE;
        }
        match self.both(vcpu) {
            Some((mut interface, shared)) => interface.write(vcpu, &shared, offset, size, value),
            None => Targets::NONE,
        }
    }
}

impl Interface {
    fn read(&self, offset: u64, size: u64) -> u64 {
        match (offset, size) {
            (CTLR, 4) if self.bank.is_disabling() => WRITE_PENDING,
            (IIDR, 4) => IMPLEMENTER,
            (WAKER, 4) if self.asleep => PROCESSOR_SLEEP | CHILDREN_ASLEEP,
            (IDENTIFICATION..IDENTIFICATION_END, 4) => identification(offset),
            (PRIORITIES..PRIORITIES_END, 1 | 4) => {
                bytes(offset - PRIORITIES, size, |n| self.bank.priority(n))
            }
            (SGI_CONFIGURATION | PPI_CONFIGURATION, 4) => {
                self.bank.configuration(offset == PPI_CONFIGURATION).into()
            }
            (PRIVATE.., 4) => match BitRegister::at(offset - PRIVATE) {
                Some((register, 0)) => register.read(&self.bank).into(),
                _ => 0,
            },
            _ => 0,
        }
    }

    fn write(
        &mut self,
        vcpu: usize,
        shared: &Shared,
        offset: u64,
        size: u64,
        value: u64,
    ) -> Targets {
        let wanted = |bank: &Bank| {
            let deliverable = bank.deliverable(shared.forwarded);
            (deliverable, deliverable & !bank.active)
        };
        let before = wanted(&self.bank);
        let mut recalled = 0;
        match (offset, size) {
            (WAKER, 4) => self.asleep = value & PROCESSOR_SLEEP != 0,
            (PRIORITIES..PRIORITIES_END, 1 | 4) => {
                for byte in 0..size {
                    let n = (offset - PRIORITIES + byte) as u32;
                    self.bank.set_priority(n, (value >> (8 * byte)) as u8);
                }
            }
            // SGIs are edges for ever.
            (PPI_CONFIGURATION, 4) => self.bank.configure(true, value as u32),
            (PRIVATE.., 4) => {
                if let Some((register, 0)) = BitRegister::at(offset - PRIVATE) {
                    recalled = register.recalls(value as u32) & self.bank.in_flight();
                    register.write(&mut self.bank, value as u32);
                }
            }
            _ => {}
        }
        let after = wanted(&self.bank);
        // Something new, or something that does not wait for its own end any more.
        if after.0 & !before.0 != 0 || after.1 & !before.1 != 0 || recalled != 0 {
            Targets::one(vcpu)
        } else {
            Targets::NONE
        }
    }
}
