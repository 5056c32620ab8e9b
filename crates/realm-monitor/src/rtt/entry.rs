//! Entries of realm translation tables.
//!
//! The hardware reads the same word. A word whose bit 0 is set is a stage 2 descriptor. In a word whose bit 0 is
//! clear the hardware ignores everything else, and we keep there:
//!
//! | bits | meaning |
//! |---|---|
//! | 1 | set: ASSIGNED, the output address is in its usual position; clear: UNASSIGNED |
//! | 3:2 | RIPAS: 0 EMPTY, 1 RAM (UNASSIGNED only), 2 DESTROYED |
//!
//! Bit 56, which the hardware ignores in all words, is a mark that is no part of the entry: see `OTHERS_LIVE`.
//!
//! So zero is UNASSIGNED with RIPAS EMPTY, and in the unprotected half of the space, where there is no RIPAS, it is
//! UNASSIGNED_NS: a table of zeros is what a new realm needs. An entry is *live* if one of the bits 1:0 is set.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use aarch64_formats::stage2::{self, Level, PAGE_LEVEL, field, mem_attr};
use cca_abi::rmi::Ripas;

const ASSIGNED: u64 = 1 << 1;
const RIPAS_SHIFT: u32 = 2;
const RIPAS_MASK: u64 = 0b11 << RIPAS_SHIFT;

/// Entries of a table are looked through in groups of so many.
pub(crate) const GROUP: usize = 16;

/// In the first entry of a group: another one of the group may be live. Set when one of them becomes live, and left when
/// it ceases to be, so that a sparse table is looked through a group at a time.
pub(crate) const OTHERS_LIVE: u64 = field::SOFTWARE;

/// The bits of a descriptor that the host chooses for unprotected memory, beside the address.
const HOST_ATTRIBUTES: u64 = 0b111 << field::MEM_ATTR_SHIFT | field::S2AP_READ | field::S2AP_WRITE;

/// Private memory of a realm: write-back cacheable, all accesses permitted.
const PRIVATE: u64 = mem_attr::WRITE_BACK << field::MEM_ATTR_SHIFT
    | field::S2AP_READ
    | field::S2AP_WRITE
    | field::AF;

/// One entry of a table. What some bits mean depends on the level and on the format of the realm's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry(pub u64);

impl Entry {
    /// Set in live entries: one of these bits.
    pub(crate) const LIVE: u64 = field::VALID | ASSIGNED;

    /// The entry in a word of a table.
    #[must_use]
    #[inline]
    pub fn read(word: &AtomicU64) -> Self {
        Self(word.load(Relaxed) & !OTHERS_LIVE)
    }

    /// UNASSIGNED with a RIPAS.
    #[must_use]
    #[inline]
    pub const fn unassigned(ripas: Ripas) -> Self {
        Self((ripas as u64) << RIPAS_SHIFT)
    }

    /// UNASSIGNED_NS.
    #[must_use]
    #[inline]
    pub const fn unassigned_ns() -> Self {
        Self(0)
    }

    /// ASSIGNED with a RIPAS: valid if the RIPAS is RAM.
    #[must_use]
    #[inline]
    pub const fn assigned(ripas: Ripas, pa: u64, level: Level, lpa2: bool) -> Self {
        let address = stage2::pack_address(pa, lpa2);
        Self(match ripas {
            Ripas::Ram => {
                // With LPA2, VTCR_EL2 gives the shareability, and its bits belong to the address.
                let shareability = if lpa2 { 0 } else { field::SH_INNER };
                address | PRIVATE | shareability | stage2::leaf_type(level)
            }
            Ripas::Empty | Ripas::Destroyed => address | ASSIGNED | (ripas as u64) << RIPAS_SHIFT,
        })
    }

    /// TABLE.
    #[must_use]
    #[inline]
    pub const fn table(pa: u64, lpa2: bool) -> Self {
        Self(stage2::pack_address(pa, lpa2) | field::TABLE_OR_PAGE | field::VALID)
    }

    /// ASSIGNED_NS from a host-controlled descriptor that passed [`Entry::host_descriptor_is_valid`]: adds what the
    /// RMM decides (Non-secure output, never executable, access flag, shareability).
    #[must_use]
    pub const fn assigned_ns(desc: u64, level: Level, lpa2: bool) -> Self {
        let shareability = if lpa2 {
            0
        } else if mem_attr::is_cacheable(desc >> field::MEM_ATTR_SHIFT & 0b111) {
            field::SH_INNER
        } else {
            field::SH_OUTER
        };
        Self(desc | shareability | field::NS | field::XN | field::AF | stage2::leaf_type(level))
    }

    /// Whether the host may pass this descriptor to RMI_RTT_MAP_UNPROTECTED: nothing but an address, a memory
    /// attribute that is not reserved and access permissions. Whether the address fits the level and the format is
    /// not looked at.
    #[must_use]
    pub const fn host_descriptor_is_valid(desc: u64, lpa2: bool) -> bool {
        desc & !(Self::host_address_mask(lpa2) | HOST_ATTRIBUTES) == 0
            && (desc >> field::MEM_ATTR_SHIFT) & 0b111 != mem_attr::RESERVED
    }

