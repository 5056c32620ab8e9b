//! Parameters of realms: good ones, and what is wrong with others.

use cca_abi::rmi::params::RealmParams;

use crate::random::Random;

/// IPA width, starting level, number of starting tables, LPA2.
pub(crate) const SHAPES: [(u8, i64, u32, bool); 16] = [
    (32, 2, 4, false),
    (33, 2, 8, false),
    (34, 2, 16, false),
    (32, 1, 1, false),
    (36, 1, 1, false),
    (39, 1, 1, false),
    (40, 1, 2, false),
    (41, 1, 4, true),
    (40, 0, 1, false),
    (44, 0, 1, false),
    (48, 0, 1, false),
    (49, 0, 2, true),
    (50, 0, 4, true),
    (49, -1, 1, true),
    (52, -1, 1, true),
    (31, 1, 1, false),
];

/// What a monitor accepts, unless it is used already.
pub(crate) fn realm(
    random: &mut Random,
    (s2sz, level, count, lpa2): (u8, i64, u32, bool),
    rtt_base: u64,
) -> RealmParams {
    RealmParams {
        flags: lpa2.into(),
        s2sz,
        sve_vl: 0,
        num_bps: 1 + random.below(2) as u8,
        num_wps: 1 + random.below(2) as u8,
        pmu_num_ctrs: 0,
        hash_algo: random.below(2) as u8,
        rpv: [random.next(); 8],
        vmid: random.of(&[0, 1, 2, 3, 4, 0xFFFF]),
        rtt_base,
        rtt_level_start: level,
        rtt_num_start: count,
    }
}

/// Changes one field.
pub(crate) fn spoil(random: &mut Random, params: &mut RealmParams) {
    let number = random.of(&[0, 1, 2, 3, 4, 16, 17, 40, 47, 48, 49, 52, 53, 64, 255]);
    match random.below(12) {
        0 => params.flags = random.below(16),
        1 => params.s2sz = number,
        2 => params.sve_vl = number,
        3 => params.num_bps = number,
        4 => params.num_wps = number,
        5 => params.pmu_num_ctrs = number,
        6 => params.hash_algo = number,
        7 => params.vmid = number.into(),
        8 => {
            params.rtt_base =
                params
                    .rtt_base
                    .wrapping_add(random.of(&[0x1000, 8, 1 << 40, 1 << 63]))
        }
        9 => params.rtt_base = random.of(&[0, !0xFFF, 0x0900_0000]),
        10 => params.rtt_level_start = random.of(&[-2, -1, 0, 1, 2, 3, 4, i64::MIN, i64::MAX]),
        _ => params.rtt_num_start = random.of(&[0, 1, 2, 3, 4, 8, 16, 17, 32, u32::MAX]),
    }
}
