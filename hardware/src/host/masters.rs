//! Whether the machine has a device that reads and writes memory by itself.
//!
//! The places are those of QEMU's `virt`. Only registers are read that every such machine has: what they say tells the rest.

use super::gic::Gic;
use super::translation;
use crate::common::device;

/// The firmware configuration device (QEMU, `docs/specs/fw_cfg.rst`).
const FW_CFG: usize = 0x0902_0000;
const FW_CFG_SELECTOR: usize = 8;
/// The key of the feature bits, as the big-endian register takes it.
const FW_CFG_ID: u16 = 1u16.to_be();
/// In the feature bits: the DMA interface.
const FW_CFG_DMA: u32 = 1 << 1;

/// The first virtio transport, the bytes between two, and how many there are.
const VIRTIO: (usize, usize, usize) = (0x0A00_0000, 0x200, 32);
const VIRTIO_MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VIRTIO_DEVICE_ID: usize = 8;

/// Configuration space of the PCI Express host's first bus: 32 devices of 8 functions of 4 KiB.
const PCI: u64 = 0x40_1000_0000;
const PCI_BUS: u64 = 0x10_0000;
const PCI_NONE: u32 = u32::MAX;

/// What an ITS is compatible with.
const ITS: &[u8] = b"arm,gic-v3-its\0";

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Masters {
    /// The firmware configuration device offers its DMA interface.
    pub firmware_configuration: bool,
    /// The device tree names an interrupt translation service.
    pub translation_service: bool,
    /// The redistributors have interrupts whose tables are in memory.
    pub lpis: bool,
    /// Virtio transports with a device behind them.
    pub virtio: usize,
    /// PCI functions besides the host bridge.
    pub pci: usize,
}

impl Masters {
    /// Looks for them in a machine with this device tree.
    pub fn find(gic: &Gic, device_tree: &[u8]) -> Self {
        translation::map_registers(PCI..PCI + PCI_BUS);
        // SAFETY: registers of a device that the hypervisor's map has as one; this one gives out bytes and has no other effect.
        let features = unsafe {
            device::store_16(FW_CFG + FW_CFG_SELECTOR, FW_CFG_ID);
            device::load_32(FW_CFG)
        };
        let (first, stride, count) = VIRTIO;
        let transports = (0..count).map(|n| first + n * stride);
        let functions = (0..PCI_BUS).step_by(0x1000).map(|at| (PCI + at) as usize);
        Self {
            firmware_configuration: features & FW_CFG_DMA != 0,
            translation_service: device_tree.windows(ITS.len()).any(|bytes| bytes == ITS),
            lpis: gic.has_lpis(),
            virtio: transports
                .filter(|&base| word(base) != VIRTIO_MAGIC || word(base + VIRTIO_DEVICE_ID) != 0)
                .count(),
            // The first is the host bridge, which has to be there.
            pci: functions
                .filter(|&base| word(base) != PCI_NONE)
                .count()
                .wrapping_sub(1),
        }
    }
}

fn word(address: usize) -> u32 {
    // SAFETY: called with addresses of registers only, mapped as a device; they are identification registers, without an effect.
    unsafe { device::load_32(address) }
}
