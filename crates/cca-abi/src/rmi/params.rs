//! RmiRealmParams and RmiRecParams: what the host says of a realm and of a REC (RMM specification 1.0-rel0,
//! section B4.4). Both fill one Non-secure granule.

use super::MAX_AUX_GRANULES;
use crate::GRANULE_WORDS;

/// Byte offsets in RmiRealmParams.
pub mod realm_offset {
    /// RmiRealmFlags.
    pub const FLAGS: usize = 0x000;
    /// IPA width.
    pub const S2SZ: usize = 0x008;
    /// SVE vector length.
    pub const SVE_VL: usize = 0x010;
    /// Breakpoints minus 1.
    pub const NUM_BPS: usize = 0x018;
    /// Watchpoints minus 1.
    pub const NUM_WPS: usize = 0x020;
    /// PMU counters.
    pub const PMU_NUM_CTRS: usize = 0x028;
    /// Hash algorithm.
    pub const HASH_ALGO: usize = 0x030;
    /// Realm personalization value, 64 bytes.
    pub const RPV: usize = 0x400;
    /// VMID.
    pub const VMID: usize = 0x800;
    /// PA of the first starting-level table.
    pub const RTT_BASE: usize = 0x808;
    /// Starting level.
    pub const RTT_LEVEL_START: usize = 0x810;
    /// Number of starting-level tables.
    pub const RTT_NUM_START: usize = 0x818;
}

/// RmiRealmFlags.
pub mod realm_flags {
    /// Tables in LPA2 format.
    pub const LPA2: u64 = 1 << 0;
    /// The realm may use SVE.
    pub const SVE: u64 = 1 << 1;
    /// The realm may use the PMU.
    pub const PMU: u64 = 1 << 2;
}

/// RmiRealmParams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmParams {
    /// RmiRealmFlags, see [`realm_flags`].
    pub flags: u64,
    /// Requested IPA width in bits.
    pub s2sz: u8,
    /// Requested SVE vector length as (bits / 128) - 1.
    pub sve_vl: u8,
    /// Requested breakpoints minus 1; 0 is reserved.
    pub num_bps: u8,
    /// Requested watchpoints minus 1; 0 is reserved.
    pub num_wps: u8,
    /// Requested PMU event counters.
    pub pmu_num_ctrs: u8,
    /// RmiHashAlgorithm, as the host encoded it.
    pub hash_algo: u8,
    /// Realm personalization value, as words.
    pub rpv: [u64; 8],
    /// VMID.
    pub vmid: u16,
    /// PA of the first starting-level table.
    pub rtt_base: u64,
    /// Level of the starting-level tables.
    pub rtt_level_start: i64,
    /// Number of starting-level tables.
    pub rtt_num_start: u32,
}

impl RealmParams {
    /// Number of words of the structure up to the last field that is read.
    pub const WORDS: usize = realm_offset::RTT_NUM_START / 8 + 1;

    /// Reads the structure. Only the defined width of each field is looked at.
    ///
    /// # Panics
    /// If `words` has fewer than [`Self::WORDS`] words.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        let at = |offset: usize| words[offset / 8];
        Self {
            flags: at(realm_offset::FLAGS),
            s2sz: at(realm_offset::S2SZ) as u8,
            sve_vl: at(realm_offset::SVE_VL) as u8,
            num_bps: at(realm_offset::NUM_BPS) as u8,
            num_wps: at(realm_offset::NUM_WPS) as u8,
            pmu_num_ctrs: at(realm_offset::PMU_NUM_CTRS) as u8,
            hash_algo: at(realm_offset::HASH_ALGO) as u8,
            rpv: core::array::from_fn(|i| at(realm_offset::RPV + 8 * i)),
            vmid: at(realm_offset::VMID) as u16,
            rtt_base: at(realm_offset::RTT_BASE),
            rtt_level_start: at(realm_offset::RTT_LEVEL_START).cast_signed(),
            rtt_num_start: at(realm_offset::RTT_NUM_START) as u32,
        }
    }

    /// Writes the structure into a granule; everything that is not a field becomes zero.
    pub fn write(&self, words: &mut [u64; GRANULE_WORDS]) {
        words.fill(0);
        words[realm_offset::FLAGS / 8] = self.flags;
        words[realm_offset::S2SZ / 8] = self.s2sz.into();
        words[realm_offset::SVE_VL / 8] = self.sve_vl.into();
        words[realm_offset::NUM_BPS / 8] = self.num_bps.into();
        words[realm_offset::NUM_WPS / 8] = self.num_wps.into();
        words[realm_offset::PMU_NUM_CTRS / 8] = self.pmu_num_ctrs.into();
        words[realm_offset::HASH_ALGO / 8] = self.hash_algo.into();
        words[realm_offset::RPV / 8..realm_offset::RPV / 8 + 8].copy_from_slice(&self.rpv);
        words[realm_offset::VMID / 8] = self.vmid.into();
        words[realm_offset::RTT_BASE / 8] = self.rtt_base;
        words[realm_offset::RTT_LEVEL_START / 8] = self.rtt_level_start.cast_unsigned();
        words[realm_offset::RTT_NUM_START / 8] = self.rtt_num_start.into();
    }
}

