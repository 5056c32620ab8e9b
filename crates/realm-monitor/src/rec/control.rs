//! What EL2 controls while a realm runs (RMM specification 1.0-rel0, A5; Arm architecture reference manual).

/// HCR_EL2 without the bits that change from run to run.
pub(super) const HCR_BASE: u64 = bits(&[
    0,  // VM: stage 2 translation.
    1,  // SWIO: data cache invalidation by set/way cleans too.
    2,  // PTW: a stage 1 walk through device memory faults.
    3,  // FMO
    4,  // IMO
    5,  // AMO: physical interrupts come to EL2, virtual ones are enabled.
    9,  // FB: cache and TLB maintenance is broadcast, because a REC moves between PEs.
    10, // BSU: barriers reach the inner shareable domain.
    18, // TID3: identification registers are ours to answer.
    19, // TSC: so are SMCs.
    20, // TIDCP: implementation defined registers are undefined.
    21, // TACR: ACTLR_EL1 is not the realm's.
    31, // RW: EL1 is AArch64.
    34, // E2H
    35, // TLOR: the realm has no LORegions.
    36, // TERR: nor error records.
    37, // TEA: external aborts come to EL2.
    40, // APK
    41, // API: pointer authentication is the realm's own business.
    46, // FWB: stage 2 decides about memory attributes.
]);

/// HCR_EL2.VSE: a virtual SError is pending.
pub(super) const HCR_VSE: u64 = 1 << 8;
/// HCR_EL2.TWI: WFI and WFIT exit.
pub(super) const HCR_TWI: u64 = 1 << 13;
/// HCR_EL2.TWE: WFE and WFET exit.
pub(super) const HCR_TWE: u64 = 1 << 14;

/// MDCR_EL2 of a realm with this many event counters, or without PMU.
pub(super) const fn mdcr(pmu_counters: Option<u8>) -> u64 {
    match pmu_counters {
        Some(counters) => MDCR_BASE | counters as u64,
        None => MDCR_BASE | MDCR_TPM | MDCR_TPMCR,
    }
}

/// Number of event counters in a value of [`mdcr`].
pub(super) const fn pmu_counters(mdcr: u64) -> Option<u8> {
    if mdcr & MDCR_TPM == 0 {
        Some((mdcr & 0x1F) as u8)
    } else {
        None
    }
}

const MDCR_TPMCR: u64 = 1 << 5;
const MDCR_TPM: u64 = 1 << 6;

/// MDCR_EL2 without what concerns the PMU of the realm: debug registers and OS lock are trapped, because the monitor
/// answers for them; counters of other worlds stand still, and those of the realm at EL2.
const MDCR_BASE: u64 = bits(&[
    9,  // TDA
    10, // TDOSA
    11, // TDRA
    17, // HPMD
    23, // HCCD
    28, // MTPME
]);

/// CPTR_EL2 with E2H = 1: SVE, FP and SME trapped (the lazy switch opens FP, and SVE for a realm that has it), trace and activity monitors trapped.
pub(super) const CPTR: u64 = bits(&[
    28, // TTA
    30, // TAM
]);

const fn bits(positions: &[u32]) -> u64 {
    let mut value = 0;
    let mut i = 0;
    while i < positions.len() {
        value |= 1 << positions[i];
        i += 1;
    }
    value
}

// The value that the specification's reference implementation uses, and the bits that are added to it.
const _: () =
    assert!(HCR_BASE == 0x4324_800C_043F | 1 << 9 | 1 << 20 | 1 << 21 | 1 << 35 | 1 << 36);
