//! What a realm learns about itself from `RSI_REALM_CONFIG`.

use cca_abi::rsi::realm_config_offset as layout;

/// How many bits the realm's addresses have. The highest one tells the shared half of the address space from the
/// protected half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpaWidth(u32);

impl IpaWidth {
    /// A width of `bits`, if an address space can have it: 32 to 52.
    pub const fn new(bits: u64) -> Option<Self> {
        if bits >= 32 && bits <= 52 {
            Some(Self(bits as u32))
        } else {
            None
        }
    }

    /// The width in bits.
    pub const fn bits(self) -> u64 {
        self.0 as u64
    }

    /// The same place in the shared half of the address space (RMM specification 1.0-rel0, A5.2.1).
    pub const fn shared(self, ipa: u64) -> u64 {
        ipa | 1 << (self.0 - 1)
    }

    /// Whether an address is in the protected half.
    pub const fn is_protected(self, ipa: u64) -> bool {
        ipa >> (self.0 - 1) == 0
    }
}

/// The algorithm of the realm's measurements (`RsiHashAlgorithm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// 32 bytes.
    Sha256,
    /// 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// Bytes of a measurement.
    pub const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// The content of the granule that `RSI_REALM_CONFIG` fills (`RsiRealmConfig`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// How many bits the realm's addresses have.
    pub ipa_width: IpaWidth,
    /// The algorithm of the measurements.
    pub hash_algorithm: HashAlgorithm,
    /// The realm personalisation value: 64 bytes as little-endian doublewords.
    pub personalisation: [u64; 8],
}

impl RealmConfig {
    /// Interprets a filled granule through `word`, which reads the doubleword at an offset in bytes. `None` if a value
    /// is none that the specification knows.
    pub fn read(word: impl Fn(u64) -> u64) -> Option<Self> {
        let hash_algorithm = match word(layout::HASH_ALGO as u64) & 0xFF {
            0 => HashAlgorithm::Sha256,
            1 => HashAlgorithm::Sha512,
            _ => return None,
        };
        Some(Self {
            ipa_width: IpaWidth::new(word(layout::IPA_WIDTH as u64))?,
            hash_algorithm,
            personalisation: core::array::from_fn(|i| word(layout::RPV as u64 + 8 * i as u64)),
        })
    }
}