    /// The address in a descriptor of the host.
    #[must_use]
    pub const fn host_descriptor_address(desc: u64, lpa2: bool) -> u64 {
        if lpa2 {
            stage2::unpack_address(desc, true)
        } else {
            desc & Self::host_address_mask(false)
        }
    }

    /// Bits 49:12 are an address to the host in both formats; without LPA2, bits 49:48 make it too big.
    const fn host_address_mask(lpa2: bool) -> u64 {
        if lpa2 {
            stage2::address_mask(true)
        } else {
            stage2::address_mask(true) & !0x300
        }
    }

    /// Whether the entry points to a table.
    #[must_use]
    #[inline]
    pub const fn is_table(self, level: Level) -> bool {
        level < PAGE_LEVEL
            && self.0 & (field::VALID | field::TABLE_OR_PAGE)
                == (field::VALID | field::TABLE_OR_PAGE)
    }

    /// Whether the entry is UNASSIGNED or UNASSIGNED_NS.
    #[must_use]
    #[inline]
    pub const fn is_unassigned(self) -> bool {
        self.0 & Self::LIVE == 0
    }

    /// Whether the entry holds a physical address: ASSIGNED, ASSIGNED_NS or TABLE.
    #[must_use]
    #[inline]
    pub const fn is_live(self) -> bool {
        !self.is_unassigned()
    }

    /// Whether the entry is ASSIGNED_NS.
    #[must_use]
    #[inline]
    pub const fn is_assigned_ns(self, level: Level) -> bool {
        self.0 & field::VALID != 0 && self.0 & field::NS != 0 && !self.is_table(level)
    }

    /// Whether the entry is ASSIGNED (with any RIPAS).
    #[must_use]
    #[inline]
    pub const fn is_assigned(self, level: Level) -> bool {
        self.is_live() && !self.is_table(level) && !self.is_assigned_ns(level)
    }

