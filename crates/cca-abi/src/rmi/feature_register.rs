//! RmiFeatureRegister0: what RMI_FEATURES says at index 0 (RMM specification 1.0-rel0, section B4.4).

/// Feature register 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureRegister0 {
    /// Largest supported IPA width in bits.
    pub s2sz: u8,
    /// Whether realm tables may use LPA2.
    pub lpa2: bool,
    /// Largest SVE vector length as (bits / 128) - 1; `None` without SVE.
    pub sve_vl: Option<u8>,
    /// Number of breakpoints minus 1.
    pub num_bps: u8,
    /// Number of watchpoints minus 1.
    pub num_wps: u8,
    /// Number of PMU event counters; `None` without PMU.
    pub pmu_num_ctrs: Option<u8>,
    /// Whether SHA-256 is supported.
    pub hash_sha_256: bool,
    /// Whether SHA-512 is supported.
    pub hash_sha_512: bool,
    /// Number of list registers that the host may use, minus 1.
    pub gicv3_num_lrs: u8,
    /// A realm has at most 2^value - 1 RECs.
    pub max_recs_order: u8,
}

impl FeatureRegister0 {
    /// The register value.
    #[must_use]
    pub const fn encode(&self) -> u64 {
        let (sve_en, sve_vl) = match self.sve_vl {
            Some(vl) => (1, vl as u64 & 0xF),
            None => (0, 0),
        };
        let (pmu_en, pmu_num_ctrs) = match self.pmu_num_ctrs {
            Some(counters) => (1, counters as u64 & 0x1F),
            None => (0, 0),
        };
        self.s2sz as u64
            | (self.lpa2 as u64) << 8
            | sve_en << 9
            | sve_vl << 10
            | (self.num_bps as u64 & 0x3F) << 14
            | (self.num_wps as u64 & 0x3F) << 20
            | pmu_en << 26
            | pmu_num_ctrs << 27
            | (self.hash_sha_256 as u64) << 32
            | (self.hash_sha_512 as u64) << 33
            | (self.gicv3_num_lrs as u64 & 0xF) << 34
            | (self.max_recs_order as u64 & 0xF) << 38
    }

    /// From the register value.
    #[must_use]
    pub const fn decode(value: u64) -> Self {
        const fn field(value: u64, low: u32, bits: u32) -> u8 {
            ((value >> low) & ((1 << bits) - 1)) as u8
        }
        Self {
            s2sz: field(value, 0, 8),
            lpa2: field(value, 8, 1) != 0,
            sve_vl: if field(value, 9, 1) != 0 {
                Some(field(value, 10, 4))
            } else {
                None
            },
            num_bps: field(value, 14, 6),
            num_wps: field(value, 20, 6),
            pmu_num_ctrs: if field(value, 26, 1) != 0 {
                Some(field(value, 27, 5))
            } else {
                None
            },
            hash_sha_256: field(value, 32, 1) != 0,
            hash_sha_512: field(value, 33, 1) != 0,
            gicv3_num_lrs: field(value, 34, 4),
            max_recs_order: field(value, 38, 4),
        }
    }

    /// Largest number of RECs of a realm.
    #[must_use]
    pub const fn max_recs(&self) -> u32 {
        (1 << self.max_recs_order) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::FeatureRegister0;

    #[test]
    fn fields_stand_where_the_specification_puts_them() {
        let register = FeatureRegister0 {
            s2sz: 48,
            lpa2: true,
            sve_vl: Some(15),
            num_bps: 5,
            num_wps: 3,
            pmu_num_ctrs: Some(6),
            hash_sha_256: true,
            hash_sha_512: true,
            gicv3_num_lrs: 3,
            max_recs_order: 10,
        };
        let expected = 48
            | 1 << 8
            | 1 << 9
            | 15 << 10
            | 5 << 14
            | 3 << 20
            | 1 << 26
            | 6 << 27
            | 1 << 32
            | 1 << 33
            | 3 << 34
            | 10 << 38;
        assert_eq!(register.encode(), expected);
        assert_eq!(FeatureRegister0::decode(expected), register);
        assert_eq!(register.max_recs(), 1023);
    }
}
