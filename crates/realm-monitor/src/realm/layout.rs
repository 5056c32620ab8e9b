//! Where things live in a realm descriptor granule. All constants are word indices.

/// [`super::RealmState`].
pub const STATE: usize = 0;
/// IPA width in bits.
pub const IPA_BITS: usize = 1;
/// RmiRealmFlags as the host gave them.
pub const FLAGS: usize = 2;
/// RmiHashAlgorithm.
pub const HASH_ALGORITHM: usize = 3;
/// PA of the first starting-level table.
pub const RTT_BASE: usize = 4;
/// Starting level, as a signed word.
pub const RTT_LEVEL_START: usize = 5;
/// Number of starting-level tables.
pub const RTT_NUM_START: usize = 6;
/// VMID.
pub const VMID: usize = 7;
/// The REC index that the next REC must have. Never decreases.
pub const REC_INDEX: usize = 8;
/// SVE vector length, (bits / 128) - 1.
pub const SVE_VL: usize = 9;
/// Breakpoints minus one.
pub const NUM_BPS: usize = 10;
/// Watchpoints minus one.
pub const NUM_WPS: usize = 11;
/// PMU event counters.
pub const PMU_NUM_CTRS: usize = 12;
/// VTTBR_EL2 of the realm.
pub const VTTBR: usize = 13;
/// VTCR_EL2 of the realm.
pub const VTCR: usize = 14;
/// Auxiliary granules that each REC needs.
pub const AUX_COUNT: usize = 15;
/// Realm personalization value, 8 words.
pub const RPV: usize = 16;
/// Number of words of the personalization value.
pub const RPV_WORDS: usize = 8;
/// The measurement slots, 8 words each: slot 0 is the RIM, slots 1 to 4 the REMs.
pub const MEASUREMENTS: usize = 24;
/// Words of a measurement slot.
pub const MEASUREMENT_WORDS: usize = 8;
/// Number of measurement slots.
pub const MEASUREMENT_SLOTS: usize = 5;