    /// Whether the hardware translates with this entry, or walks on through it.
    #[must_use]
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.0 & field::VALID != 0
    }

    /// RIPAS of an UNASSIGNED or ASSIGNED entry; EMPTY for all others.
    #[must_use]
    #[inline]
    pub const fn ripas(self, level: Level) -> Ripas {
        if self.is_valid() {
            if self.is_assigned(level) {
                Ripas::Ram
            } else {
                Ripas::Empty
            }
        } else {
            match (self.0 & RIPAS_MASK) >> RIPAS_SHIFT {
                0 => Ripas::Empty,
                1 => Ripas::Ram,
                _ => Ripas::Destroyed,
            }
        }
    }

    /// The physical address in a live entry.
    #[must_use]
    #[inline]
    pub const fn address(self, lpa2: bool) -> u64 {
        stage2::unpack_address(self.0, lpa2)
    }

    /// The same HIPAS (UNASSIGNED or ASSIGNED) with another RIPAS.
    #[must_use]
    #[inline]
    pub const fn with_ripas(self, ripas: Ripas, level: Level, lpa2: bool) -> Self {
        if self.is_unassigned() {
            Self::unassigned(ripas)
        } else {
            Self::assigned(ripas, self.address(lpa2), level, lpa2)
        }
    }

    /// What the entry is to the host that mapped it: address, memory attribute and permissions of an ASSIGNED_NS
    /// entry, in descriptor positions.
    #[must_use]
    pub const fn host_descriptor(self, lpa2: bool) -> u64 {
        self.0 & (stage2::address_mask(lpa2) | HOST_ATTRIBUTES)
    }

    /// Entry `index` of a table at `level` that says the same as this non-table entry of the level above.
    #[must_use]
    #[inline]
    pub const fn piece(self, index: usize, level: Level) -> Self {
        if self.is_unassigned() {
            return self;
        }
        // A block is aligned, so the offsets of its pieces do not carry into other fields.
        let moved = self.0 + ((index as u64) << stage2::entry_shift(level));
        Self(if self.is_valid() {
            moved & !0b11 | stage2::leaf_type(level)
        } else {
            moved
        })
    }

    /// The block at `level` that says the same as a table below it whose first entry is this leaf: the inverse of
    /// [`Entry::piece`] with index 0.
    #[must_use]
    pub const fn block(self, level: Level) -> Self {
        if self.is_valid() {
            Self(self.0 & !0b11 | stage2::leaf_type(level))
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PA: u64 = 0x8060_0000;

    #[test]
    fn assigned_ram_is_private_memory() {
        let page = Entry::assigned(Ripas::Ram, PA, 3, false);
        assert_eq!(page.0, PA | 0x7DB);
        assert_eq!(Entry::assigned(Ripas::Ram, PA, 2, false).0, PA | 0x7D9);
        assert_eq!(Entry::assigned(Ripas::Ram, PA, 3, true).0, PA | 0x4DB);
        assert!(
            page.is_assigned(3) && page.is_valid() && !page.is_assigned_ns(3) && !page.is_table(3)
        );
        assert_eq!((page.ripas(3), page.address(false)), (Ripas::Ram, PA));
    }

    #[test]
    fn assigned_without_ram_is_invalid() {
        for lpa2 in [false, true] {
            for ripas in [Ripas::Empty, Ripas::Destroyed] {
                let high = if lpa2 { 0xF_0000_0000_0000 } else { 0 };
                let entry = Entry::assigned(ripas, PA | high, 2, lpa2);
                assert!(
                    !entry.is_valid()
                        && entry.is_assigned(2)
                        && entry.is_live()
                        && !entry.is_table(2)
                );
                assert_eq!((entry.ripas(2), entry.address(lpa2)), (ripas, PA | high));
                let ram = entry.with_ripas(Ripas::Ram, 2, lpa2);
                assert_eq!(ram, Entry::assigned(Ripas::Ram, PA | high, 2, lpa2));
                assert_eq!(ram.with_ripas(ripas, 2, lpa2), entry);
            }
        }
    }

    #[test]
    fn unassigned_keeps_its_ripas() {
        assert_eq!(Entry::unassigned(Ripas::Empty), Entry::default());
        for ripas in [Ripas::Empty, Ripas::Ram, Ripas::Destroyed] {
            let entry = Entry::unassigned(ripas);
            assert!(
                entry.is_unassigned()
                    && !entry.is_valid()
                    && !entry.is_assigned(3)
                    && !entry.is_table(1)
            );
            assert_eq!(entry.ripas(3), ripas);
            assert_eq!(entry.piece(7, 3), entry);
        }
    }

    #[test]
    fn tables_and_pages_differ_by_level() {
        let entry = Entry::table(PA, false);
        assert!(entry.is_table(2) && entry.is_table(-1) && !entry.is_table(3));
        assert!(!entry.is_assigned(2) && !entry.is_assigned_ns(2) && entry.is_live());
        assert_eq!(entry.ripas(2), Ripas::Empty);
        assert_eq!(
            Entry::table(0xF_0000_0000_0000 | PA, true).address(true),
            0xF_0000_0000_0000 | PA
        );
    }

    #[test]
    fn unprotected_entries_give_back_what_the_host_wrote() {
        let write_back = PA | 0b110 << 2 | 0b11 << 6;
        let device = PA | 0b001 << 2 | 0b01 << 6;
        let entry = Entry::assigned_ns(write_back, 3, false);
        assert_eq!(entry.0, PA | 0x00C0_0000_0000_07DB);
        assert!(entry.is_assigned_ns(3) && !entry.is_assigned(3));
        assert_eq!(
            (entry.host_descriptor(false), entry.ripas(3)),
            (write_back, Ripas::Empty)
        );
        let entry = Entry::assigned_ns(device, 2, false);
        assert_eq!(entry.0, PA | 0x00C0_0000_0000_0645);
        assert_eq!(entry.host_descriptor(false), device);
        let high = Entry::assigned_ns(0x300 | device, 3, true);
        assert_eq!(high.host_descriptor(true), 0x300 | device);
        assert_eq!(high.address(true), PA | 3 << 50);
    }

    #[test]
    fn only_host_fields_are_valid_from_the_host() {
        assert!(Entry::host_descriptor_is_valid(
            PA | 0b111 << 2 | 0b11 << 6,
            false
        ));
        assert!(!Entry::host_descriptor_is_valid(PA | 0b100 << 2, false));
        assert!(!Entry::host_descriptor_is_valid(PA | 0x300, false));
        assert!(Entry::host_descriptor_is_valid(PA | 0x300, true));
        for bit in [0, 1, 5, 10, 11, 50, 51, 54, 55, 63] {
            assert!(
                !Entry::host_descriptor_is_valid(PA | 1 << bit, true),
                "bit {bit}"
            );
        }
        assert_eq!(
            Entry::host_descriptor_address(1 << 48 | PA | 0xFF, false),
            1 << 48 | PA
        );
        assert_eq!(
            Entry::host_descriptor_address(PA | 0x3FF, true),
            3 << 50 | PA
        );
    }

    #[test]
    fn pieces_of_a_block() {
        let block = Entry::assigned(Ripas::Ram, PA, 2, false);
        assert_eq!(
            block.piece(511, 3),
            Entry::assigned(Ripas::Ram, PA + 511 * 0x1000, 3, false)
        );
        assert_eq!(block.piece(0, 3).block(2), block);
        let invalid = Entry::assigned(Ripas::Destroyed, PA, 2, true);
        assert_eq!(
            invalid.piece(5, 3),
            Entry::assigned(Ripas::Destroyed, PA + 0x5000, 3, true)
        );
        let big = Entry::assigned_ns(1 << 30 | 0xEC, 1, false);
        assert_eq!(
            big.piece(3, 2),
            Entry::assigned_ns(((1 << 30) + 3 * 0x20_0000) | 0xEC, 2, false)
        );
    }
}