/// Byte offsets in RmiRecParams.
pub mod rec_offset {
    /// RmiRecCreateFlags.
    pub const FLAGS: usize = 0x000;
    /// RmiRecMpidr.
    pub const MPIDR: usize = 0x100;
    /// Initial program counter.
    pub const PC: usize = 0x200;
    /// Initial X0 to X7.
    pub const GPRS: usize = 0x300;
    /// Number of auxiliary granules.
    pub const NUM_AUX: usize = 0x800;
    /// PAs of the auxiliary granules.
    pub const AUX: usize = 0x808;
}

/// RmiRecCreateFlags: the REC may run at once.
pub const REC_FLAG_RUNNABLE: u64 = 1;

/// Number of general purpose registers that the host sets at REC creation.
pub const REC_CREATE_GPRS: usize = 8;

/// RmiRecParams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecParams {
    /// RmiRecCreateFlags.
    pub flags: u64,
    /// RmiRecMpidr.
    pub mpidr: u64,
    /// Initial program counter.
    pub pc: u64,
    /// Initial X0 to X7.
    pub gprs: [u64; REC_CREATE_GPRS],
    /// Number of entries of `aux` that are used, as the host wrote it: may be any value.
    pub num_aux: u64,
    /// PAs of the auxiliary granules.
    pub aux: [u64; MAX_AUX_GRANULES],
}

impl RecParams {
    /// Number of words of the structure up to the last field.
    pub const WORDS: usize = rec_offset::AUX / 8 + MAX_AUX_GRANULES;

    /// Reads the structure.
    ///
    /// # Panics
    /// If `words` has fewer than [`Self::WORDS`] words.
    #[must_use]
    pub fn read(words: &[u64]) -> Self {
        let at = |offset: usize| words[offset / 8];
        Self {
            flags: at(rec_offset::FLAGS),
            mpidr: at(rec_offset::MPIDR),
            pc: at(rec_offset::PC),
            gprs: core::array::from_fn(|i| at(rec_offset::GPRS + 8 * i)),
            num_aux: at(rec_offset::NUM_AUX),
            aux: core::array::from_fn(|i| at(rec_offset::AUX + 8 * i)),
        }
    }

    /// Writes the structure into a granule; everything that is not a field becomes zero.
    pub fn write(&self, words: &mut [u64; GRANULE_WORDS]) {
        words.fill(0);
        words[rec_offset::FLAGS / 8] = self.flags;
        words[rec_offset::MPIDR / 8] = self.mpidr;
        words[rec_offset::PC / 8] = self.pc;
        words[rec_offset::GPRS / 8..rec_offset::GPRS / 8 + REC_CREATE_GPRS]
            .copy_from_slice(&self.gprs);
        words[rec_offset::NUM_AUX / 8] = self.num_aux;
        words[rec_offset::AUX / 8..rec_offset::AUX / 8 + MAX_AUX_GRANULES]
            .copy_from_slice(&self.aux);
    }
}

// The numbers of the specification's tables, in decimal.
const _: () = {
    assert!(realm_offset::S2SZ == 8 && realm_offset::SVE_VL == 16 && realm_offset::NUM_BPS == 24);
    assert!(
        realm_offset::NUM_WPS == 32
            && realm_offset::PMU_NUM_CTRS == 40
            && realm_offset::HASH_ALGO == 48
    );
    assert!(
        realm_offset::RPV == 1024 && realm_offset::VMID == 2048 && realm_offset::RTT_BASE == 2056
    );
    assert!(realm_offset::RTT_LEVEL_START == 2064 && realm_offset::RTT_NUM_START == 2072);
    assert!(rec_offset::MPIDR == 256 && rec_offset::PC == 512 && rec_offset::GPRS == 768);
    assert!(rec_offset::NUM_AUX == 2048 && rec_offset::AUX == 2056);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realm_params_survive_a_round_trip() {
        let params = RealmParams {
            flags: 7,
            s2sz: 40,
            sve_vl: 3,
            num_bps: 1,
            num_wps: 2,
            pmu_num_ctrs: 4,
            hash_algo: 1,
            rpv: [1, 2, 3, 4, 5, 6, 7, 8],
            vmid: 0xABCD,
            rtt_base: 0x8000_0000,
            rtt_level_start: -1,
            rtt_num_start: 16,
        };
        let mut words = [u64::MAX; GRANULE_WORDS];
        params.write(&mut words);
        assert_eq!(RealmParams::read(&words), params);
        assert_eq!(words.iter().filter(|&&word| word != 0).count(), 7 + 8 + 4);
    }

    #[test]
    fn rec_params_survive_a_round_trip() {
        let params = RecParams {
            flags: 1,
            mpidr: 0x100,
            pc: 0x4000_0000,
            gprs: [1, 2, 3, 4, 5, 6, 7, 8],
            num_aux: 16,
            aux: [0x1000; 16],
        };
        let mut words = [u64::MAX; GRANULE_WORDS];
        params.write(&mut words);
        assert_eq!(RecParams::read(&words), params);
        assert_eq!(words.iter().filter(|&&word| word != 0).count(), 4 + 8 + 16);
    }
}
