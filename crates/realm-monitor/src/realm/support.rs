//! What this RMM supports, and whether a realm's parameters ask for no more.

use aarch64_formats::stage2::Level;
use aarch64_formats::vtcr;
use cca_abi::rmi::HashAlgorithm;
use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::params::{RealmParams, realm_flags};

use crate::platform::CpuFeatures;

/// Smallest IPA width of a realm.
const MIN_IPA_BITS: u8 = 32;

/// A realm has at most 2^10 - 1 RECs.
const MAX_RECS_ORDER: u8 = 10;

/// A walk that starts at level 0 needs a PE with at least this physical address width.
const MIN_PA_BITS_LEVEL_0: u8 = 44;

/// Feature register 0 of an RMM on these PEs.
#[must_use]
pub const fn features(cpu: &CpuFeatures) -> FeatureRegister0 {
    let widest = if cpu.lpa2 { 52 } else { 48 };
    FeatureRegister0 {
        s2sz: if cpu.pa_bits < widest {
            cpu.pa_bits
        } else {
            widest
        },
        lpa2: cpu.lpa2,
        sve_vl: cpu.sve_vl,
        num_bps: cpu.num_bps,
        num_wps: cpu.num_wps,
        pmu_num_ctrs: cpu.pmu_counters,
        hash_sha_256: true,
        hash_sha_512: true,
        gicv3_num_lrs: (cpu.ich_vtr & 0xF) as u8,
        max_recs_order: MAX_RECS_ORDER,
    }
}

/// Whether a realm can have the cycle counter alone (ID_AA64DFR0_EL1.HPMN0).
const fn hpmn_may_be_zero(cpu: &CpuFeatures) -> bool {
    cpu.ids.dfr0 >> 60 == 1
}

/// Why parameters are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsupported {
    /// A field has a reserved value.
    Reserved,
    /// A feature or size is not supported.
    Feature,
    /// No walk can start at this level with this number of tables.
    StartLevel,
}

/// Checks realm parameters against the specification and the features of this RMM, in this order: encodings,
/// features, starting level. Returns the starting level.
///
/// # Errors
/// The first kind of check that fails.
pub(crate) fn check(
    params: &RealmParams,
    features: &FeatureRegister0,
    cpu: &CpuFeatures,
) -> Result<Level, Unsupported> {
    let Some(hash) = HashAlgorithm::decode(params.hash_algo) else {
        return Err(Unsupported::Reserved);
    };
    if params.num_bps == 0 || params.num_wps == 0 {
        return Err(Unsupported::Reserved);
    }

    let lpa2 = params.flags & realm_flags::LPA2 != 0;
    let sve = params.flags & realm_flags::SVE != 0;
    let pmu = params.flags & realm_flags::PMU != 0;
    let supported = match hash {
        HashAlgorithm::Sha256 => features.hash_sha_256,
        HashAlgorithm::Sha512 => features.hash_sha_512,
    } && (!lpa2 || features.lpa2)
        && params.s2sz >= MIN_IPA_BITS
        && params.s2sz <= features.s2sz
        && (lpa2 || params.s2sz <= 48)
        && (!sve || features.sve_vl.is_some_and(|most| params.sve_vl <= most))
        && params.num_bps <= features.num_bps
        && params.num_wps <= features.num_wps
        && (!pmu
            || features
                .pmu_num_ctrs
                .is_some_and(|most| params.pmu_num_ctrs <= most)
                && (params.pmu_num_ctrs != 0 || hpmn_may_be_zero(cpu)));
    if !supported {
        return Err(Unsupported::Feature);
    }

    let tables = vtcr::start_tables(params.s2sz.into(), params.rtt_level_start, lpa2);
    if tables != Some(params.rtt_num_start)
        || params.rtt_level_start == 0 && cpu.pa_bits < MIN_PA_BITS_LEVEL_0
    {
        return Err(Unsupported::StartLevel);
    }
    Ok(params.rtt_level_start as Level)
}
