//! What a realm is to be, checked against what the monitor supports before anything is allocated.

use cca_abi::rmi::HashAlgorithm;
use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::params::realm_flags;

use crate::error::Error;
use crate::measure::MeasuredRealm;
use crate::units::{GRANULE, GranuleCount, Ipa, IpaRange};

/// The properties of a realm that cannot change after it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// Width of the intermediate physical address space in bits. Its top bit selects the unprotected half.
    pub ipa_bits: u8,
    /// Whether tables have the LPA2 format. An address space of more than 48 bits needs it.
    pub lpa2: bool,
    /// The algorithm of measurements.
    pub hash: HashAlgorithm,
    /// Breakpoints minus one; 0 is reserved, so at least two.
    pub num_bps: u8,
    /// Watchpoints minus one; 0 is reserved, so at least two.
    pub num_wps: u8,
    /// SVE vector length as (bits / 128) - 1, if the realm may use SVE.
    pub sve_vl: Option<u8>,
    /// Event counters, if the realm may use the PMU.
    pub pmu_counters: Option<u8>,
    /// The realm personalization value.
    pub rpv: [u8; 64],
}

impl Default for RealmConfig {
    /// A plain realm: 40 bits, SHA-256, the smallest number of breakpoints and watchpoints, nothing optional.
    fn default() -> Self {
        Self {
            ipa_bits: 40,
            lpa2: false,
            hash: HashAlgorithm::Sha256,
            num_bps: 1,
            num_wps: 1,
            sve_vl: None,
            pmu_counters: None,
            rpv: [0; 64],
        }
    }
}

impl RealmConfig {
    /// Says what the monitor does not support, if anything.
    pub(crate) fn check(&self, features: &FeatureRegister0) -> Result<(), Error> {
        let usage = |what, value: u8| {
            Err(Error::Usage {
                what,
                value: value.into(),
            })
        };
        if self.lpa2 && !features.lpa2 {
            return usage("the monitor does not support LPA2", 1);
        }
        let widest = if self.lpa2 { 52 } else { 48 };
        if !(32..=widest).contains(&self.ipa_bits) {
            return usage(
                "the width of the address space is not between 32 and 48 bits (52 with LPA2)",
                self.ipa_bits,
            );
        }
        if self.ipa_bits > features.s2sz {
            return usage(
                "the monitor does not support address spaces of so many bits",
                self.ipa_bits,
            );
        }
        let hashes = match self.hash {
            HashAlgorithm::Sha256 => features.hash_sha_256,
            HashAlgorithm::Sha512 => features.hash_sha_512,
        };
        if !hashes {
            return usage(
                "the monitor does not support hash algorithm",
                self.hash as u8,
            );
        }
        if self.num_bps == 0 || self.num_bps > features.num_bps {
            return usage(
                "not a supported number of breakpoints (minus one)",
                self.num_bps,
            );
        }
        if self.num_wps == 0 || self.num_wps > features.num_wps {
            return usage(
                "not a supported number of watchpoints (minus one)",
                self.num_wps,
            );
        }
        match (self.sve_vl, features.sve_vl) {
            (Some(wanted), Some(most)) if wanted <= most => {}
            (Some(wanted), _) => return usage("not a supported SVE vector length", wanted),
            (None, _) => {}
        }
        match (self.pmu_counters, features.pmu_num_ctrs) {
            (Some(wanted), Some(most)) if wanted <= most => {}
            (Some(wanted), _) => return usage("not a supported number of PMU counters", wanted),
            (None, _) => {}
        }
        Ok(())
    }

    /// RmiRealmFlags.
    pub(crate) const fn flags(&self) -> u64 {
        let sve = if self.sve_vl.is_some() {
            realm_flags::SVE
        } else {
            0
        };
        let pmu = if self.pmu_counters.is_some() {
            realm_flags::PMU
        } else {
            0
        };
        let lpa2 = if self.lpa2 { realm_flags::LPA2 } else { 0 };
        sve | pmu | lpa2
    }

    /// The part that is measured.
    #[must_use]
    pub fn measured(&self) -> MeasuredRealm {
        MeasuredRealm {
            flags: self.flags(),
            s2sz: self.ipa_bits,
            sve_vl: self.sve_vl.unwrap_or(0),
            num_bps: self.num_bps,
            num_wps: self.num_wps,
            pmu_num_ctrs: self.pmu_counters.unwrap_or(0),
            hash: self.hash,
        }
    }

