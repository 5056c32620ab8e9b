//! Granule protection checks: the walk of the table that the root monitor built.
//!
//! Written from the architecture (Arm ARM DDI 0487, D9 "The Granule Protection Check Mechanism") and not
//! from the root monitor, so that a descriptor which the root monitor gets wrong fails here as it would on
//! hardware. Only what the root monitor uses is accepted: 4 KiB granules (PGS = 0).

use std::sync::atomic::{AtomicU64, Ordering};

/// A physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhysicalAddressSpace {
    /// Secure.
    Secure,
    /// Non-secure: what the host may touch.
    NonSecure,
    /// Root: what only EL3 may touch.
    Root,
    /// Realm: what the Realm Management Monitor and realms may touch.
    Realm,
}

/// Granule protection information, the four bits that a granule has in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gpi(pub u8);

impl Gpi {
    /// No access.
    pub const NONE: Self = Self(0x0);
    /// Secure.
    pub const SECURE: Self = Self(0x8);
    /// Non-secure.
    pub const NON_SECURE: Self = Self(0x9);
    /// Root.
    pub const ROOT: Self = Self(0xA);
    /// Realm.
    pub const REALM: Self = Self(0xB);
    /// Any physical address space.
    pub const ANY: Self = Self(0xF);

    /// Whether the encoding is one that a machine without later extensions accepts.
    fn is_valid(self) -> bool {
        matches!(
            self,
            Self::NONE | Self::SECURE | Self::NON_SECURE | Self::ROOT | Self::REALM | Self::ANY
        )
    }

    /// Whether an access in `space` is permitted.
    pub fn permits(self, space: PhysicalAddressSpace) -> bool {
        match self {
            Self::ANY => true,
            Self::SECURE => space == PhysicalAddressSpace::Secure,
            Self::NON_SECURE => space == PhysicalAddressSpace::NonSecure,
            Self::ROOT => space == PhysicalAddressSpace::Root,
            Self::REALM => space == PhysicalAddressSpace::Realm,
            _ => false,
        }
    }
}

/// Why a granule protection check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtectionFault {
    /// The table says that this physical address space has no access (a granule protection fault).
    Denied {
        /// What the table says about the granule.
        gpi: Gpi,
    },
    /// The table itself is wrong: a fault that EL3 treats as fatal.
    Walk {
        /// 0 or 1: the level of the descriptor.
        level: u8,
        /// The descriptor.
        descriptor: u64,
    },
}

/// Where the table is and how it is cut; what `GPTBR_EL3` and `GPCCR_EL3` say on hardware.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    /// log2 of the protected physical address space.
    pub(crate) protected_bits: u32,
    /// log2 of the span of a level 0 descriptor.
    pub(crate) level0_bits: u32,
}

/// The table's words, by physical address: level 0 is an array, level 1 is found through its descriptors.
pub(crate) struct ProtectionTable<'a> {
    /// How the table is cut.
    pub(crate) geometry: Geometry,
    /// Level 0 descriptors.
    pub(crate) level0: &'a [AtomicU64],
    /// Level 1 storage.
    pub(crate) level1: &'a [AtomicU64],
    /// Physical address of `level1[0]`.
    pub(crate) level1_base: u64,
}

