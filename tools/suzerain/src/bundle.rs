//! What the hypervisor is told to run.

use std::time::Duration;

use cca_abi::launch;

use crate::random::{self, CHALLENGE};

/// Where the machine's loader puts the bundle.
pub(crate) const ADDRESS: u64 = launch::ADDRESS;
/// The most that a realm's image may have, so that the bundle ends within the smallest machine.
pub(crate) const MAX_IMAGE: u64 = 256 << 20;

/// Flag: the host serves its control channel.
const CONTROL: u64 = 1;

/// A realm to launch.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// vCPUs.
    pub(crate) vcpus: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
    /// Bytes of a host page.
    pub(crate) page_size: u64,
    /// When the host gives the run up, if ever.
    pub(crate) limit: Option<Duration>,
    /// The SVE vector length in bits; 0 for none.
    pub(crate) sve_bits: u32,
    /// The raw image.
    pub(crate) image: &'a [u8],
    /// What the realm is to have signed.
    pub(crate) challenge: [u8; CHALLENGE],
    /// Flags of [`launch`].
    pub(crate) flags: u64,
}

impl Launch<'_> {
    /// No realm: the host serves its control channel.
    pub(crate) fn control(page_size: u64) -> Self {
        Self {
            vcpus: 0,
            memory: 0,
            page_size,
            limit: None,
            sve_bits: 0,
            image: &[],
            challenge: [0; CHALLENGE],
            flags: CONTROL,
        }
    }

    /// The bytes for [`ADDRESS`]: a page of little-endian words, then the image.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = launch::Launch {
            vcpus: self.vcpus,
            memory: self.memory,
            page_size: self.page_size,
            image_offset: launch::Launch::IMAGE_OFFSET,
            image_length: self.image.len() as u64,
            flags: self.flags,
            time_limit_ms: self.limit.map_or(0, |limit| {
                u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
            }),
            sve_bits: self.sve_bits.into(),
            challenge: random::words(&self.challenge),
        };
        let mut bytes: Vec<u8> = header
            .words()
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        bytes.resize(launch::Launch::IMAGE_OFFSET as usize, 0);
        bytes.extend_from_slice(self.image);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_one_page() {
        let launch = Launch {
            vcpus: 2,
            memory: 64 << 20,
            page_size: 4096,
            limit: Some(Duration::from_secs(9)),
            sve_bits: 256,
            image: b"image",
            challenge: std::array::from_fn(|index| index as u8),
            flags: 0,
        };
        let bytes = launch.encode();
        let word = |index: usize| u64::from_le_bytes(bytes[index * 8..][..8].try_into().unwrap());
        assert_eq!(&bytes[..8], b"SUZLNCH1");
        assert_eq!((word(2), word(3), word(8)), (2, 64 << 20, 9000));
        assert_eq!(word(9), 256);
        assert_eq!(bytes[80..144], launch.challenge);
        assert_eq!(&bytes[word(5) as usize..][..word(6) as usize], b"image");
    }
}
