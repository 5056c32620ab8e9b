//! Layout of the machine and of the firmware image: what lies where, so that payloads built for TF-A and TF-RMM
//! on QEMU's `virt` machine run above this firmware too, and the other way round.

/// PA of the device tree that the machine provides.
pub const DEVICE_TREE: u64 = 0x4000_0000;
/// Size reserved for the device tree.
pub const DEVICE_TREE_SIZE: u64 = 0x10_0000;
/// PA of the RMM: where its image is loaded and entered.
pub const RMM_BASE: u64 = 0x4010_0000;
/// First PA after the memory that belongs to the RMM.
pub const RMM_END: u64 = 0x4190_0000;
/// PA of the page that the root monitor and the RMM share.
pub const SHARED_BUFFER: u64 = RMM_END - crate::GRANULE_SIZE;
/// PA of the memory of the control channel between a host and whoever started the machine, who sees it as well. It is the normal
/// world's and cannot be delegated.
pub const CHANNEL_BASE: u64 = RMM_END;
/// Size of that memory.
pub const CHANNEL_SIZE: u64 = 0x10_0000;
/// INTID of the interrupt, an edge, by which the root monitor passes on to the normal world that the other end of the channel rings.
/// The machine has no device there.
pub const CHANNEL_INTID: u32 = 42;
/// PA at which a raw Non-secure payload is loaded and entered at NS-EL2.
pub const PAYLOAD_BASE: u64 = 0x6000_0000;

/// Offset of the [firmware table](self#the-firmware-table) in `firmware.bin`; the root monitor comes before it.
///
/// # The firmware table
/// One 4 KiB page of little-endian words: [`MAGIC`], [`TABLE_VERSION`], offset and length in bytes of the RMM
/// image; then the [`PlatformIdentity`], [`SEED_SIZE`] bytes of seed and [`LABEL_SIZE`] bytes of label. Everything else
/// is zero.
pub const TABLE_OFFSET: u64 = 0x10_0000;
/// First word of the firmware table: "SUZFIRMW" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SUZFIRMW");
/// Second word of the firmware table.
pub const TABLE_VERSION: u64 = 2;
/// Offset of the RMM image in `firmware.bin`.
pub const RMM_OFFSET: u64 = TABLE_OFFSET + crate::GRANULE_SIZE;
/// Largest size of `firmware.bin`: QEMU's flash.
pub const FLASH_SIZE: u64 = 64 << 20;

/// Size in bytes of the seed of the machine's identity.
pub const SEED_SIZE: usize = 32;
/// Size in bytes of the field with the identity's label.
pub const LABEL_SIZE: usize = 32;
/// Words of the firmware table that are not zero.
pub const TABLE_WORDS: usize = 12;

/// What an emulated machine has in place of a root of trust: keys are derived from the seed, and the label says in each
/// platform token what the seed is worth. Neither is a secret: they lie in the firmware image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformIdentity {
    /// What the keys are derived from. All zero for none.
    pub seed: [u8; SEED_SIZE],
    /// ASCII text, zeros behind it.
    pub label: [u8; LABEL_SIZE],
}

impl PlatformIdentity {
    /// Label of the identity with a seed that everybody knows.
    pub const PUBLIC: &'static str = "development identity, known seed";
    /// Label of an identity whose seed somebody gave when the firmware was built.
    pub const OWN: &'static str = "development identity, own seed";

    /// An identity. Text beyond [`LABEL_SIZE`] bytes is cut off.
    #[must_use]
    pub const fn new(seed: [u8; SEED_SIZE], label: &str) -> Self {
        let mut bytes = [0; LABEL_SIZE];
        let mut n = 0;
        while n < label.len() && n < LABEL_SIZE {
            bytes[n] = label.as_bytes()[n];
            n += 1;
        }
        Self { seed, label: bytes }
    }

    /// The label without the zeros behind it.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        let end = self.label.iter().position(|&byte| byte == 0);
        &self.label[..end.unwrap_or(LABEL_SIZE)]
    }
}

/// What a firmware table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Offset of the RMM image in the firmware.
    pub rmm_offset: u64,
    /// Its length in bytes.
    pub rmm_length: u64,
    /// The machine's identity; `None` if it has none.
    pub identity: Option<PlatformIdentity>,
}

impl Table {
    /// A table for an RMM image of `rmm_length` bytes at the usual place.
    #[must_use]
    pub const fn new(rmm_length: u64, identity: Option<PlatformIdentity>) -> Self {
        Self {
            rmm_offset: RMM_OFFSET,
            rmm_length,
            identity,
        }
    }

    /// The words of the table that are not zero.
    #[must_use]
    pub fn words(&self) -> [u64; TABLE_WORDS] {
        let mut words = [0; TABLE_WORDS];
        words[..4].copy_from_slice(&[MAGIC, TABLE_VERSION, self.rmm_offset, self.rmm_length]);
        if let Some(identity) = &self.identity {
            let bytes = identity.seed.iter().chain(&identity.label);
            for (n, byte) in bytes.enumerate() {
                words[4 + n / 8] |= u64::from(*byte) << (n % 8 * 8);
            }
        }
        words
    }

    /// Reads the words of a table. `None` if they are none of this version.
    #[must_use]
    pub fn read(words: &[u64; TABLE_WORDS]) -> Option<Self> {
        let [
            MAGIC,
            TABLE_VERSION,
            rmm_offset,
            rmm_length,
            ref identity @ ..,
        ] = *words
        else {
            return None;
        };
        let byte = |n: usize| identity[n / 8].to_le_bytes()[n % 8];
        let identity = PlatformIdentity {
            seed: core::array::from_fn(byte),
            label: core::array::from_fn(|n| byte(SEED_SIZE + n)),
        };
        Some(Self {
            rmm_offset,
            rmm_length,
            identity: (identity.seed != [0; SEED_SIZE]).then_some(identity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_back() {
        let seed = core::array::from_fn(|n| n as u8 + 1);
        let identity = PlatformIdentity::new(seed, PlatformIdentity::OWN);
        for identity in [None, Some(identity)] {
            let table = Table::new(77, identity);
            assert_eq!(Table::read(&table.words()), Some(table));
        }
        let words = Table::new(1, Some(identity)).words();
        assert_eq!(words[2..5], [RMM_OFFSET, 1, 0x0807_0605_0403_0201]);
        assert_eq!(identity.label(), PlatformIdentity::OWN.as_bytes());
    }

    #[test]
    fn another_magic_or_version_is_no_table() {
        for word in [0, 1] {
            let mut words = Table::new(1, None).words();
            words[word] ^= 1 << 40;
            assert_eq!(Table::read(&words), None);
        }
    }

    #[test]
    fn a_label_ends_with_its_field() {
        let long = "0123456789abcdef0123456789abcdefX";
        let identity = PlatformIdentity::new([1; SEED_SIZE], long);
        assert_eq!(identity.label(), &long.as_bytes()[..LABEL_SIZE]);
        assert_eq!(PlatformIdentity::PUBLIC.len(), LABEL_SIZE);
    }
}
