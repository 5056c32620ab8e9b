//! The walk of stage 2 translation tables, as hardware does it for a realm: no cache of translations, every
//! descriptor read from physical memory in the Realm physical address space.
//!
//! Written from the architecture (Arm ARM DDI 0487, D8): 4 KiB granule, start levels -1 to 2, concatenated
//! tables, 52-bit output addresses with `VTCR_EL2.DS`.

use crate::protection::PhysicalAddressSpace;

/// What an access wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Fetch,
}

/// Where an intermediate physical address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The physical address.
    pub(crate) pa: u64,
    /// Realm, or Non-secure for the unprotected half.
    pub(crate) space: PhysicalAddressSpace,
}

/// Why there is no translation: the fault status code, as in `ESR_EL2.DFSC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The fault status code.
    pub(crate) status: u64,
}

impl Fault {
    fn translation(level: i32) -> Self {
        Self {
            status: if level < 0 {
                0b10_1011
            } else {
                0b00_0100 | level as u64
            },
        }
    }

    fn access_flag(level: i32) -> Self {
        Self {
            status: 0b00_1000 | level as u64,
        }
    }

    fn permission(level: i32) -> Self {
        Self {
            status: 0b00_1100 | level as u64,
        }
    }

    fn address_size(level: i32) -> Self {
        Self {
            status: if level < 0 { 0b10_1001 } else { level as u64 },
        }
    }

    fn protection_on_walk(level: i32) -> Self {
        Self {
            status: if level < 0 {
                0b10_0011
            } else {
                0b10_0100 | level as u64
            },
        }
    }
}

/// The controls of the translation regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Regime {
    /// `VTTBR_EL2`.
    pub(crate) vttbr: u64,
    /// `VTCR_EL2`.
    pub(crate) vtcr: u64,
}

const PHYSICAL_BITS: [u32; 8] = [32, 36, 40, 42, 44, 48, 52, 56];

impl Regime {
    fn ipa_bits(self) -> u32 {
        64 - (self.vtcr & 0x3F) as u32
    }

    fn ds(self) -> bool {
        self.vtcr >> 32 & 1 == 1
    }

    /// The level at which the walk begins (the table of `VTCR_EL2.SL0` and `SL2` for 4 KiB granules).
    fn start_level(self) -> Option<i32> {
        let sl2 = self.vtcr >> 33 & 1;
        match (sl2, self.vtcr >> 6 & 3) {
            (1, 0) if self.ds() => Some(-1),
            (0, 0) => Some(2),
            (0, 1) => Some(1),
            (0, 2) => Some(0),
            (0, 3) => Some(3),
            _ => None,
        }
    }

    fn output_bits(self) -> u32 {
        PHYSICAL_BITS[(self.vtcr >> 16 & 7) as usize].min(if self.ds() { 52 } else { 48 })
    }

    /// How many address bits the table at the start level resolves, with concatenation: between 1 and 13.
    fn start_bits(self, level: i32) -> Option<u32> {
        let bits = self.ipa_bits().checked_sub(shift(level))?;
        (1..=13).contains(&bits).then_some(bits)
    }

    fn base(self, start_bits: u32) -> u64 {
        let mut base = self.vttbr & 0x0000_FFFF_FFFF_FFFE;
        if self.ds() {
            base = base & !0x3C | (self.vttbr >> 2 & 0xF) << 48;
        }
        base & !((8u64 << start_bits) - 1)
    }

    fn output(self, descriptor: u64) -> u64 {
        let low = descriptor & 0x0000_FFFF_FFFF_F000;
        if self.ds() {
            descriptor & 0x0003_FFFF_FFFF_F000 | (descriptor >> 8 & 3) << 50
        } else {
            low
        }
    }

    /// Translates `ipa`. `read` loads the doubleword at a physical address in the Realm physical address space, or
    /// says that granule protection forbids it.
    ///
    /// # Panics
    ///
    /// If the controls are ones that no hardware accepts: the monitor programmed `VTCR_EL2` wrong.
    pub(crate) fn translate(
        self,
        ipa: u64,
        access: Access,
        read: impl Fn(u64) -> Option<u64>,
    ) -> Result<Location, Fault> {
        let start = self
            .start_level()
            .unwrap_or_else(|| panic!("VTCR_EL2 {:#x} has no start level", self.vtcr));
        let start_bits = self.start_bits(start).unwrap_or_else(|| {
            panic!(
                "VTCR_EL2 {:#x}: the start level does not fit the address width",
                self.vtcr
            )
        });
        if ipa >> self.ipa_bits() != 0 {
            return Err(Fault::translation(0));
        }
        let mut table = self.base(start_bits);
        let mut level = start;
        let mut bits = start_bits;
        loop {
            let index = ipa >> shift(level) & ((1 << bits) - 1);
            let descriptor = read(table + 8 * index).ok_or(Fault::protection_on_walk(level))?;
            let is_page_or_table = match descriptor & 3 {
                0b11 => true,
                0b01 if (1..3).contains(&level) || (level == 0 && self.ds()) => false,
                _ => return Err(Fault::translation(level)),
            };
            let output = self.output(descriptor);
            if output >> self.output_bits() != 0 {
                return Err(Fault::address_size(level));
            }
            if level == 3 || !is_page_or_table {
                return leaf(descriptor, output, level, ipa, access);
            }
            table = output;
            level += 1;
            bits = 9;
        }
    }
}

