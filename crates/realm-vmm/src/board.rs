//! Where a realm finds its devices.
//!
//! All of them lie below RAM. A realm reaches them through the unprotected alias, for only there do accesses leave it; the
//! addresses here are without the bit of that alias, as in the device tree, from which a realm's kernel makes the alias itself.

use core::ops::Range;

use crate::gic::{DISTRIBUTOR_SIZE, FIRST_SPI, MAX_VCPUS, REDISTRIBUTOR_SIZE};
use crate::virtio;

/// The interrupt controller's distributor.
pub const DISTRIBUTOR: u64 = 0x0800_0000;
/// The first redistributor; that of vCPU 1 follows, and so on.
pub const REDISTRIBUTORS: u64 = 0x080A_0000;
/// The PL011.
pub const UART: u64 = 0x0900_0000;
/// Bytes of address space that the PL011 takes.
pub const UART_SIZE: u64 = 0x1000;
/// The PL011's interrupt, counted from the first SPI; a level.
pub const UART_SPI: u32 = 1;
/// Ticks of the PL011's clock in a second.
pub const UART_CLOCK: u32 = 24_000_000;
/// The first virtio device; the others follow.
pub const VIRTIO: u64 = virtio::SLOTS_BASE;
/// Bytes of address space that each virtio device takes.
pub const VIRTIO_SIZE: u64 = virtio::SIZE;
/// How many virtio devices there is room for.
pub const VIRTIO_SLOTS: usize = virtio::SLOTS;
/// The interrupt of the first virtio device, counted from the first SPI; a level. The others follow.
pub const VIRTIO_SPI: u32 = virtio::FIRST_INTID - FIRST_SPI;

/// What is at an address, and how far from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The distributor.
    Distributor(u64),
    /// The redistributors of all vCPUs, there or not.
    Redistributors(u64),
    /// The PL011.
    Uart(u64),
    /// A virtio device, there or not.
    Virtio(usize, u64),
}

impl Place {
    /// What is at an address without the bit of the unprotected alias.
    #[must_use]
    pub fn of(address: u64) -> Option<Self> {
        let inside = |range: Range<u64>| {
            range
                .contains(&address)
                .then(|| address.wrapping_sub(range.start))
        };
        let redistributors = MAX_VCPUS as u64 * REDISTRIBUTOR_SIZE;
        let virtio = VIRTIO_SLOTS as u64 * VIRTIO_SIZE;
        if let Some(offset) = inside(DISTRIBUTOR..DISTRIBUTOR + DISTRIBUTOR_SIZE) {
            Some(Self::Distributor(offset))
        } else if let Some(offset) = inside(REDISTRIBUTORS..REDISTRIBUTORS + redistributors) {
            Some(Self::Redistributors(offset))
        } else if let Some(offset) = inside(UART..UART + UART_SIZE) {
            Some(Self::Uart(offset))
        } else {
            let offset = inside(VIRTIO..VIRTIO + virtio)?;
            let slot = (offset / VIRTIO_SIZE) as usize;
            Some(Self::Virtio(slot, offset % VIRTIO_SIZE))
        }
    }
}

const _: () = assert!(REDISTRIBUTORS + MAX_VCPUS as u64 * REDISTRIBUTOR_SIZE <= UART);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_has_its_place() {
        for (address, place) in [
            (DISTRIBUTOR, Some(Place::Distributor(0))),
            (DISTRIBUTOR + 0xFFFF, Some(Place::Distributor(0xFFFF))),
            (DISTRIBUTOR + 0x1_0000, None),
            (REDISTRIBUTORS - 1, None),
            (
                REDISTRIBUTORS + 0x2_0014,
                Some(Place::Redistributors(0x2_0014)),
            ),
            (UART + 0xFFC, Some(Place::Uart(0xFFC))),
            (UART + 0x1000, None),
            (VIRTIO + 0x204, Some(Place::Virtio(1, 4))),
            (VIRTIO + 0xFFF, Some(Place::Virtio(7, 0x1FF))),
            (VIRTIO + 0x1000, None),
            (0, None),
            (u64::MAX, None),
        ] {
            assert_eq!(Place::of(address), place, "{address:#x}");
        }
    }
}
