//! How many auxiliary granules a REC needs.

use cca_abi::GRANULE_SIZE;
use cca_abi::rmi::params::{RealmParams, realm_flags};

/// Number of auxiliary granules that each REC of a realm with these parameters needs: what does not fit into the REC
/// granule itself (see [`super::layout`]), which is Z0 to Z31 of vectors longer than 128 bits.
#[must_use]
pub const fn auxiliary_granules(params: &RealmParams) -> u64 {
    let vector = (params.sve_vl as u64 + 1) * 16;
    if params.flags & realm_flags::SVE == 0 || vector == 16 {
        0
    } else {
        (32 * vector).div_ceil(GRANULE_SIZE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(flags: u64, sve_vl: u8) -> u64 {
        auxiliary_granules(&RealmParams {
            flags,
            s2sz: 40,
            sve_vl,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 6,
            hash_algo: 0,
            rpv: [0; 8],
            vmid: 0,
            rtt_base: 0,
            rtt_level_start: 1,
            rtt_num_start: 1,
        })
    }

    #[test]
    fn a_plain_realm_needs_none() {
        assert_eq!(realm(0, 15), 0);
        assert_eq!(realm(realm_flags::LPA2, 0), 0);
    }

    #[test]
    fn the_pmu_and_the_shortest_vectors_need_none() {
        assert_eq!(realm(realm_flags::PMU, 0), 0);
        assert_eq!(realm(realm_flags::SVE | realm_flags::PMU, 0), 0);
    }

    #[test]
    fn longer_vectors_need_as_many_as_they_fill() {
        for (sve_vl, granules) in [(1, 1), (2, 1), (7, 1), (8, 2), (14, 2), (15, 2)] {
            assert_eq!(realm(realm_flags::SVE, sve_vl), granules, "sve_vl {sve_vl}");
        }
    }
}
