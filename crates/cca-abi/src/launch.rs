//! The launch bundle: how the tool tells the hypervisor which realm to run.
//!
//! A page of little-endian words, followed by the realm's image, loaded at [`ADDRESS`] before the hypervisor
//! starts. Without one the hypervisor runs the realm that is built into it.

use crate::GRANULE_SIZE;

/// PA of the bundle.
pub const ADDRESS: u64 = 0x6400_0000;
/// First word: "SUZLNCH1" in memory order.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SUZLNCH1");
/// Second word.
pub const VERSION: u64 = 2;
/// Number of words that are used.
pub const WORDS: usize = 18;

/// What the hypervisor is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Number of vCPUs, each with its REC.
    pub vcpus: u64,
    /// Size of the realm's memory in bytes.
    pub memory: u64,
    /// Page size in bytes that the host works with: 4096, 16384 or 65536.
    pub page_size: u64,
    /// Offset of the image from the start of the bundle, in bytes.
    pub image_offset: u64,
    /// Size of the image in bytes.
    pub image_length: u64,
    /// [`CONTROL`](Self::CONTROL), or zero.
    pub flags: u64,
    /// The realm is stopped after this many milliseconds; 0 for never.
    pub time_limit_ms: u64,
    /// SVE vector length in bits; 0 for none.
    pub sve_bits: u64,
    /// What the realm is given when it asks for a challenge, as RSI_ATTESTATION_TOKEN_INIT takes it.
    pub challenge: [u64; 8],
}

impl Launch {
    /// The words of the bundle's first page.
    #[must_use]
    pub const fn words(&self) -> [u64; WORDS] {
        let [c0, c1, c2, c3, c4, c5, c6, c7] = self.challenge;
        [
            MAGIC,
            VERSION,
            self.vcpus,
            self.memory,
            self.page_size,
            self.image_offset,
            self.image_length,
            self.flags,
            self.time_limit_ms,
            self.sve_bits,
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
        ]
    }

    /// From the words of the bundle's first page; `None` if there is no bundle of this version.
    #[must_use]
    pub const fn read(words: &[u64; WORDS]) -> Option<Launch> {
        if words[0] != MAGIC || words[1] != VERSION {
            return None;
        }
        Some(Launch {
            vcpus: words[2],
            memory: words[3],
            page_size: words[4],
            image_offset: words[5],
            image_length: words[6],
            flags: words[7],
            time_limit_ms: words[8],
            sve_bits: words[9],
            challenge: [
                words[10], words[11], words[12], words[13], words[14], words[15], words[16],
                words[17],
            ],
        })
    }

    /// Flag: there is no image. The hypervisor serves the control channel, through which realms are
    /// created; of the other words only the page size counts.
    pub const CONTROL: u64 = 1;

    /// Whether the hypervisor is to serve the control channel.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.flags & Self::CONTROL != 0
    }

    /// Offset at which the tool puts the image.
    pub const IMAGE_OFFSET: u64 = GRANULE_SIZE;
}

#[cfg(test)]
mod tests {
    use super::Launch;

    #[test]
    fn a_bundle_survives_a_round_trip() {
        let launch = Launch {
            vcpus: 4,
            memory: 64 << 20,
            page_size: 4096,
            image_offset: Launch::IMAGE_OFFSET,
            image_length: 12345,
            flags: 0,
            time_limit_ms: 60_000,
            sve_bits: 0,
            challenge: [1, 2, 3, 4, 5, 6, 7, 8],
        };
        assert_eq!(Launch::read(&launch.words()), Some(launch));
        let mut other = launch.words();
        other[0] ^= 1;
        assert_eq!(Launch::read(&other), None);
    }
}
