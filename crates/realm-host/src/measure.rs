//! What the realm initial measurement will be, computed from what the host asked for.
//!
//! The host keeps this along with each call that extends the measurement (RMM specification 1.0-rel0, A7.1.1), so
//! it can tell the owner of a realm what to expect before the realm has run, and notice a monitor that measured
//! something else. Written from the specification alone: it shares no code with a monitor.

use cca_abi::rmi::HashAlgorithm;
use sha2::{Digest, Sha256, Sha512};

/// Bytes of a measurement slot.
pub const SLOT: usize = 64;

/// A realm initial measurement in the making.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rim {
    algorithm: HashAlgorithm,
    value: [u8; SLOT],
}

/// The parameters of a realm that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredRealm {
    /// RmiRealmFlags.
    pub flags: u64,
    /// Width of the IPA space in bits.
    pub s2sz: u8,
    /// SVE vector length, (bits / 128) - 1.
    pub sve_vl: u8,
    /// Breakpoints minus one.
    pub num_bps: u8,
    /// Watchpoints minus one.
    pub num_wps: u8,
    /// PMU event counters.
    pub pmu_num_ctrs: u8,
    /// Hash algorithm.
    pub hash: HashAlgorithm,
}

/// The parameters of a runnable REC that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredRec {
    /// RmiRecCreateFlags; bit 0 (runnable) is set, or nothing is measured.
    pub flags: u64,
    /// X0-X7.
    pub gprs: [u64; 8],
    /// Program counter.
    pub pc: u64,
}

impl Rim {
    /// The measurement after `RMI_REALM_CREATE`.
    #[must_use]
    pub fn new(realm: &MeasuredRealm) -> Self {
        let mut image = [0; 4096];
        put(&mut image, 0x00, realm.flags);
        image[0x08] = realm.s2sz;
        image[0x10] = realm.sve_vl;
        image[0x18] = realm.num_bps;
        image[0x20] = realm.num_wps;
        image[0x28] = realm.pmu_num_ctrs;
        image[0x30] = realm.hash as u8;
        Self {
            algorithm: realm.hash,
            value: hash(realm.hash, &image),
        }
    }

    /// Extends it by `RMI_DATA_CREATE` at `ipa`, with the content if that is measured.
    pub fn data(&mut self, ipa: u64, content: Option<&[u8; 4096]>) {
        let mut descriptor = self.descriptor(0);
        put(&mut descriptor, 0x50, ipa);
        put(&mut descriptor, 0x58, content.is_some().into());
        if let Some(content) = content {
            descriptor[0x60..0xA0].copy_from_slice(&hash(self.algorithm, content));
        }
        self.value = hash(self.algorithm, &descriptor);
    }

    /// Extends it by `RMI_REC_CREATE`, if the REC is runnable.
    pub fn rec(&mut self, rec: &MeasuredRec) {
        if rec.flags & 1 == 0 {
            return;
        }
        let mut image = [0; 4096];
        put(&mut image, 0x000, rec.flags);
        put(&mut image, 0x200, rec.pc);
        for (i, &value) in rec.gprs.iter().enumerate() {
            put(&mut image, 0x300 + 8 * i, value);
        }
        let mut descriptor = self.descriptor(1);
        descriptor[0x50..0x90].copy_from_slice(&hash(self.algorithm, &image));
        self.value = hash(self.algorithm, &descriptor);
    }

    /// Extends it by one translation table entry that `RMI_RTT_INIT_RIPAS` made RAM, from `base` up to `top`.
    pub fn ripas(&mut self, base: u64, top: u64) {
        let mut descriptor = self.descriptor(2);
        put(&mut descriptor, 0x50, base);
        put(&mut descriptor, 0x58, top);
        self.value = hash(self.algorithm, &descriptor);
    }

    /// The measurement slot: the digest, padded with zeros to 64 bytes.
    #[must_use]
    pub const fn slot(&self) -> &[u8; SLOT] {
        &self.value
    }

    /// The digest: 32 or 64 bytes.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.value[..self.algorithm.digest_size()]
    }

    fn descriptor(&self, kind: u8) -> [u8; 256] {
        let mut descriptor = [0; 256];
        descriptor[0] = kind;
        put(&mut descriptor, 0x08, 256);
        descriptor[0x10..0x50].copy_from_slice(&self.value);
        descriptor
    }
}

impl core::fmt::Debug for Rim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// The digest in lower-case hexadecimal.
impl core::fmt::Display for Rim {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.digest()
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn put(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn hash(algorithm: HashAlgorithm, bytes: &[u8]) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    match algorithm {
        HashAlgorithm::Sha256 => slot[..32].copy_from_slice(&Sha256::digest(bytes)),
        HashAlgorithm::Sha512 => slot.copy_from_slice(&Sha512::digest(bytes)),
    }
    slot
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    /// The vectors of the specification's rules: a realm, one 2 MiB entry, two pages, a measured and an unmeasured
    /// page of data, a REC.
    fn steps(hash: HashAlgorithm) -> Vec<std::string::String> {
        let mut seen = Vec::new();
        let mut rim = Rim::new(&MeasuredRealm {
            flags: 0,
            s2sz: 40,
            sve_vl: 0,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 0,
            hash,
        });
        seen.push(rim.to_string());
        rim.ripas(0x4000_0000, 0x4020_0000);
        seen.push(rim.to_string());
        rim.ripas(0x4020_0000, 0x4020_1000);
        rim.ripas(0x4020_1000, 0x4020_2000);
        seen.push(rim.to_string());
        rim.data(0x4020_2000, Some(&[0xA5; 4096]));
        seen.push(rim.to_string());
        rim.data(0x4020_3000, None);
        seen.push(rim.to_string());
        rim.rec(&MeasuredRec {
            flags: 0,
            gprs: [7; 8],
            pc: 1,
        });
        rim.rec(&MeasuredRec {
            flags: 1,
            gprs: [0x1122_3344_5566_7788, 0, 0, 0, 0, 0, 0, 0],
            pc: 0x4020_2000,
        });
        seen.push(rim.to_string());
        seen
    }

    #[test]
    fn sha_256_vectors() {
        assert_eq!(
            steps(HashAlgorithm::Sha256),
            [
                "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b",
                "5a660fe814905c83a8958f2d8cff7e748e5afb7f4daa8d4a3d645aebd95a85d6",
                "b420ebad1cca8d5348f2984f8c637a20e1432b069b512b5367f847cc109d7c62",
                "1c3487445d693149f5942ba3724340efa7ff096126e53ebced7f1b53c80e2578",
                "2a6582831176a2ca1ffd5015418b5860e1207389607883dcd56ec61282c26c8c",
                "53e6b9001be607b683d345aa0509a57f33f9160102c771d80a8cd339c54259da",
            ]
        );
    }

    #[test]
    fn sha_512_vector() {
        let last = steps(HashAlgorithm::Sha512).pop().unwrap();
        assert_eq!(
            last,
            "7b4ffde7aaf15166128183c8258a345c95117e5a4525c6915d2171a06a1516c8\
             3d5787bdce7e2021f61b90265d68d827fb2c8d290a7ed13636c5f577b4e2ca1c"
        );
    }
}
