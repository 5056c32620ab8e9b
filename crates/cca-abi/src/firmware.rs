//! Layout of the machine and of the firmware image: what lies where, so that payloads built for TF-A and TF-RMM
//! on QEMU's `virt` machine run above this firmware too, and the other way round.

/// PA of the device tree that the machine provides.
pub const DEVICE_TREE: u64 = 0x4000_0000;
/// Size reserved for the device tree.
pub const DEVICE_TREE_SIZE: u64 = 0x10_0000;
/// PA of the RMM: where its image is loaded and entered.
pub const RMM_BASE: u64 = 0x4010_0000;
/// First PA after the memory that belongs to the RMM.
pub const RMM_END: u64 = 0x4190_0000;
/// PA of the page that the root monitor and the RMM share.
pub const SHARED_BUFFER: u64 = RMM_END - crate::GRANULE_SIZE;
/// PA at which a raw Non-secure payload is loaded and entered at NS-EL2.
pub const PAYLOAD_BASE: u64 = 0x6000_0000;

/// Offset of the [firmware table](self#the-firmware-table) in `firmware.bin`; the root monitor comes before it.
///
/// # The firmware table
/// One 4 KiB page of little-endian words: [`MAGIC`], [`TABLE_VERSION`], offset and length in bytes of the RMM
/// image. Everything else is zero.
pub const TABLE_OFFSET: u64 = 0x10_0000;
/// First word of the firmware table: "SUZFIRMW" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SUZFIRMW");
/// Second word of the firmware table.
pub const TABLE_VERSION: u64 = 1;
/// Offset of the RMM image in `firmware.bin`.
pub const RMM_OFFSET: u64 = TABLE_OFFSET + crate::GRANULE_SIZE;
/// Largest size of `firmware.bin`: QEMU's flash.
pub const FLASH_SIZE: u64 = 64 << 20;

/// The words of a firmware table for an RMM image of `rmm_length` bytes.
#[must_use]
pub const fn table(rmm_length: u64) -> [u64; 4] {
    [MAGIC, TABLE_VERSION, RMM_OFFSET, rmm_length]
}
