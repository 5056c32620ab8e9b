//! VTCR_EL2 and VTTBR_EL2: how a stage 2 translation is configured (Arm ARM D24.2, 4 KiB granule).

use crate::stage2::{Level, entry_shift};

/// Most tables that can be concatenated at the starting level.
pub const MAX_START_TABLES: u32 = 16;

const IRGN0_WRITE_BACK: u64 = 0b01 << 8;
const ORGN0_WRITE_BACK: u64 = 0b01 << 10;
const SH0_INNER: u64 = 0b11 << 12;
const PS_SHIFT: u32 = 16;
const VS_16_BITS: u64 = 1 << 19;
const RES1: u64 = 1 << 31;
const DS: u64 = 1 << 32;
const SL2: u64 = 1 << 33;

/// Number of IPA bits that one table at `level` resolves, with everything below it.
#[must_use]
pub const fn table_bits(level: Level) -> u32 {
    if level < 0 {
        52
    } else {
        entry_shift(level) + 9
    }
}

/// How many starting-level tables an IPA space needs: the architecture's rule for 4 KiB granules.
///
/// `None` if no walk can start at `level` for this width: the level does not exist (-1 needs LPA2), the tables
/// would be more than 16, or the width leaves the starting table with less than one entry to resolve.
#[must_use]
pub const fn start_tables(ipa_bits: u32, level: i64, lpa2: bool) -> Option<u32> {
    let lowest = if lpa2 { -1 } else { 0 };
    if level < lowest || level > 3 {
        return None;
    }
    let level = level as Level;
    let widest = if lpa2 { 52 } else { 48 };
    if ipa_bits > widest || ipa_bits <= entry_shift(level) {
        return None;
    }
    let bits = table_bits(level);
    if ipa_bits <= bits {
        return Some(1);
    }
    let tables = 1_u32 << (ipa_bits - bits);
    if tables <= MAX_START_TABLES {
        Some(tables)
    } else {
        None
    }
}

/// VTCR_EL2 for an IPA space of `ipa_bits` bits whose walk starts at `level`.
///
/// Tables are inner and outer write-back cacheable and inner shareable; hardware does not manage access flags or
/// dirty state.
#[must_use]
pub const fn vtcr(ipa_bits: u32, level: Level, lpa2: bool, pa_bits: u32, vmid16: bool) -> u64 {
    let (sl0, sl2) = match level {
        3 => (3, 0),
        2 => (0, 0),
        1 => (1, 0),
        0 => (2, 0),
        _ => (0, SL2),
    };
    (64 - ipa_bits) as u64
        | sl0 << 6
        | IRGN0_WRITE_BACK
        | ORGN0_WRITE_BACK
        | SH0_INNER
        | physical_size(pa_bits, lpa2) << PS_SHIFT
        | if vmid16 { VS_16_BITS } else { 0 }
        | RES1
        | if lpa2 { DS } else { 0 }
        | sl2
}

/// The encoding of a physical address size, as in VTCR_EL2.PS and ID_AA64MMFR0_EL1.PARange. Without LPA2, sizes
/// above 48 bits count as 48.
const fn physical_size(pa_bits: u32, lpa2: bool) -> u64 {
    match pa_bits {
        52.. if lpa2 => 6,
        48.. => 5,
        44..=47 => 4,
        42..=43 => 3,
        40..=41 => 2,
        36..=39 => 1,
        _ => 0,
    }
}

/// VTTBR_EL2: the first starting-level table and the VMID.
#[must_use]
pub const fn vttbr(table: u64, vmid: u16, lpa2: bool) -> u64 {
    let base = if lpa2 {
        table & 0x0000_FFFF_FFFF_FFC0 | (table >> 48 & 0xF) << 2
    } else {
        table & 0x0000_FFFF_FFFF_F000
    };
    (vmid as u64) << 48 | base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_tables_follow_the_rule() {
        let legal: &[(u32, i64, bool, u32)] = &[
            (22, 2, false, 1),
            (25, 3, false, 16),
            (30, 2, false, 1),
            (31, 2, false, 2),
            (32, 2, false, 4),
            (34, 2, false, 16),
            (31, 1, false, 1),
            (39, 1, false, 1),
            (40, 1, false, 2),
            (42, 1, false, 8),
            (43, 1, false, 16),
            (40, 0, false, 1),
            (48, 0, false, 1),
            (48, 0, true, 1),
            (49, 0, true, 2),
            (52, 0, true, 16),
            (49, -1, true, 1),
            (52, -1, true, 1),
        ];
        for &(bits, level, lpa2, tables) in legal {
            assert_eq!(
                start_tables(bits, level, lpa2),
                Some(tables),
                "{bits} bits from level {level}"
            );
        }
        let illegal: &[(u32, i64, bool)] = &[
            (26, 3, false),
            (35, 2, false),
            (21, 2, false),
            (30, 1, false),
            (44, 1, false),
            (39, 0, false),
            (49, 0, false),
            (53, 0, true),
            (48, -1, true),
            (52, -1, false),
            (40, -2, true),
            (40, 4, false),
        ];
        for &(bits, level, lpa2) in illegal {
            assert_eq!(
                start_tables(bits, level, lpa2),
                None,
                "{bits} bits from level {level}"
            );
        }
    }

    #[test]
    fn vtcr_of_a_usual_realm() {
        assert_eq!(vtcr(40, 1, false, 48, true), 0x800D_3558);
        assert_eq!(vtcr(52, -1, true, 52, false), 0x3_8006_350C);
    }

    #[test]
    fn vttbr_holds_table_and_vmid() {
        assert_eq!(vttbr(0x8000_2000, 0xABCD, false), 0xABCD_0000_8000_2000);
        assert_eq!(vttbr(0x000A_0000_8000_2000, 1, true), 0x0001_0000_8000_2028);
    }
}
