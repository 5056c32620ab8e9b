//! The distributor's registers.

use super::bank::{Bank, Groups};
use super::shared::Shared;
use super::{DISTRIBUTOR_SIZE, FIRST_SPI, Gic, IMPLEMENTER, Targets, bytes, identification};

const CTLR: u64 = 0x0;
const TYPER: u64 = 0x4;
const IIDR: u64 = 0x8;
const PRIORITIES: u64 = 0x400;
const PRIORITIES_END: u64 = 0x800;
const ROUTES: u64 = 0x6000;
const IDENTIFICATION: u64 = 0xFFD0;

/// GICD_CTLR: the bits that can be written; affinity routing and the single security state are always on.
const ENABLE_GROUP_0: u64 = 1 << 0;
const ENABLE_GROUP_1: u64 = 1 << 1;
const AFFINITY_ROUTING: u64 = 1 << 4;
const DISABLE_SECURITY: u64 = 1 << 6;
const WRITE_PENDING: u64 = 1 << 31;

/// GICD_TYPER: 64 INTIDs, INTIDs of 10 bits; no message-based interrupts, no LPIs, no range selector for SGIs.
const TYPE: u64 = 1 | 9 << 19;

/// Registers with one bit for each interrupt that work on a bank in the same way in distributor and redistributor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitRegister {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl BitRegister {
    /// The register at this offset from the start of its frame, and which word of it.
    pub(super) fn at(offset: u64) -> Option<(Self, u64)> {
        const REGISTERS: [BitRegister; 7] = [
            BitRegister::Group,
            BitRegister::SetEnable,
            BitRegister::ClearEnable,
            BitRegister::SetPending,
            BitRegister::ClearPending,
            BitRegister::SetActive,
            BitRegister::ClearActive,
        ];
        let index = offset.checked_sub(0x80)? / 0x80;
        let register = REGISTERS.get(index as usize)?;
        Some((*register, offset % 0x80 / 4))
    }

    pub(super) fn read(self, bank: &Bank) -> u32 {
        match self {
            Self::Group => bank.group1,
            Self::SetEnable | Self::ClearEnable => bank.enabled,
            Self::SetPending | Self::ClearPending => bank.visibly_pending(),
            Self::SetActive | Self::ClearActive => bank.active,
        }
    }

    pub(super) fn write(self, bank: &mut Bank, bits: u32) {
        match self {
            Self::Group => bank.group1 = bits,
            Self::SetEnable => bank.enable(bits),
            Self::ClearEnable => bank.disable(bits),
            Self::SetPending => bank.set_pending(bits),
            Self::ClearPending => bank.clear_pending(bits),
            Self::SetActive => bank.set_active(bits),
            Self::ClearActive => bank.clear_active(bits),
        }
    }

    /// What has to come out of list registers for a write of `bits` to take effect.
    pub(super) fn recalls(self, bits: u32) -> u32 {
        match self {
            Self::ClearEnable | Self::ClearPending | Self::SetActive | Self::ClearActive => bits,
            Self::Group | Self::SetEnable | Self::SetPending => 0,
        }
    }
}

impl Gic {
    /// A read of `size` bytes at `offset` from the start of the distributor. Zero where there is nothing, or nothing of that size.
    #[must_use]
    pub fn read_distributor(&self, offset: u64, size: u64) -> u64 {
        if !is_aligned(offset, size, DISTRIBUTOR_SIZE) {
            return 0;
        }
        self.shared.lock().read(offset, size)
    }

    /// A write of `size` bytes at `offset` from the start of the distributor. Ignored where there is nothing, or nothing of that size.
    pub fn write_distributor(&self, offset: u64, size: u64, value: u64) -> Targets {
        if !is_aligned(offset, size, DISTRIBUTOR_SIZE) {
            return Targets::NONE;
        }
        let mut shared = self.shared.lock();
        let was = shared.forwarded;
        let mut targets = shared.write(offset, size, value);
        if shared.forwarded != was {
            // Private interrupts are forwarded by the same bits.
            for vcpu in 0..self.vcpus.len() {
                targets.add(vcpu);
            }
        }
        targets
    }
}