impl ProtectionTable<'_> {
    /// What the table says about the granule that contains `pa`.
    pub(crate) fn lookup(&self, pa: u64) -> Result<Gpi, ProtectionFault> {
        if pa >> self.geometry.protected_bits != 0 {
            return Ok(Gpi::NON_SECURE);
        }
        let index = (pa >> self.geometry.level0_bits) as usize;
        let descriptor = self.level0[index].load(Ordering::Acquire);
        let level0_fault = ProtectionFault::Walk {
            level: 0,
            descriptor,
        };
        match descriptor & 0xF {
            0b0001 if descriptor >> 8 == 0 => {
                let gpi = Gpi((descriptor >> 4) as u8 & 0xF);
                if gpi.is_valid() {
                    Ok(gpi)
                } else {
                    Err(level0_fault)
                }
            }
            0b0011 if descriptor >> 52 == 0 && descriptor & 0xFF0 == 0 => {
                let level1_bytes = 8u64 << (self.geometry.level0_bits - 16);
                let table = descriptor & 0x000F_FFFF_FFFF_F000;
                if !table.is_multiple_of(level1_bytes) {
                    return Err(level0_fault);
                }
                self.level1(table, pa)
            }
            _ => Err(level0_fault),
        }
    }

    fn level1(&self, table: u64, pa: u64) -> Result<Gpi, ProtectionFault> {
        let index = (pa & ((1 << self.geometry.level0_bits) - 1)) >> 16;
        let word = table
            .checked_sub(self.level1_base)
            .map(|offset| (offset / 8 + index) as usize);
        let Some(cell) = word.and_then(|word| self.level1.get(word)) else {
            return Err(ProtectionFault::Walk {
                level: 0,
                descriptor: table,
            });
        };
        let descriptor = cell.load(Ordering::Acquire);
        let fault = ProtectionFault::Walk {
            level: 1,
            descriptor,
        };
        let gpi = if descriptor & 0xF == 1 {
            let size = descriptor >> 8 & 3;
            if size == 0 || descriptor >> 10 != 0 {
                return Err(fault);
            }
            Gpi((descriptor >> 4) as u8 & 0xF)
        } else {
            if !(0..16).all(|i| Gpi((descriptor >> (4 * i)) as u8 & 0xF).is_valid()) {
                return Err(fault);
            }
            Gpi((descriptor >> (4 * (pa >> 12 & 0xF))) as u8 & 0xF)
        };
        if gpi.is_valid() { Ok(gpi) } else { Err(fault) }
    }

    /// Whether one descriptor says that all granules from `first` to `top` are Non-secure. `false` decides nothing.
    pub(crate) fn is_all_non_secure(&self, first: u64, top: u64) -> bool {
        const ALL: u64 = 0x9999_9999_9999_9999;
        let entry = self
            .level0
            .get((first >> self.geometry.level0_bits) as usize)
            .map(|cell| cell.load(Ordering::Acquire));
        let Some(descriptor) =
            entry.filter(|descriptor| descriptor & 0xF == 0b0011 && first >> 16 == (top - 1) >> 16)
        else {
            return false;
        };
        let index = (first & ((1 << self.geometry.level0_bits) - 1)) >> 16;
        let word = (descriptor & !0xFFF).wrapping_sub(self.level1_base) / 8 + index;
        self.level1
            .get(word as usize)
            .is_some_and(|cell| cell.load(Ordering::Acquire) == ALL)
    }

    /// The check that hardware makes in front of an access to `pa` in `space`.
    pub(crate) fn check(
        &self,
        pa: u64,
        space: PhysicalAddressSpace,
    ) -> Result<(), ProtectionFault> {
        let beyond = pa >> self.geometry.protected_bits != 0;
        let gpi = self.lookup(pa)?;
        if gpi.permits(space) && !(beyond && space != PhysicalAddressSpace::NonSecure) {
            Ok(())
        } else {
            Err(ProtectionFault::Denied { gpi })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        protected_bits: 32,
        level0_bits: 30,
    };
    const LEVEL1_BASE: u64 = 0x0E10_0000;

    fn table(level0: [u64; 4], first_descriptor: u64, check: impl Fn(ProtectionTable<'_>)) {
        let level0 = level0.map(AtomicU64::new);
        let level1: Vec<_> = (0..16384)
            .map(|_| AtomicU64::new(0x9999_9999_9999_9999))
            .collect();
        level1[0].store(first_descriptor, Ordering::Relaxed);
        check(ProtectionTable {
            geometry: GEOMETRY,
            level0: &level0,
            level1: &level1,
            level1_base: LEVEL1_BASE,
        });
    }

    #[test]
    fn a_granule_has_its_own_four_bits() {
        table(
            [0x91, LEVEL1_BASE | 3, 0xF1, 0xA1],
            0x9999_9999_9999_99B9,
            |table| {
                assert_eq!(table.lookup(0x4000_1fff), Ok(Gpi::REALM));
                assert_eq!(table.lookup(0x4000_0000), Ok(Gpi::NON_SECURE));
                let host = table.check(0x4000_1000, PhysicalAddressSpace::NonSecure);
                assert_eq!(host, Err(ProtectionFault::Denied { gpi: Gpi::REALM }));
                assert_eq!(
                    table.check(0x4000_1000, PhysicalAddressSpace::Realm),
                    Ok(())
                );
                assert_eq!(table.check(0x8000_0000, PhysicalAddressSpace::Root), Ok(()));
                assert!(
                    table
                        .check(0xC000_0000, PhysicalAddressSpace::NonSecure)
                        .is_err()
                );
            },
        );
    }

    #[test]
    fn reserved_encodings_are_walk_faults() {
        table(
            [0x31, LEVEL1_BASE | 3, 0x1_0091, 0x2],
            0x9999_9999_9999_9997,
            |table| {
                for pa in [0, 0x4000_0000, 0x8000_0000, 0xC000_0000] {
                    assert!(
                        matches!(table.lookup(pa), Err(ProtectionFault::Walk { .. })),
                        "{pa:#x}"
                    );
                }
                assert_eq!(table.lookup(0x4001_0000), Ok(Gpi::NON_SECURE));
            },
        );
    }

    #[test]
    fn contiguous_descriptors_need_a_size() {
        table([0x91, LEVEL1_BASE | 3, 0x91, 0x91], 0x1B1, |table| {
            assert_eq!(table.lookup(0x4000_5000), Ok(Gpi::REALM));
        });
        table([0x91, LEVEL1_BASE | 3, 0x91, 0x91], 0x0B1, |table| {
            assert!(table.lookup(0x4000_5000).is_err());
        });
    }

    #[test]
    fn beyond_the_protected_space_only_non_secure_passes() {
        table([0x91, LEVEL1_BASE | 3, 0x91, 0x91], 0, |table| {
            assert_eq!(
                table.check(1 << 32, PhysicalAddressSpace::NonSecure),
                Ok(())
            );
            assert!(table.check(1 << 32, PhysicalAddressSpace::Realm).is_err());
        });
    }
}
