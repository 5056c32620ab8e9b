//! How many auxiliary granules a REC needs.

use cca_abi::GRANULE_SIZE;
use cca_abi::rmi::params::{RealmParams, realm_flags};

/// Number of auxiliary granules that each REC of a realm with these parameters needs: what does not fit into the REC
/// granule itself, which holds everything but the wide registers of SVE and the counters of the PMU.
#[must_use]
pub const fn auxiliary_granules(params: &RealmParams) -> u64 {
    let mut bytes = 0;
    if params.flags & realm_flags::SVE != 0 {
        // Z0-Z31, P0-P15 and FFR (an eighth of a vector each), for vectors of (sve_vl + 1) * 16 bytes.
        let vector = (params.sve_vl as u64 + 1) * 16;
        bytes += 32 * vector + 17 * vector / 8;
    }
    if params.flags & realm_flags::PMU != 0 {
        // Counter and type of each event counter and of the cycle counter, and ten control registers.
        bytes += (params.pmu_num_ctrs as u64 + 1) * 16 + 10 * 8;
    }
    bytes.div_ceil(GRANULE_SIZE)
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
    fn wide_registers_and_counters_need_as_many_as_they_fill() {
        assert_eq!(realm(realm_flags::PMU, 0), 1);
        assert_eq!(realm(realm_flags::SVE, 0), 1);
        assert_eq!(
            realm(realm_flags::SVE, 6),
            1,
            "112-byte vectors: 3822 bytes"
        );
        assert_eq!(
            realm(realm_flags::SVE, 7),
            2,
            "128-byte vectors: 4368 bytes"
        );
        assert_eq!(
            realm(realm_flags::SVE | realm_flags::PMU, 15),
            3,
            "256-byte vectors: 8736 + 192 bytes"
        );
    }
}
