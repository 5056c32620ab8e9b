//! The realm initial measurement (RMM specification 1.0-rel0, chapter A7), computed from the field tables.

use cca_abi::rmi::params::{RealmParams, RecParams};
use sha2::{Digest, Sha256, Sha512};

/// A measurement: the digest, then zeros.
pub(crate) type Measurement = [u8; 64];

/// H() of the realm's hash algorithm: 0 for SHA-256, else SHA-512.
pub(crate) fn hash(algorithm: u8, bytes: &[u8]) -> Measurement {
    let mut padded = [0; 64];
    if algorithm == 0 {
        padded[..32].copy_from_slice(&Sha256::digest(bytes));
    } else {
        padded.copy_from_slice(&Sha512::digest(bytes));
    }
    padded
}

fn put(image: &mut [u8], offset: usize, value: u64) {
    image[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
}

/// What RMI_REALM_CREATE starts with.
pub(crate) fn initial(params: &RealmParams) -> Measurement {
    let mut image = [0; 4096];
    put(&mut image, 0, params.flags);
    image[8] = params.s2sz;
    image[16] = params.sve_vl;
    image[24] = params.num_bps;
    image[32] = params.num_wps;
    image[40] = params.pmu_num_ctrs;
    image[48] = params.hash_algo;
    hash(params.hash_algo, &image)
}

fn descriptor(kind: u8, rim: &Measurement) -> [u8; 256] {
    let mut image = [0; 256];
    image[0] = kind;
    put(&mut image, 8, 0x100);
    image[0x10..0x50].copy_from_slice(rim);
    image
}

/// RMI_DATA_CREATE; `content` if it is measured.
pub(crate) fn data(
    algorithm: u8,
    rim: &Measurement,
    ipa: u64,
    flags: u64,
    content: Option<&[u64; 512]>,
) -> Measurement {
    let mut image = descriptor(0, rim);
    put(&mut image, 0x50, ipa);
    put(&mut image, 0x58, flags);
    if let Some(words) = content {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        image[0x60..0xA0].copy_from_slice(&hash(algorithm, &bytes));
    }
    hash(algorithm, &image)
}

/// RMI_REC_CREATE of a runnable REC.
pub(crate) fn rec(algorithm: u8, rim: &Measurement, params: &RecParams) -> Measurement {
    let mut content = [0; 4096];
    put(&mut content, 0, params.flags);
    put(&mut content, 0x200, params.pc);
    for (n, gpr) in params.gprs.iter().enumerate() {
        put(&mut content, 0x300 + 8 * n, *gpr);
    }
    let mut image = descriptor(1, rim);
    image[0x50..0x90].copy_from_slice(&hash(algorithm, &content));
    hash(algorithm, &image)
}

/// One entry of RMI_RTT_INIT_RIPAS.
pub(crate) fn ripas(algorithm: u8, rim: &Measurement, base: u64, top: u64) -> Measurement {
    let mut image = descriptor(2, rim);
    put(&mut image, 0x50, base);
    put(&mut image, 0x58, top);
    hash(algorithm, &image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(rim: &Measurement) -> String {
        rim.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The last of the specification digest's test vectors depends on all before it.
    #[test]
    fn the_published_vectors_come_out() {
        let rims = [0, 1].map(|hash_algo| {
            let params = RealmParams {
                flags: 0,
                s2sz: 40,
                sve_vl: 0,
                num_bps: 1,
                num_wps: 1,
                pmu_num_ctrs: 0,
                hash_algo,
                rpv: [3; 8],
                vmid: 9,
                rtt_base: 0x8000_0000,
                rtt_level_start: 1,
                rtt_num_start: 2,
            };
            let mut rim = initial(&params);
            for (base, size) in [
                (0x4000_0000, 0x20_0000),
                (0x4020_0000, 0x1000),
                (0x4020_1000, 0x1000),
            ] {
                rim = ripas(hash_algo, &rim, base, base + size);
            }
            let page = [0xA5A5_A5A5_A5A5_A5A5; 512];
            rim = data(hash_algo, &rim, 0x4020_2000, 1, Some(&page));
            rim = data(hash_algo, &rim, 0x4020_3000, 0, None);
            let mut params = RecParams {
                flags: 1,
                pc: 0x4020_2000,
                ..RecParams::default()
            };
            params.gprs[0] = 0x1122_3344_5566_7788;
            rec(hash_algo, &rim, &params)
        });
        assert!(
            hex(&rims[0])
                .starts_with("53e6b9001be607b683d345aa0509a57f33f9160102c771d80a8cd339c54259da00")
        );
        assert!(
            hex(&rims[1])
                .starts_with("7b4ffde7aaf15166128183c8258a345c95117e5a4525c6915d2171a06a1516c8")
        );
        assert!(
            hex(&rims[1])
                .ends_with("3d5787bdce7e2021f61b90265d68d827fb2c8d290a7ed13636c5f577b4e2ca1c")
        );
    }
}
