//! Granule protection tables (FEAT_RME, Arm architecture reference manual, chapter "Granule Protection Check").
//!
//! A table of level 0 has one entry for each span of `2^L0GPTSZ` bytes, a block or a pointer to a table of level 1. An
//! entry of level 1 in granules form holds the protection of sixteen consecutive granules. Only the 4 KiB granule size
//! and a span of 1 GiB are described here.

/// log2 of the bytes that one entry of level 0 covers (GPCCR_EL3.L0GPTSZ = 0).
pub const L0_SHIFT: u32 = 30;
/// log2 of the size of a granule (GPCCR_EL3.PGS = 0).
pub const GRANULE_SHIFT: u32 = 12;
/// Granules that one entry of level 1 covers.
pub const GRANULES_PER_ENTRY: u64 = 16;
/// Entries of a level 1 table.
pub const L1_ENTRIES: usize = 1 << (L0_SHIFT - GRANULE_SHIFT - 4);
/// Size and alignment of a level 1 table in bytes.
pub const L1_BYTES: u64 = 8 * L1_ENTRIES as u64;

const TYPE_BLOCK: u64 = 0b0001;
const TYPE_TABLE: u64 = 0b0011;
const TABLE_ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;

/// Granule protection information: which physical address spaces reach a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Gpi {
    /// No access at all.
    None = 0x0,
    /// Secure only.
    Secure = 0x8,
    /// Non-secure only.
    NonSecure = 0x9,
    /// Root only.
    Root = 0xA,
    /// Realm only.
    Realm = 0xB,
    /// Every physical address space.
    Any = 0xF,
}

impl Gpi {
    /// The value that four bits stand for; `None` if they are reserved.
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u64) -> Option<Self> {
        match bits {
            0x0 => Some(Self::None),
            0x8 => Some(Self::Secure),
            0x9 => Some(Self::NonSecure),
            0xA => Some(Self::Root),
            0xB => Some(Self::Realm),
            0xF => Some(Self::Any),
            _ => None,
        }
    }
}

/// An entry of a level 0 table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L0Entry {
    /// One protection for the whole span.
    Block(Gpi),
    /// Physical address of a level 1 table, a multiple of [`L1_BYTES`].
    Table(u64),
}

impl L0Entry {
    /// The descriptor.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Block(gpi) => TYPE_BLOCK | (gpi as u64) << 4,
            Self::Table(address) => TYPE_TABLE | (address & TABLE_ADDRESS),
        }
    }

    /// What a descriptor means; `None` if it is invalid, so that a walk over it would fault.
    #[must_use]
    #[inline]
    pub const fn decode(descriptor: u64) -> Option<Self> {
        if descriptor & 0xF == TYPE_TABLE {
            if descriptor & !(TABLE_ADDRESS | 0xF) != 0
                || descriptor & (L1_BYTES - 1) & TABLE_ADDRESS != 0
            {
                return None;
            }
            return Some(Self::Table(descriptor & TABLE_ADDRESS));
        }
        if descriptor & !0xF0 == TYPE_BLOCK {
            return match Gpi::from_bits(descriptor >> 4) {
                Some(gpi) => Some(Self::Block(gpi)),
                None => None,
            };
        }
        None
    }
}

/// An entry of a level 1 table in granules form: the protection of sixteen granules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granules(pub u64);

impl Granules {
    /// Sixteen granules with the same protection.
    #[must_use]
    pub const fn all(gpi: Gpi) -> Self {
        Self(0x1111_1111_1111_1111 * gpi as u64)
    }

    /// Which of the sixteen the granule at `address` is.
    #[must_use]
    #[inline]
    pub const fn slot(address: u64) -> u32 {
        ((address >> GRANULE_SHIFT) % GRANULES_PER_ENTRY) as u32
    }

    /// The protection of one of the granules; `None` if its value is reserved.
    #[must_use]
    #[inline]
    pub const fn get(self, slot: u32) -> Option<Gpi> {
        Gpi::from_bits(self.0 >> (4 * slot) & 0xF)
    }

    /// The same entry with another protection for one granule.
    #[must_use]
    #[inline]
    pub const fn with(self, slot: u32, gpi: Gpi) -> Self {
        let shift = 4 * slot;
        Self(self.0 & !(0xF << shift) | (gpi as u64) << shift)
    }
}

/// A physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// Secure.
    Secure,
    /// Non-secure.
    NonSecure,
    /// Root.
    Root,
    /// Realm.
    Realm,
}

impl AddressSpace {
    /// Bits 63 (NS) and 62 (NSE) by which an operand of `DC CIPAPA` names the address space.
    #[must_use]
    #[inline]
    pub const fn bits(self) -> u64 {
        match self {
            Self::Secure => 0,
            Self::NonSecure => 1 << 63,
            Self::Root => 1 << 62,
            Self::Realm => 1 << 63 | 1 << 62,
        }
    }