/// Whether an access is inside its frames and naturally aligned.
pub(super) fn is_aligned(offset: u64, size: u64, end: u64) -> bool {
    matches!(size, 1 | 2 | 4 | 8) && offset.is_multiple_of(size) && offset < end
}

impl Shared {
    fn read(&self, offset: u64, size: u64) -> u64 {
        match (offset, size) {
            (CTLR, 4) => {
                let mut control = AFFINITY_ROUTING | DISABLE_SECURITY;
                if self.forwarded.group0 {
                    control |= ENABLE_GROUP_0;
                }
                if self.forwarded.group1 {
                    control |= ENABLE_GROUP_1;
                }
                if self.bank.is_disabling() {
                    control |= WRITE_PENDING;
                }
                control
            }
            (TYPER, 4) => TYPE,
            (IIDR, 4) => IMPLEMENTER,
            (PRIORITIES..PRIORITIES_END, 1 | 4) => bytes(offset - PRIORITIES, size, |intid| {
                spi(intid).map_or(0, |n| self.bank.priority(n))
            }),
            (0xC08 | 0xC0C, 4) => self.bank.configuration(offset == 0xC0C).into(),
            (ROUTES..IDENTIFICATION, 4 | 8) => {
                let Some(n) = routed(offset) else { return 0 };
                let route = self.route(n);
                match (size, offset % 8) {
                    (8, _) => route,
                    (_, 0) => route & 0xFFFF_FFFF,
                    _ => route >> 32,
                }
            }
            (IDENTIFICATION.., 4) => identification(offset),
            (_, 4) => match BitRegister::at(offset) {
                // The first word of each is that of the private interrupts, which with affinity routing are the redistributors'.
                Some((register, 1)) => register.read(&self.bank).into(),
                _ => 0,
            },
            _ => 0,
        }
    }

    fn write(&mut self, offset: u64, size: u64, value: u64) -> Targets {
        match (offset, size) {
            (CTLR, 4) => self.change(0, |shared| {
                shared.forwarded = Groups {
                    group0: value & ENABLE_GROUP_0 != 0,
                    group1: value & ENABLE_GROUP_1 != 0,
                };
            }),
            (PRIORITIES..PRIORITIES_END, 1 | 4) => {
                for byte in 0..size {
                    if let Some(n) = spi((offset - PRIORITIES + byte) as u32) {
                        self.bank.set_priority(n, (value >> (8 * byte)) as u8);
                    }
                }
                Targets::NONE
            }
            (0xC08 | 0xC0C, 4) => self.change(0, |shared| {
                shared.bank.configure(offset == 0xC0C, value as u32);
            }),
            (ROUTES..IDENTIFICATION, 4 | 8) => {
                let Some(n) = routed(offset) else {
                    return Targets::NONE;
                };
                let old = self.route(n);
                let new = match (size, offset % 8) {
                    (8, _) => value,
                    (_, 0) => old >> 32 << 32 | value & 0xFFFF_FFFF,
                    _ => old & 0xFFFF_FFFF | value << 32,
                };
                self.change(1 << n, |shared| shared.set_route(n, new))
            }
            (_, 4) => match BitRegister::at(offset) {
                Some((register, 1)) => {
                    let bits = value as u32;
                    self.change(register.recalls(bits), |shared| match register {
                        BitRegister::SetActive => shared.set_active(bits),
                        _ => register.write(&mut shared.bank, bits),
                    })
                }
                _ => Targets::NONE,
            },
            _ => Targets::NONE,
        }
    }
}

/// The number of a shared interrupt, counted from 0.
fn spi(intid: u32) -> Option<u32> {
    intid.checked_sub(FIRST_SPI).filter(|&n| n < u32::BITS)
}

/// Whose GICD_IROUTER is at this offset.
fn routed(offset: u64) -> Option<u32> {
    spi(((offset - ROUTES) / 8) as u32)
}
