//! The initial measurement of the benchmark's realm, computed with a library: the RMM, which hashes with the CPU's
//! instructions, must come to the same.

use cca_abi::GRANULE_SIZE;
use cca_abi::measurement::{Measurement, data_descriptor, rec_descriptor, ripas_descriptor};
use cca_abi::rmi::params::{realm_offset, rec_offset};
use sha2::{Digest, Sha256, Sha512};
use toolbox::Error;

/// As the benchmark has it.
const BASE: u64 = 0x4000_0000;
const DATA_PAGE: u64 = BASE + 0x10_0000;

/// Compares the measurements that the realms of the benchmark read with what they must be.
pub(super) fn check(output: &str) -> Result<(), Error> {
    for (name, expected) in [("Sha256", rim::<Sha256>(0)), ("Sha512", rim::<Sha512>(1))] {
        let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        let prefix = format!("bench-rim {name} ");
        let mut found = output
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix))
            .map(str::trim)
            .peekable();
        if found.peek().is_none() || found.any(|rim| rim != expected) {
            return Err(
                Error::new(format!("the {name} measurement is not {expected}"))
                    .with_details(output.to_owned()),
            );
        }
    }
    Ok(())
}

fn hash<H: Digest>(message: &[u8]) -> Measurement {
    let mut measurement = [0; 64];
    let digest = H::digest(message);
    measurement[..digest.len()].copy_from_slice(&digest);
    measurement
}

fn rim<H: Digest>(algorithm: u8) -> Measurement {
    let mut params = [0; GRANULE_SIZE as usize];
    params[realm_offset::S2SZ] = 39;
    params[realm_offset::NUM_BPS] = 1;
    params[realm_offset::NUM_WPS] = 1;
    params[realm_offset::HASH_ALGO] = algorithm;
    let mut rim = hash::<H>(&params);

    for page in (BASE..BASE + 0x20_0000).step_by(GRANULE_SIZE as usize) {
        rim = hash::<H>(&ripas_descriptor(&rim, page, page + GRANULE_SIZE));
    }

    let noise: Vec<u8> = (1..=GRANULE_SIZE / 8)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect();
    for (ipa, flags, content) in [
        (BASE, 0, [0; 64]),
        (BASE + GRANULE_SIZE, 0, [0; 64]),
        (DATA_PAGE, 1, hash::<H>(&noise)),
        (DATA_PAGE + GRANULE_SIZE, 0, [0; 64]),
    ] {
        rim = hash::<H>(&data_descriptor(&rim, ipa, flags, &content));
    }

    let mut params = [0; GRANULE_SIZE as usize];
    for (offset, value) in [
        (rec_offset::FLAGS, 1),
        (rec_offset::PC, BASE),
        (rec_offset::GPRS, BASE + GRANULE_SIZE),
    ] {
        params[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }
    let content = hash::<H>(&params);
    for _ in 0..2 {
        rim = hash::<H>(&rec_descriptor(&rim, &content));
    }
    rim
}