    /// Whether a granule protected by `gpi` is reached through this address space.
    #[must_use]
    #[inline]
    pub const fn reaches(self, gpi: Gpi) -> bool {
        matches!(
            (self, gpi),
            (_, Gpi::Any)
                | (Self::Secure, Gpi::Secure)
                | (Self::NonSecure, Gpi::NonSecure)
                | (Self::Root, Gpi::Root)
                | (Self::Realm, Gpi::Realm)
        )
    }
}

/// The size of the protected space: GPCCR_EL3.PPS and log2 of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectedSpace {
    /// GPCCR_EL3.PPS.
    pub pps: u64,
    /// log2 of its bytes.
    pub shift: u32,
}

impl ProtectedSpace {
    /// 4 GiB.
    pub const GIB_4: Self = Self {
        pps: 0b000,
        shift: 32,
    };
    /// 64 GiB.
    pub const GIB_64: Self = Self {
        pps: 0b001,
        shift: 36,
    };
    /// 1 TiB.
    pub const TIB_1: Self = Self {
        pps: 0b010,
        shift: 40,
    };

    /// Entries of the level 0 table that protects it.
    #[must_use]
    pub const fn l0_entries(self) -> usize {
        1 << (self.shift - L0_SHIFT)
    }
}

/// GPCCR_EL3 with inner shareable, write-through cacheable table walks and 4 KiB granules: as the tables are written.
#[must_use]
pub const fn gpccr(space: ProtectedSpace, enabled: bool) -> u64 {
    const IRGN_WT: u64 = 0b10 << 8;
    const ORGN_WT: u64 = 0b10 << 10;
    const SH_INNER: u64 = 0b11 << 12;
    const GPC: u64 = 1 << 16;
    space.pps | IRGN_WT | ORGN_WT | SH_INNER | if enabled { GPC } else { 0 }
}

/// Operand of `TLBI RPALOS` for the single granule at `address`.
#[must_use]
#[inline]
pub const fn tlbi_granule(address: u64) -> u64 {
    address >> GRANULE_SHIFT & 0xFF_FFFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_have_the_architected_encodings() {
        assert_eq!(L0Entry::Block(Gpi::Any).encode(), 0xF1);
        assert_eq!(L0Entry::Block(Gpi::NonSecure).encode(), 0x91);
        assert_eq!(L0Entry::Table(0x0E10_0000).encode(), 0x0E10_0003);
        assert_eq!(Granules::all(Gpi::Root).0, 0xAAAA_AAAA_AAAA_AAAA);
        assert_eq!(
            Granules::all(Gpi::NonSecure).with(3, Gpi::Realm).0,
            0x9999_9999_9999_B999
        );
        assert_eq!(Granules::slot(0x4000_F000), 15);
        assert_eq!(L1_BYTES, 128 * 1024);
    }

    #[test]
    fn reserved_descriptors_are_invalid() {
        assert_eq!(L0Entry::decode(0xF1), Some(L0Entry::Block(Gpi::Any)));
        assert_eq!(
            L0Entry::decode(0x0E10_0003),
            Some(L0Entry::Table(0x0E10_0000))
        );
        assert_eq!(L0Entry::decode(0x0), None);
        assert_eq!(L0Entry::decode(0x11), None, "reserved protection");
        assert_eq!(L0Entry::decode(0x1F1), None, "reserved bits of a block");
        assert_eq!(L0Entry::decode(0x0E10_1003), None, "unaligned table");
        assert_eq!(
            L0Entry::decode(1 << 63 | 0x0E10_0003),
            None,
            "reserved bits of a table"
        );
        assert_eq!(Granules(0x7).get(0), None);
    }

    #[test]
    fn control_values() {
        assert_eq!(gpccr(ProtectedSpace::TIB_1, true), 0x0001_3A02);
        assert_eq!(gpccr(ProtectedSpace::TIB_1, false), 0x0000_3A02);
        assert_eq!(ProtectedSpace::TIB_1.l0_entries(), 1024);
        assert_eq!(tlbi_granule(0x12_3456_7000), 0x12_34567);
    }

    #[test]
    fn each_address_space_reaches_its_own_and_any() {
        use AddressSpace::*;
        for space in [Secure, NonSecure, Root, Realm] {
            assert!(space.reaches(Gpi::Any));
            assert!(!space.reaches(Gpi::None));
            let own = [Gpi::Secure, Gpi::NonSecure, Gpi::Root, Gpi::Realm];
            assert_eq!(own.iter().filter(|&&gpi| space.reaches(gpi)).count(), 1);
        }
    }
}
