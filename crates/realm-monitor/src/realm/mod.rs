//! Realms: the attributes in a realm descriptor (RD) granule (RMM specification 1.0-rel0, chapter A2).

pub mod layout;

mod support;
pub mod vmid;

use core::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::HashAlgorithm;
use cca_abi::rmi::params::{RealmParams, realm_flags};

pub use support::features;
pub(crate) use support::{Unsupported, check};
pub use vmid::{VmidReservation, VmidSet};

use crate::granule::{Locked, Rd};
use crate::measurement::Measurement;
use crate::platform::{Granule, Platform, Stage2};
use crate::rtt::AddressSpace;

/// Lifecycle state of a realm (RMM specification 1.0-rel0, chapter A2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum RealmState {
    /// Being built; its initial measurement can change.
    New = 0,
    /// May run.
    Active = 1,
    /// Switched itself off; can only be destroyed.
    SystemOff = 2,
}

/// The attributes of a realm, to be read.
///
/// Everything but the state, the REC index and the measurements is constant for the life of the realm, so whoever
/// holds a REC of the realm may read those without the RD's lock.
#[derive(Clone, Copy, Debug)]
pub struct Realm<'a> {
    words: &'a Granule,
}

impl<'a> Realm<'a> {
    /// The realm of a granule that is known to be in state RD, and to stay so: the caller has it locked, or has a
    /// REC that is owned by it.
    #[must_use]
    #[inline]
    pub fn at(platform: &'a impl Platform, rd: u64) -> Self {
        Self {
            words: platform.granule(rd),
        }
    }

    #[inline]
    fn get(&self, word: usize) -> u64 {
        self.words[word].load(Relaxed)
    }

    /// Lifecycle state. Without the lock of the RD this is the state of a moment ago.
    #[must_use]
    #[inline]
    pub fn state(&self) -> RealmState {
        match self.get(layout::STATE) {
            0 => RealmState::New,
            1 => RealmState::Active,
            _ => RealmState::SystemOff,
        }
    }

    /// IPA width in bits.
    #[must_use]
    #[inline]
    pub fn ipa_bits(&self) -> u32 {
        self.get(layout::IPA_BITS) as u32
    }

    /// The stage 2 translation of the realm, as table walks need it.
    #[must_use]
    #[inline]
    pub fn address_space(&self) -> AddressSpace {
        AddressSpace {
            root: self.get(layout::RTT_BASE),
            start_level: self.get(layout::RTT_LEVEL_START) as i8,
            ipa_bits: self.ipa_bits(),
            lpa2: self.get(layout::FLAGS) & realm_flags::LPA2 != 0,
            vmid: self.get(layout::VMID) as u16,
        }
    }

    /// Number of starting-level tables.
    #[must_use]
    pub fn start_tables(&self) -> u64 {
        self.get(layout::RTT_NUM_START)
    }

    /// The stage 2 configuration for running a REC.
    #[must_use]
    pub fn stage2(&self) -> Stage2 {
        Stage2 {
            vttbr: self.get(layout::VTTBR),
            vtcr: self.get(layout::VTCR),
        }
    }

    /// RmiRealmFlags.
    #[must_use]
    pub fn flags(&self) -> u64 {
        self.get(layout::FLAGS)
    }

    /// Length of SVE vectors in units of 128 bits; 0 without SVE.
    #[must_use]
    pub fn sve_vectors(&self) -> u64 {
        if self.flags() & realm_flags::SVE == 0 {
            0
        } else {
            self.get(layout::SVE_VL) + 1
        }
    }

    /// Breakpoints minus one.
    #[must_use]
    pub fn num_bps(&self) -> u8 {
        self.get(layout::NUM_BPS) as u8
    }

    /// Watchpoints minus one.
    #[must_use]
    pub fn num_wps(&self) -> u8 {
        self.get(layout::NUM_WPS) as u8
    }

    /// PMU event counters; `None` without PMU.
    #[must_use]
    pub fn pmu_counters(&self) -> Option<u8> {
        (self.flags() & realm_flags::PMU != 0).then(|| self.get(layout::PMU_NUM_CTRS) as u8)
    }

    /// The hash algorithm of all measurements.
    #[must_use]
    #[inline]
    pub fn hash_algorithm(&self) -> HashAlgorithm {
        if self.get(layout::HASH_ALGORITHM) == HashAlgorithm::Sha512 as u64 {
            HashAlgorithm::Sha512
        } else {
            HashAlgorithm::Sha256
        }
    }

