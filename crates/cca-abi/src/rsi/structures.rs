//! Structures in realm memory: RsiRealmConfig and RsiHostCall (RMM specification 1.0-rel0, section B5.4).

/// Byte offsets in RsiRealmConfig, a granule.
pub mod realm_config_offset {
    /// IPA width in bits.
    pub const IPA_WIDTH: usize = 0x000;
    /// RsiHashAlgorithm.
    pub const HASH_ALGO: usize = 0x008;
    /// Realm personalization value, 64 bytes.
    pub const RPV: usize = 0x200;
}

/// RsiRealmConfig.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealmConfig {
    /// IPA width in bits; the top bit of an IPA selects the unprotected half.
    pub ipa_width: u64,
    /// RsiHashAlgorithm.
    pub hash_algo: u8,
    /// Realm personalization value, as words.
    pub rpv: [u64; 8],
}

impl RealmConfig {
    /// Reads the structure from the words of its granule.
    ///
    /// # Panics
    /// If `words` ends before the last field.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        Self {
            ipa_width: words[realm_config_offset::IPA_WIDTH / 8],
            hash_algo: words[realm_config_offset::HASH_ALGO / 8] as u8,
            rpv: core::array::from_fn(|i| words[realm_config_offset::RPV / 8 + i]),
        }
    }

    /// The words that are not zero, as pairs of word index and value.
    pub fn fields(&self) -> impl Iterator<Item = (usize, u64)> {
        let rpv = self.rpv;
        [
            (realm_config_offset::IPA_WIDTH / 8, self.ipa_width),
            (
                realm_config_offset::HASH_ALGO / 8,
                u64::from(self.hash_algo),
            ),
        ]
        .into_iter()
        .chain((0..8).map(move |i| (realm_config_offset::RPV / 8 + i, rpv[i])))
    }
}

/// Layout of RsiHostCall.
pub mod host_call_offset {
    /// Immediate, 16 bits.
    pub const IMM: usize = 0x00;
    /// X0 to X30.
    pub const GPRS: usize = 0x08;
    /// Size and alignment of the structure in bytes.
    pub const SIZE: usize = 0x100;
}

/// RsiHostCall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostCall {
    /// Immediate.
    pub imm: u16,
    /// X0 to X30: arguments for the host, then its results.
    pub gprs: [u64; 31],
}

impl HostCall {
    /// Number of words of the structure.
    pub const WORDS: usize = host_call_offset::SIZE / 8;

    /// Reads the structure.
    #[must_use]
    pub fn read(words: &[u64; Self::WORDS]) -> Self {
        Self {
            imm: words[0] as u16,
            gprs: core::array::from_fn(|i| words[1 + i]),
        }
    }

    /// The words of the structure.
    #[must_use]
    pub fn words(&self) -> [u64; Self::WORDS] {
        let mut words = [0; Self::WORDS];
        words[0] = self.imm.into();
        words[1..].copy_from_slice(&self.gprs);
        words
    }
}

const _: () = {
    assert!(host_call_offset::GPRS + 8 * 31 == host_call_offset::SIZE);
    assert!(realm_config_offset::RPV == 512);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_survive_a_round_trip() {
        let call = HostCall {
            imm: 0x1234,
            gprs: core::array::from_fn(|i| i as u64 + 1),
        };
        assert_eq!(HostCall::read(&call.words()), call);

        let config = RealmConfig {
            ipa_width: 40,
            hash_algo: 1,
            rpv: [1, 2, 3, 4, 5, 6, 7, 8],
        };
        let mut words = [0; 512];
        for (index, value) in config.fields() {
            words[index] = value;
        }
        assert_eq!(RealmConfig::read(&words), config);
    }
}
