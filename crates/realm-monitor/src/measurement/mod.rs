//! Measurements of realms (RMM specification 1.0-rel0, chapter A7). What is hashed is described by
//! [`cca_abi::measurement`]; how it is hashed and when a realm's initial measurement (RIM) changes is decided here.

mod hash;

use cca_abi::GRANULE_SIZE;
use cca_abi::measurement::{self as descriptor, descriptor_offset};
use cca_abi::rmi::params::{RealmParams, RecParams, realm_offset, rec_offset};
use cca_abi::rmi::{DATA_FLAG_MEASURE, HashAlgorithm};

pub use cca_abi::measurement::Measurement;
use hash::Padded256;
pub use hash::{Hasher, digest, digest_granule};

use crate::platform::{Granule, Platform};
use crate::realm::{LockedRealm, Realm};

/// The slot of the realm initial measurement.
pub const RIM: usize = 0;

/// Bytes of the realm parameters before the first 128-byte boundary behind the last measured field.
const REALM_PARAMS_HEAD: usize = 128;

/// Units of 128 bytes of the REC parameters up to the last measured field.
const REC_PARAMS_HEAD: usize = (rec_offset::GPRS + 8 * 8).div_ceil(128);

/// Zeros in units of 128 bytes: the measured image of realm parameters after its first unit.
static ZEROS: [[u8; 128]; 4096 / 128 - 1] = [[0; 128]; 4096 / 128 - 1];

/// The RIM of a new realm: the digest of the measured part of its parameters in a granule of zeros.
#[must_use]
pub fn initial_rim(
    platform: &impl Platform,
    algorithm: HashAlgorithm,
    params: &RealmParams,
) -> Measurement {
    let mut head = [0; REALM_PARAMS_HEAD];
    let mut put =
        |offset: usize, value: u64| head[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    put(realm_offset::FLAGS, params.flags);
    put(realm_offset::S2SZ, params.s2sz.into());
    put(realm_offset::SVE_VL, params.sve_vl.into());
    put(realm_offset::NUM_BPS, params.num_bps.into());
    put(realm_offset::NUM_WPS, params.num_wps.into());
    put(realm_offset::PMU_NUM_CTRS, params.pmu_num_ctrs.into());
    put(realm_offset::HASH_ALGO, params.hash_algo.into());
    let mut hasher = Hasher::new(platform, algorithm);
    hasher.update(&[head]);
    hasher.update(&ZEROS);
    hasher.finish(&[])
}

/// The digest of a data granule if `flags` (RmiDataFlags) ask for it, else zero.
#[must_use]
pub fn data_content(
    platform: &impl Platform,
    realm: &Realm<'_>,
    flags: u64,
    data: &Granule,
) -> Measurement {
    if flags & DATA_FLAG_MEASURE != 0 {
        digest_granule(platform, realm.hash_algorithm(), data)
    } else {
        [0; 64]
    }
}

/// RMI_DATA_CREATE extends the RIM.
pub fn extend_data(
    platform: &impl Platform,
    realm: &LockedRealm<'_>,
    ipa: u64,
    flags: u64,
    content: &Measurement,
) {
    extend(platform, realm, |rim| {
        descriptor::data_descriptor(rim, ipa, flags, content)
    });
}

/// RMI_REC_CREATE of a runnable REC extends the RIM.
pub fn extend_rec(platform: &impl Platform, realm: &LockedRealm<'_>, params: &RecParams) {
    let mut head = [[0; 128]; REC_PARAMS_HEAD];
    let mut put = |offset: usize, value: u64| {
        head.as_flattened_mut()[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    };
    put(rec_offset::FLAGS, params.flags);
    put(rec_offset::PC, params.pc);
    for (n, &value) in params.gprs.iter().enumerate() {
        put(rec_offset::GPRS + 8 * n, value);
    }
    let mut hasher = Hasher::new(platform, realm.hash_algorithm());
    hasher.update(&head);
    hasher.update(&ZEROS[..GRANULE_SIZE as usize / 128 - REC_PARAMS_HEAD]);
    let content = hasher.finish(&[]);
    extend(platform, realm, |rim| {
        descriptor::rec_descriptor(rim, &content)
    });
}

/// RMI_RTT_INIT_RIPAS extends the RIM, once for each of `count` entries of `size` bytes from `base` on.
pub fn extend_ripas(
    platform: &impl Platform,
    realm: &LockedRealm<'_>,
    base: u64,
    size: u64,
    count: u64,
) {
    let rim = realm.measurement(RIM);
    let first = descriptor::ripas_descriptor(&rim, base, base + size);
    let mut descriptor = Padded256::new(realm.hash_algorithm(), &first);
    for i in 0..count {
        let base = base + i * size;
        descriptor.put(descriptor_offset::IPA, &base.to_le_bytes());
        descriptor.put(descriptor_offset::FLAGS, &(base + size).to_le_bytes());
        descriptor.chain(platform, descriptor_offset::RIM);
    }
    realm.set_measurement(RIM, &descriptor.get(descriptor_offset::RIM));
}

fn extend(
    platform: &impl Platform,
    realm: &LockedRealm<'_>,
    descriptor: impl FnOnce(&Measurement) -> [u8; descriptor::DESCRIPTOR_SIZE],
) {
    let rim = realm.measurement(RIM);
    let extended = Padded256::new(realm.hash_algorithm(), &descriptor(&rim)).digest(platform);
    realm.set_measurement(RIM, &extended);
}