    /// The shape of the address space.
    #[must_use]
    pub const fn geometry(&self) -> Geometry {
        Geometry {
            ipa_bits: self.ipa_bits,
        }
    }
}

/// The last level of translation tables, whose entries are pages.
pub const LEAF: i64 = 3;

/// The shape of a realm's address space and of the tables that translate it, with a granule of 4K. LPA2 changes what is in
/// an entry, and permits addresses of up to 52 bits, which 16 concatenated tables at level 0 resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    ipa_bits: u8,
}

impl Geometry {
    /// Bytes that an entry at a level describes.
    #[must_use]
    pub const fn entry_size(level: i64) -> u64 {
        GRANULE << (9 * (LEAF - level))
    }

    /// The address, rounded down to an entry at a level.
    #[must_use]
    pub const fn align_down(address: u64, level: i64) -> u64 {
        address & !(Self::entry_size(level) - 1)
    }

    /// The starting level: the deepest at which at most 16 concatenated tables do.
    #[must_use]
    pub const fn start_level(self) -> i64 {
        4 - (self.ipa_bits as i64 - 8) / 9
    }

    /// How many tables are concatenated at the starting level: a power of two, at most 16.
    #[must_use]
    pub const fn root_tables(self) -> GranuleCount {
        let resolved = 12 + 9 * (4 - self.start_level() as u32);
        GranuleCount::new(1 << (self.ipa_bits as u32).saturating_sub(resolved))
    }

    /// The end of the address space.
    #[must_use]
    pub const fn end(self) -> u64 {
        1 << self.ipa_bits
    }

    /// The bit that selects the unprotected half, and where that half starts.
    #[must_use]
    pub const fn unprotected_bit(self) -> u64 {
        1 << (self.ipa_bits - 1)
    }

    /// Whether an address lies in the protected half.
    #[must_use]
    pub const fn is_protected(self, ipa: Ipa) -> bool {
        ipa.get() < self.unprotected_bit()
    }

    /// The alias of a protected address in the unprotected half.
    #[must_use]
    pub const fn alias(self, ipa: Ipa) -> Ipa {
        Ipa::new(ipa.get() | self.unprotected_bit())
    }

    /// Whether a range lies in the protected half.
    #[must_use]
    pub const fn covers_protected(self, range: IpaRange) -> bool {
        range.top().get() <= self.unprotected_bit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_level_and_root_tables_are_those_of_the_specification() {
        let expected = [
            (32, 2, 4),
            (34, 2, 16),
            (35, 1, 1),
            (39, 1, 1),
            (40, 1, 2),
            (42, 1, 8),
            (43, 1, 16),
            (44, 0, 1),
            (48, 0, 1),
            (49, 0, 2),
            (52, 0, 16),
        ];
        for (ipa_bits, level, tables) in expected {
            let geometry = Geometry { ipa_bits };
            assert_eq!(geometry.start_level(), level, "{ipa_bits} bits");
            assert_eq!(geometry.root_tables().get(), tables, "{ipa_bits} bits");
        }
    }

    #[test]
    fn unsupported_properties_are_named_before_anything_happens() {
        let features = FeatureRegister0 {
            s2sz: 40,
            num_bps: 5,
            num_wps: 3,
            hash_sha_256: true,
            ..FeatureRegister0::default()
        };
        let plain = RealmConfig::default();
        assert_eq!(plain.check(&features), Ok(()));
        let bad = [
            RealmConfig {
                ipa_bits: 31,
                ..plain
            },
            RealmConfig {
                ipa_bits: 41,
                ..plain
            },
            RealmConfig {
                ipa_bits: 49,
                ..plain
            },
            RealmConfig {
                lpa2: true,
                ..plain
            },
            RealmConfig {
                hash: HashAlgorithm::Sha512,
                ..plain
            },
            RealmConfig {
                num_bps: 0,
                ..plain
            },
            RealmConfig {
                num_bps: 6,
                ..plain
            },
            RealmConfig {
                num_wps: 0,
                ..plain
            },
            RealmConfig {
                num_wps: 4,
                ..plain
            },
            RealmConfig {
                sve_vl: Some(0),
                ..plain
            },
            RealmConfig {
                pmu_counters: Some(0),
                ..plain
            },
        ];
        for config in bad {
            assert!(
                matches!(config.check(&features), Err(Error::Usage { .. })),
                "{config:?}"
            );
        }
    }
}
