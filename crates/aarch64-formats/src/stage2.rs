//! Stage 2 translation: levels, block and page descriptors (Arm ARM D8.3, 4 KiB granule, Realm state, FEAT_S2FWB).

/// A level of translation tables: -1 (LPA2 only) to 3.
pub type Level = i8;

/// The level whose entries are pages.
pub const PAGE_LEVEL: Level = 3;

/// Entries in a table, except at level -1.
pub const TABLE_ENTRIES: usize = 512;

/// Entries in use in a level -1 table.
pub const LEVEL_MINUS_1_ENTRIES: usize = 16;

/// log2 of the bytes that one entry at `level` describes.
#[must_use]
#[inline]
pub const fn entry_shift(level: Level) -> u32 {
    (12 + 9 * (PAGE_LEVEL - level) as i32) as u32
}

/// Bytes that one entry at `level` describes.
#[must_use]
#[inline]
pub const fn entry_size(level: Level) -> u64 {
    1 << entry_shift(level)
}

/// Number of entries of a table at `level` that are in use.
#[must_use]
#[inline]
pub const fn entries(level: Level) -> usize {
    if level < 0 {
        LEVEL_MINUS_1_ENTRIES
    } else {
        TABLE_ENTRIES
    }
}

/// Whether `address` is a multiple of what one entry at `level` describes; false if there is no such level.
#[must_use]
#[inline]
pub const fn is_aligned(address: u64, level: i64) -> bool {
    level >= -1 && level <= PAGE_LEVEL as i64 && address & (entry_size(level as Level) - 1) == 0
}

/// Fields of descriptors.
pub mod field {
    /// The descriptor is valid.
    pub const VALID: u64 = 1 << 0;
    /// With [`VALID`]: a table (levels below 3) or a page (level 3); a block if clear.
    pub const TABLE_OR_PAGE: u64 = 1 << 1;
    /// Position of MemAttr\[3:0\].
    pub const MEM_ATTR_SHIFT: u32 = 2;
    /// Position of S2AP\[1:0\]: bit 0 read, bit 1 write.
    pub const S2AP_SHIFT: u32 = 6;
    /// Read access.
    pub const S2AP_READ: u64 = 1 << S2AP_SHIFT;
    /// Write access.
    pub const S2AP_WRITE: u64 = 1 << (S2AP_SHIFT + 1);
    /// Position of SH\[1:0\], without LPA2.
    pub const SH_SHIFT: u32 = 8;
    /// Outer shareable, without LPA2.
    pub const SH_OUTER: u64 = 0b10 << SH_SHIFT;
    /// Inner shareable, without LPA2.
    pub const SH_INNER: u64 = 0b11 << SH_SHIFT;
    /// Access flag.
    pub const AF: u64 = 1 << 10;
    /// XN\[1\]: with XN\[0\] clear, execution at neither EL1 nor EL0.
    pub const XN: u64 = 1 << 54;
    /// Realm state: the output address is in the Non-secure physical address space.
    pub const NS: u64 = 1 << 55;
    /// One of the three bits, 58:56, that the hardware ignores in every descriptor, for software to use.
    pub const SOFTWARE: u64 = 1 << 56;
}

/// MemAttr\[2:0\] with FEAT_S2FWB.
pub mod mem_attr {
    /// Reserved.
    pub const RESERVED: u64 = 0b100;
    /// Normal; stage 1 may only reduce it to non-cacheable.
    pub const NON_CACHEABLE: u64 = 0b101;
    /// Normal write-back, whatever stage 1 says.
    pub const WRITE_BACK: u64 = 0b110;
    /// Normal, cacheability from stage 1.
    pub const FROM_STAGE_1: u64 = 0b111;

    /// Whether memory with this attribute can be cacheable.
    #[must_use]
    #[inline]
    pub const fn is_cacheable(attr: u64) -> bool {
        attr == WRITE_BACK || attr == FROM_STAGE_1
    }
}

/// Output address bits 47:12, in place.
const ADDRESS_47_12: u64 = 0x0000_FFFF_FFFF_F000;
/// With LPA2: output address bits 49:12, in place.
const ADDRESS_49_12: u64 = 0x0003_FFFF_FFFF_F000;
/// With LPA2: output address bits 51:50 in descriptor bits 9:8.
const ADDRESS_51_50: u64 = 0x300;
const ADDRESS_51_50_UP: u32 = 42;

/// The descriptor bits that hold the output address.
#[must_use]
#[inline]
pub const fn address_mask(lpa2: bool) -> u64 {
    if lpa2 {
        ADDRESS_49_12 | ADDRESS_51_50
    } else {
        ADDRESS_47_12
    }
}

/// Packs an output address into descriptor positions. The address is 4 KiB aligned and has no more bits than the
/// format.
#[must_use]
#[inline]
pub const fn pack_address(pa: u64, lpa2: bool) -> u64 {
    if lpa2 {
        pa & ADDRESS_49_12 | pa >> ADDRESS_51_50_UP & ADDRESS_51_50
    } else {
        pa & ADDRESS_47_12
    }
}

/// The output address of a descriptor.
#[must_use]
#[inline]
pub const fn unpack_address(descriptor: u64, lpa2: bool) -> u64 {
    if lpa2 {
        descriptor & ADDRESS_49_12 | (descriptor & ADDRESS_51_50) << ADDRESS_51_50_UP
    } else {
        descriptor & ADDRESS_47_12
    }
}

/// The low two bits of a valid leaf descriptor at `level`: a page or a block.
#[must_use]
#[inline]
pub const fn leaf_type(level: Level) -> u64 {
    if level == PAGE_LEVEL {
        field::VALID | field::TABLE_OR_PAGE
    } else {
        field::VALID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_sizes() {
        assert_eq!(entry_size(3), 4 << 10);
        assert_eq!(entry_size(2), 2 << 20);
        assert_eq!(entry_size(1), 1 << 30);
        assert_eq!(entry_size(0), 512 << 30);
        assert_eq!(entry_size(-1), 256 << 40);
        assert_eq!((entries(-1), entries(0)), (16, 512));
    }

    #[test]
    fn alignment_needs_a_level() {
        assert!(is_aligned(0x20_0000, 2));
        assert!(!is_aligned(0x20_1000, 2));
        assert!(is_aligned(0, -1));
        assert!(!is_aligned(0, -2));
        assert!(!is_aligned(0, 4));
        assert!(!is_aligned(0, i64::MIN));
        assert!(!is_aligned(0, 256));
    }

    #[test]
    fn addresses_survive_packing() {
        for pa in [0, 0x1000, 0xFFFF_FFFF_F000] {
            assert_eq!(unpack_address(pack_address(pa, false), false), pa);
            assert_eq!(unpack_address(pack_address(pa, true), true), pa);
        }
        let high = 0x000F_FFFF_FFFF_F000;
        assert_eq!(pack_address(high, true), 0x0003_FFFF_FFFF_F300);
        assert_eq!(unpack_address(0x0003_FFFF_FFFF_F300, true), high);
    }
}