/// How far an address is shifted to get the index of a table at `level`.
fn shift(level: i32) -> u32 {
    (12 + 9 * (3 - level)) as u32
}

fn leaf(
    descriptor: u64,
    output: u64,
    level: i32,
    ipa: u64,
    access: Access,
) -> Result<Location, Fault> {
    if descriptor >> 10 & 1 == 0 {
        return Err(Fault::access_flag(level));
    }
    let non_secure = descriptor >> 55 & 1 == 1;
    let permitted = match access {
        Access::Read => descriptor >> 6 & 1 == 1,
        Access::Write => descriptor >> 7 & 1 == 1,
        // XN[1:0] (bits 54:53): 0b00 both, 0b01 EL0 only, 0b10 neither, 0b11 EL1 only. Realms never fetch from
        // Non-secure memory.
        Access::Fetch => {
            descriptor >> 6 & 1 == 1 && matches!(descriptor >> 53 & 3, 0 | 3) && !non_secure
        }
    };
    if !permitted {
        return Err(Fault::permission(level));
    }
    let offset = (1u64 << shift(level)) - 1;
    let space = if non_secure {
        PhysicalAddressSpace::NonSecure
    } else {
        PhysicalAddressSpace::Realm
    };
    Ok(Location {
        pa: output & !offset | ipa & offset,
        space,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// 40 bits, start level 1 with two concatenated tables at 0x4200_0000, 48-bit output.
    const REGIME: Regime = Regime {
        vttbr: 0x0001_0000_4200_0000,
        vtcr: 24 | 1 << 6 | 5 << 16,
    };
    const PAGE: u64 = 0x7FF;

    fn walk(words: &[(u64, u64)], ipa: u64, access: Access) -> Result<Location, Fault> {
        let words: BTreeMap<_, _> = words.iter().copied().collect();
        REGIME.translate(ipa, access, |pa| Some(words.get(&pa).copied().unwrap_or(0)))
    }

    #[test]
    fn three_levels_to_a_page() {
        let words = [
            (0x4200_0008, 0x4300_0003),
            (0x4300_0000, 0x4400_0003),
            (0x4400_0010, 0x5000_0000 | PAGE),
        ];
        let found = walk(&words, 0x4000_2ABC, Access::Write);
        assert_eq!(
            found,
            Ok(Location {
                pa: 0x5000_0ABC,
                space: PhysicalAddressSpace::Realm
            })
        );
        assert_eq!(
            walk(&words, 0x4000_3000, Access::Read),
            Err(Fault { status: 7 })
        );
        assert_eq!(
            walk(&words, 0x4020_0000, Access::Read),
            Err(Fault { status: 6 })
        );
        assert_eq!(
            walk(&words, 0x8000_0000, Access::Read),
            Err(Fault { status: 5 })
        );
    }

    #[test]
    fn the_second_start_table_covers_the_unprotected_half() {
        let words = [(0x4200_1000, 1 << 55 | 0x8000_0000 | (PAGE & !2))];
        let found = walk(&words, 1 << 39 | 0x123_4568, Access::Read);
        assert_eq!(
            found,
            Ok(Location {
                pa: 0x8123_4568,
                space: PhysicalAddressSpace::NonSecure
            })
        );
        assert_eq!(
            walk(&words, 1 << 39, Access::Fetch),
            Err(Fault { status: 0x0D })
        );
    }

    #[test]
    fn faults_have_their_own_codes() {
        let block = |bits: u64| [(0x4200_0008, 0x8000_0000 | bits)];
        assert_eq!(
            walk(&block(0x3C1), 0x4000_0000, Access::Read),
            Err(Fault { status: 0x09 })
        );
        assert_eq!(
            walk(&block(0x741), 0x4000_0000, Access::Write),
            Err(Fault { status: 0x0D })
        );
        assert_eq!(walk(&[], 1 << 40, Access::Read), Err(Fault { status: 4 }));
        let protected = REGIME.translate(0, Access::Read, |_| None);
        assert_eq!(protected, Err(Fault { status: 0x25 }));
        let narrow = Regime {
            vtcr: 24 | 1 << 6,
            ..REGIME
        };
        let outside = narrow.translate(0, Access::Read, |_| Some(1 << 40 | PAGE));
        assert_eq!(outside, Err(Fault { status: 1 }));
    }

    #[test]
    fn level_minus_one_needs_ds() {
        let regime = Regime {
            vttbr: 0x4200_0000,
            vtcr: 12 | 1 << 33 | 1 << 32 | 6 << 16,
        };
        let read = |pa| Some(if pa == 0x4200_0000 { 0x4300_0003 } else { 0 });
        assert_eq!(
            regime.translate(0, Access::Read, read),
            Err(Fault { status: 4 })
        );
        let empty = regime.translate(0, Access::Read, |_| Some(0));
        assert_eq!(empty, Err(Fault { status: 0x2B }));
    }
}
