//! The three names of a vCPU: its REC index, the RmiRecMpidr that the host passes, and the MPIDR that the realm
//! sees (RMM specification 1.0-rel0, RmiRecMpidr; Arm ARM, MPIDR_EL1).

/// Bits of RmiRecMpidr that carry affinity: Aff0 has four bits only, because a GICv3 SGI target list holds 16.
pub const REC_MPIDR_MASK: u64 = 0xFFFF_FF0F;
/// Bits of MPIDR_EL1 that carry affinity of a REC.
pub const ARCHITECTURAL_MASK: u64 = 0xFF_00FF_FF0F;
/// RES1 bit of MPIDR_EL1.
pub const ARCHITECTURAL_RES1: u64 = 1 << 31;
/// Number of REC indices that can be expressed.
pub const MAX_INDEX: u64 = 1 << 28;

/// RmiRecMpidr of a REC index; `None` if the index cannot be expressed.
#[must_use]
pub const fn rec_mpidr_from_index(index: u64) -> Option<u64> {
    if index < MAX_INDEX {
        Some((index & 0xF) | (index >> 4) << 8)
    } else {
        None
    }
}

/// REC index of an RmiRecMpidr. Bits that carry no affinity are ignored.
#[must_use]
pub const fn index_from_rec_mpidr(mpidr: u64) -> u64 {
    (mpidr & 0xF) | (mpidr & 0xFFFF_FF00) >> 4
}

/// MPIDR_EL1, as a realm reads it, of a REC index.
#[must_use]
pub const fn architectural_from_index(index: u64) -> u64 {
    let aff0 = index & 0xF;
    let aff1 = (index >> 4) & 0xFF;
    let aff2 = (index >> 12) & 0xFF;
    let aff3 = (index >> 20) & 0xFF;
    aff0 | aff1 << 8 | aff2 << 16 | aff3 << 32 | ARCHITECTURAL_RES1
}

/// REC index of an MPIDR in architectural form, as it appears in PSCI arguments. Bits that carry no affinity are
/// ignored.
#[must_use]
pub const fn index_from_architectural(mpidr: u64) -> u64 {
    (mpidr & 0xF)
        | ((mpidr >> 8) & 0xFF) << 4
        | ((mpidr >> 16) & 0xFF) << 12
        | ((mpidr >> 32) & 0xFF) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_have_the_mpidrs_of_the_specification() {
        let table = [
            (0, 0),
            (1, 1),
            (15, 0xF),
            (16, 0x100),
            (4095, 0xFF0F),
            (4096, 0x1_0000),
            (1_048_576, 0x100_0000),
        ];
        for (index, mpidr) in table {
            assert_eq!(rec_mpidr_from_index(index), Some(mpidr));
            assert_eq!(index_from_rec_mpidr(mpidr), index);
            assert_eq!(
                index_from_architectural(architectural_from_index(index)),
                index
            );
        }
        assert_eq!(architectural_from_index(1_048_576), 0x1_8000_0000);
        assert_eq!(rec_mpidr_from_index(MAX_INDEX), None);
        assert_eq!(rec_mpidr_from_index(MAX_INDEX - 1), Some(REC_MPIDR_MASK));
    }
}