    /// The REC index that the next REC must have.
    #[must_use]
    pub fn rec_index(&self) -> u64 {
        self.get(layout::REC_INDEX)
    }

    /// Auxiliary granules that each REC needs.
    #[must_use]
    #[inline]
    pub fn aux_count(&self) -> u64 {
        self.get(layout::AUX_COUNT)
    }

    /// Realm personalization value.
    #[must_use]
    pub fn rpv(&self) -> [u64; layout::RPV_WORDS] {
        core::array::from_fn(|i| self.get(layout::RPV + i))
    }

    /// A measurement slot: 0 is the RIM, 1 to 4 are the REMs. Needs the lock of the RD to be consistent, except
    /// for the RIM of a realm that is not NEW any more.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    pub fn measurement(&self, slot: usize) -> Measurement {
        let mut bytes = [0; 64];
        let words = self.measurement_words(slot);
        for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
            *chunk = word.to_le_bytes();
        }
        bytes
    }

    /// As [`Realm::measurement`], in words.
    ///
    /// # Panics
    /// If there is no such slot.
    #[must_use]
    #[inline]
    pub fn measurement_words(&self, slot: usize) -> [u64; layout::MEASUREMENT_WORDS] {
        assert!(slot < layout::MEASUREMENT_SLOTS, "measurement slot {slot}");
        let first = layout::MEASUREMENTS + slot * layout::MEASUREMENT_WORDS;
        core::array::from_fn(|i| self.get(first + i))
    }
}

/// The attributes of a realm whose RD is locked: they may be changed too.
#[derive(Clone, Copy, Debug)]
pub struct LockedRealm<'a>(Realm<'a>);

impl<'a> core::ops::Deref for LockedRealm<'a> {
    type Target = Realm<'a>;
    #[inline]
    fn deref(&self) -> &Realm<'a> {
        &self.0
    }
}

impl Locked<'_, Rd> {
    /// The realm of this descriptor.
    #[must_use]
    #[inline]
    pub fn realm<'g, P: Platform>(&'g self, platform: &'g P) -> LockedRealm<'g> {
        LockedRealm(Realm {
            words: self.words(platform),
        })
    }
}

impl LockedRealm<'_> {
    #[inline]
    fn set(&self, word: usize, value: u64) {
        self.0.words[word].store(value, Relaxed);
    }

    /// Fills a descriptor that is all zero: state NEW, no REC yet, measurements zero.
    pub fn initialise(
        &self,
        params: &RealmParams,
        level_start: i8,
        stage2: Stage2,
        aux_count: u64,
    ) {
        self.set(layout::STATE, RealmState::New as u64);
        self.set(layout::IPA_BITS, params.s2sz.into());
        self.set(layout::FLAGS, params.flags);
        self.set(layout::HASH_ALGORITHM, params.hash_algo.into());
        self.set(layout::RTT_BASE, params.rtt_base);
        self.set(
            layout::RTT_LEVEL_START,
            i64::from(level_start).cast_unsigned(),
        );
        self.set(layout::RTT_NUM_START, params.rtt_num_start.into());
        self.set(layout::VMID, params.vmid.into());
        self.set(layout::SVE_VL, params.sve_vl.into());
        self.set(layout::NUM_BPS, params.num_bps.into());
        self.set(layout::NUM_WPS, params.num_wps.into());
        self.set(layout::PMU_NUM_CTRS, params.pmu_num_ctrs.into());
        self.set(layout::VTTBR, stage2.vttbr);
        self.set(layout::VTCR, stage2.vtcr);
        self.set(layout::AUX_COUNT, aux_count);
        for (i, &word) in params.rpv.iter().enumerate() {
            self.set(layout::RPV + i, word);
        }
    }

    /// Moves the realm to another lifecycle state.
    #[inline]
    pub fn set_state(&self, state: RealmState) {
        self.set(layout::STATE, state as u64);
    }

    /// Sets the index that the next REC must have.
    #[inline]
    pub fn set_rec_index(&self, index: u64) {
        self.set(layout::REC_INDEX, index);
    }

    /// Replaces a measurement.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn set_measurement(&self, slot: usize, value: &Measurement) {
        assert!(slot < layout::MEASUREMENT_SLOTS, "measurement slot {slot}");
        for (i, chunk) in value.as_chunks().0.iter().enumerate() {
            self.set(
                layout::MEASUREMENTS + slot * layout::MEASUREMENT_WORDS + i,
                u64::from_le_bytes(*chunk),
            );
        }
    }
}
