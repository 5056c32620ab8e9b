//! What is hashed into a realm's initial measurement (RMM specification 1.0-rel0, section A7.1.2).
//!
//! A measurement slot is 64 bytes; a shorter digest is followed by zeros. Every extension hashes a 256-byte
//! descriptor that contains the current value, and replaces the value by the digest. Hashing itself is left to
//! the caller.

use crate::GRANULE_WORDS;
use crate::rmi::params::{RealmParams, RecParams, rec_offset};

/// A measurement: 64 bytes, a shorter digest padded with zeros.
pub type Measurement = [u8; 64];

/// Size of a measurement descriptor in bytes.
pub const DESCRIPTOR_SIZE: usize = 0x100;

/// Byte offsets in the measurement descriptors.
pub mod descriptor_offset {
    /// Kind: 0 data, 1 REC, 2 RIPAS.
    pub const DESC_TYPE: usize = 0x00;
    /// Length, 0x100.
    pub const LEN: usize = 0x08;
    /// Current measurement.
    pub const RIM: usize = 0x10;
    /// Data: IPA. RIPAS: base.
    pub const IPA: usize = 0x50;
    /// Data: flags. RIPAS: top.
    pub const FLAGS: usize = 0x58;
    /// Data: digest of the content.
    pub const DATA_CONTENT: usize = 0x60;
    /// REC: digest of the parameters.
    pub const REC_CONTENT: usize = 0x50;
}

fn header(desc_type: u8, rim: &Measurement) -> [u8; DESCRIPTOR_SIZE] {
    let mut descriptor = [0; DESCRIPTOR_SIZE];
    descriptor[descriptor_offset::DESC_TYPE] = desc_type;
    put(
        &mut descriptor,
        descriptor_offset::LEN,
        DESCRIPTOR_SIZE as u64,
    );
    descriptor[descriptor_offset::RIM..descriptor_offset::RIM + 64].copy_from_slice(rim);
    descriptor
}

fn put(descriptor: &mut [u8; DESCRIPTOR_SIZE], at: usize, value: u64) {
    descriptor[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Descriptor of RMI_DATA_CREATE. `content` is the digest of the 4096 bytes if they are measured, else zero.
#[must_use]
pub fn data_descriptor(
    rim: &Measurement,
    ipa: u64,
    flags: u64,
    content: &Measurement,
) -> [u8; DESCRIPTOR_SIZE] {
    let mut descriptor = header(0, rim);
    put(&mut descriptor, descriptor_offset::IPA, ipa);
    put(&mut descriptor, descriptor_offset::FLAGS, flags);
    descriptor[descriptor_offset::DATA_CONTENT..descriptor_offset::DATA_CONTENT + 64]
        .copy_from_slice(content);
    descriptor
}

/// Descriptor of RMI_REC_CREATE for a runnable REC. `content` is the digest of the granule that
/// [`measured_rec_params`] gives.
#[must_use]
pub fn rec_descriptor(rim: &Measurement, content: &Measurement) -> [u8; DESCRIPTOR_SIZE] {
    let mut descriptor = header(1, rim);
    descriptor[descriptor_offset::REC_CONTENT..descriptor_offset::REC_CONTENT + 64]
        .copy_from_slice(content);
    descriptor
}

/// Descriptor of RMI_RTT_INIT_RIPAS for one translation table entry.
#[must_use]
pub fn ripas_descriptor(rim: &Measurement, base: u64, top: u64) -> [u8; DESCRIPTOR_SIZE] {
    let mut descriptor = header(2, rim);
    put(&mut descriptor, descriptor_offset::IPA, base);
    put(&mut descriptor, descriptor_offset::FLAGS, top);
    descriptor
}

/// The part of the realm parameters that RMI_REALM_CREATE measures: a granule in which everything else is zero.
/// The initial measurement is the digest of its 4096 bytes.
#[must_use]
pub fn measured_realm_params(params: &RealmParams) -> [u64; GRANULE_WORDS] {
    let measured = RealmParams {
        rpv: [0; 8],
        vmid: 0,
        rtt_base: 0,
        rtt_level_start: 0,
        rtt_num_start: 0,
        ..*params
    };
    let mut words = [0; GRANULE_WORDS];
    measured.write(&mut words);
    words
}

/// Words of [`measured_realm_params`] up to the last that can be other than zero.
pub const MEASURED_REALM_PARAMS_WORDS: usize = 7;

/// The part of the REC parameters that RMI_REC_CREATE measures: a granule in which everything else is zero.
#[must_use]
pub fn measured_rec_params(params: &RecParams) -> [u64; GRANULE_WORDS] {
    let measured = RecParams {
        mpidr: 0,
        num_aux: 0,
        aux: [0; crate::rmi::MAX_AUX_GRANULES],
        ..*params
    };
    let mut words = [0; GRANULE_WORDS];
    measured.write(&mut words);
    words
}

/// Words of [`measured_rec_params`] up to the last that can be other than zero.
pub const MEASURED_REC_PARAMS_WORDS: usize =
    rec_offset::GPRS / 8 + crate::rmi::params::REC_CREATE_GPRS;

const _: () = {
    assert!(descriptor_offset::IPA == 80 && descriptor_offset::FLAGS == 88);
    assert!(descriptor_offset::DATA_CONTENT == 96 && descriptor_offset::REC_CONTENT == 80);
};
