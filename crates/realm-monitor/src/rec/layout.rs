//! Where things live in a REC granule.
//!
//! A REC granule is 512 words of 64 bits. All constants here are *word* indices. Words below
//! [`MONITOR`] are the processor's side: the processing element (`platform::ProcessingElement`)
//! loads them before it enters the realm and stores them when the realm is left. Words from
//! [`MONITOR`] on belong to the monitor alone.
//!
//! All of the context fits in here but the registers Z0 to Z31 of vectors longer than 128 bits, which is why most realms
//! need no auxiliary granules. The size of a word and the indices are also known to assembly code: change them only
//! together with it.

/// X0 to X30.
pub const GPRS: usize = 0;
/// Number of general-purpose registers of the context.
pub const GPR_COUNT: usize = 31;
/// Address of the next instruction of the realm (ELR_EL2 on entry).
pub const PC: usize = 31;
/// Processor state of the realm (SPSR_EL2 on entry).
pub const PSTATE: usize = 32;

/// HCR_EL2 for this run. Loaded; stored too if bit 8 (VSE) is set, because the PE clears that bit when the realm
/// takes the virtual SError.
pub const HCR_EL2: usize = 33;
/// MDCR_EL2 for this run. Loaded, never stored. If TPM (bit 6) is clear the realm has the PMU, with as many event
/// counters as HPMN (bits 4:0) says. If it is set, HPMN is zero: the processing element inserts the number of event
/// counters that the PE has.
pub const MDCR_EL2: usize = 34;
/// CPTR_EL2 (layout with HCR_EL2.E2H = 1) at entry, with FP, SVE and SME trapped: the lazy SIMD switch
/// opens it. Loaded, never stored.
pub const CPTR_EL2: usize = 35;
/// CNTHCTL_EL2 (layout with HCR_EL2.E2H = 1) for this run, with the timer mask bits 18 (CNTVMASK) and
/// 19 (CNTPMASK). Changes between two runs of one entry. Loaded, never stored.
pub const CNTHCTL_EL2: usize = 36;
/// VMPIDR_EL2, what the realm reads as MPIDR_EL1. Constant for the life of the REC.
pub const VMPIDR_EL2: usize = 37;
/// VSESR_EL2, the syndrome of a virtual SError. Matters only while HCR_EL2.VSE is set.
pub const VSESR_EL2: usize = 38;
/// Length of the realm's SVE vectors in units of 128 bits; 0 if it has no SVE. Constant for the life of the REC.
pub const SVE_VECTORS: usize = 39;

/// First of the EL1 and EL0 system registers, indexed by [`SysReg`].
pub const SYSREGS: usize = 40;

/// EL1 physical timer control, CNTP_CTL_EL0, with ISTATUS as read.
pub const CNTP_CTL: usize = 72;
/// EL1 physical timer compare value, CNTP_CVAL_EL0, offset zero.
pub const CNTP_CVAL: usize = 73;
/// EL1 virtual timer control, CNTV_CTL_EL0, with ISTATUS as read.
pub const CNTV_CTL: usize = 74;
/// EL1 virtual timer compare value, CNTV_CVAL_EL0, offset zero. Load compare values before controls.
pub const CNTV_CVAL: usize = 75;

/// Pointer authentication keys: APIA, APIB, APDA, APDB, APGA, each low word then high word.
pub const PAUTH: usize = 76;
/// Number of words at [`PAUTH`].
pub const PAUTH_WORDS: usize = 10;

/// ICH_HCR_EL2. Loaded complete (with En); stored with EOIcount. Stored before En is cleared.
pub const ICH_HCR_EL2: usize = 88;
/// ICH_VMCR_EL2.
pub const ICH_VMCR_EL2: usize = 89;
/// ICH_MISR_EL2. Stored, never loaded.
pub const ICH_MISR_EL2: usize = 90;
/// Number of the realm's last breakpoint, and in bits 15:8 that of its last watchpoint. Constant for the life of the REC.
pub const DEBUG_POINTS: usize = 91;
/// ICH_LR0_EL2 to ICH_LR15_EL2. Those above the implemented number stay zero.
pub const ICH_LRS: usize = 92;
/// Number of words at [`ICH_LRS`].
pub const ICH_LR_COUNT: usize = 16;
/// ICH_AP0R0_EL2 to ICH_AP0R3_EL2. Those not implemented stay zero.
pub const ICH_AP0R: usize = 108;
/// ICH_AP1R0_EL2 to ICH_AP1R3_EL2. Those not implemented stay zero.
pub const ICH_AP1R: usize = 112;

/// ZCR_EL1, if the realm has SVE.
pub const ZCR_EL1: usize = 116;
/// 1 if the realm has opened the OS lock. The processing element gives it this lock along with the debug registers.
pub const OS_UNLOCKED: usize = 117;
/// FPCR.
pub const FPCR: usize = 118;
/// FPSR.
pub const FPSR: usize = 119;
/// Without SVE, and with vectors of 128 bits: V0 to V31, each low word then high word, and with SVE P0 to P15 and FFR of
/// two bytes each behind them. With longer vectors only P0 to P15 and FFR, each an eighth of a vector; Z0 to Z15 are at the
/// start of the first auxiliary granule, Z16 to Z31 behind them if they fit there and else at the start of the second one.
/// The offset in the granule is a multiple of 16 bytes.
pub const SIMD: usize = 120;
/// Number of words at [`SIMD`].
pub const SIMD_WORDS: usize = 70;

/// Words that the processing element may use as it likes (which PE ran this REC last, for instance).
/// Zero when the REC is created; the monitor never looks at them.
pub const PE_PRIVATE: usize = 190;
/// Number of words at [`PE_PRIVATE`].
pub const PE_PRIVATE_WORDS: usize = 2;

/// First word that belongs to the monitor alone.
pub const MONITOR: usize = 192;

/// Physical address of the realm descriptor that owns this REC.
pub const OWNER: usize = 192;
/// The MPIDR as given by the host (RmiRecMpidr).
pub const MPIDR: usize = 193;
/// 1 if the REC may be entered, 0 if the realm has turned this processor off.
pub const RUNNABLE: usize = 194;
/// 1 while a PSCI request awaits RMI_PSCI_COMPLETE.
pub const PSCI_PENDING: usize = 195;
/// 1 while a host call awaits its results.
pub const HOST_CALL_PENDING: usize = 196;
/// Next IPA of the open RIPAS change request; equal to [`RIPAS_TOP`] if there is none left to do.
pub const RIPAS_ADDR: usize = 197;
/// End of the open RIPAS change request; 0 if there is no request.
pub const RIPAS_TOP: usize = 198;
/// Requested RIPAS (`cca_abi::rmi::Ripas`: 0 EMPTY, 1 RAM).
pub const RIPAS_VALUE: usize = 199;
/// 1 if the request may change entries whose RIPAS is DESTROYED.
pub const RIPAS_DESTROYED: usize = 200;
/// What the last exit was, for the completion at the next entry: see `rec::LastExit`.
pub const LAST_EXIT: usize = 201;
/// ESR_EL2 of the last exit, complete; never shown to the host.
pub const LAST_ESR: usize = 202;
/// FAR_EL2 of the last exit, complete.
pub const LAST_FAR: usize = 203;
/// Timer outputs as reported by the last exit record: bit 0 virtual, bit 1 physical.
pub const TIMERS_REPORTED: usize = 205;
/// VTTBR_EL2 of the realm. Constant for the life of the REC.
pub const VTTBR_EL2: usize = 206;
/// VTCR_EL2 of the realm. Constant for the life of the REC.
pub const VTCR_EL2: usize = 207;
/// IPA width of the realm in bits. Constant for the life of the REC.
pub const IPA_WIDTH: usize = 208;
/// Number of auxiliary granules.
pub const AUX_COUNT: usize = 209;
/// Physical addresses of the auxiliary granules.
pub const AUX: usize = 210;
/// Largest number of auxiliary granules.
pub const AUX_MAX: usize = 16;
/// How far the attestation token is: see `rec::TokenState`.
pub const ATTEST_STATE: usize = 226;
/// The challenge of the attestation token.
pub const ATTEST_CHALLENGE: usize = 227;
/// Number of words at [`ATTEST_CHALLENGE`].
pub const ATTEST_CHALLENGE_WORDS: usize = 8;

/// Arguments of a host call, on their way from the realm's memory to the exit record.
pub const HOST_CALL_GPRS: usize = 235;

/// The measurements in the attestation token, as they were when it was begun: RIM, then REMs.
pub const ATTEST_MEASUREMENTS: usize = 266;
/// Number of measurements at [`ATTEST_MEASUREMENTS`].
pub const ATTEST_MEASUREMENT_SLOTS: usize = 5;
/// Number of words of each measurement at [`ATTEST_MEASUREMENTS`].
pub const ATTEST_MEASUREMENT_WORDS: usize = 8;
/// The signature of the realm token, once it is made.
pub const ATTEST_SIGNATURE: usize =
    ATTEST_MEASUREMENTS + ATTEST_MEASUREMENT_SLOTS * ATTEST_MEASUREMENT_WORDS;
/// Number of words at [`ATTEST_SIGNATURE`].
pub const ATTEST_SIGNATURE_WORDS: usize = 12;
/// How many bytes of the attestation token the realm has got.
pub const ATTEST_OFFSET: usize = ATTEST_SIGNATURE + ATTEST_SIGNATURE_WORDS;

/// First word that nothing uses, up to [`DBGBVR`].
pub const END: usize = ATTEST_OFFSET + 1;

/// Most breakpoints, and most watchpoints, that a processor can have.
pub const DEBUG_MAX: usize = 16;
/// DBGBVR0_EL1 to DBGBVR15_EL1. Accesses to the debug registers are trapped, so the monitor has their values. They and
/// all others from here on up to [`PMU`] are loaded while MDSCR_EL1 enables debug exceptions, and never stored.
pub const DBGBVR: usize = 378;
/// DBGBCR0_EL1 to DBGBCR15_EL1.
pub const DBGBCR: usize = DBGBVR + DEBUG_MAX;
/// DBGWVR0_EL1 to DBGWVR15_EL1.
pub const DBGWVR: usize = DBGBCR + DEBUG_MAX;
/// DBGWCR0_EL1 to DBGWCR15_EL1.
pub const DBGWCR: usize = DBGWVR + DEBUG_MAX;

/// The PMU's registers, PMCR_EL0 excepted, which every realm has: [`PmuReg`]s, then `PMEVCNTR<n>_EL0`, then
/// `PMEVTYPER<n>_EL0`.
pub const PMU: usize = DBGWCR + DEBUG_MAX;
/// Most event counters that a PMU can have.
pub const PMU_COUNTERS_MAX: usize = 31;
/// PMEVCNTR0_EL0 to PMEVCNTR30_EL0. Those that the realm does not have stay zero.
pub const PMEVCNTR: usize = PMU + PmuReg::COUNT;
/// PMEVTYPER0_EL0 to PMEVTYPER30_EL0. Those that the realm does not have stay zero.
pub const PMEVTYPER: usize = PMEVCNTR + PMU_COUNTERS_MAX;

/// The registers of the PMU of which there is one; the value is the index from [`PMU`].
#[repr(usize)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PmuReg {
    /// PMCCNTR_EL0.
    Pmccntr = 0,
    /// PMCCFILTR_EL0.
    Pmccfiltr = 1,
    /// PMCNTENSET_EL0: the counters that are enabled.
    Pmcnten = 2,
    /// PMINTENSET_EL1: the counters whose overflow interrupts.
    Pminten = 3,
    /// PMOVSSET_EL0: the counters that overflowed.
    Pmovs = 4,
    /// PMSELR_EL0.
    Pmselr = 5,
    /// PMUSERENR_EL0.
    Pmuserenr = 6,
}

impl PmuReg {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// Word index of this register in the REC granule.
    #[must_use]
    pub const fn word(self) -> usize {
        PMU + self as usize
    }
}

/// The EL1 and EL0 system registers that belong to the realm while it runs; the value is the index
/// from [`SYSREGS`].
///
/// Registers of features that the realm is not shown (SCTLR2, MPAM, MTE, SCXTNUM, permission
/// indirection) are trapped and not here.
#[repr(usize)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SysReg {
    /// SP_EL0.
    SpEl0 = 0,
    /// SP_EL1.
    SpEl1 = 1,
    /// ELR_EL1 (ELR_EL12 from EL2).
    ElrEl1 = 2,
    /// SPSR_EL1 (SPSR_EL12 from EL2).
    SpsrEl1 = 3,
    /// PMCR_EL0.
    PmcrEl0 = 4,
    /// TPIDRRO_EL0.
    TpidrroEl0 = 5,
    /// TPIDR_EL0.
    TpidrEl0 = 6,
    /// CSSELR_EL1.
    CsselrEl1 = 7,
    /// SCTLR_EL1 (SCTLR_EL12 from EL2).
    SctlrEl1 = 8,
    /// ACTLR_EL1. Accesses by the realm are trapped; its own value is kept zero.
    ActlrEl1 = 9,
    /// CPACR_EL1 (CPACR_EL12 from EL2).
    CpacrEl1 = 10,
    /// TTBR0_EL1 (TTBR0_EL12 from EL2).
    Ttbr0El1 = 11,
    /// TTBR1_EL1 (TTBR1_EL12 from EL2).
    Ttbr1El1 = 12,
    /// TCR_EL1 (TCR_EL12 from EL2).
    TcrEl1 = 13,
    /// ESR_EL1 (ESR_EL12 from EL2).
    EsrEl1 = 14,
    /// AFSR0_EL1 (AFSR0_EL12 from EL2).
    Afsr0El1 = 15,
    /// AFSR1_EL1 (AFSR1_EL12 from EL2).
    Afsr1El1 = 16,
    /// FAR_EL1 (FAR_EL12 from EL2).
    FarEl1 = 17,
    /// MAIR_EL1 (MAIR_EL12 from EL2).
    MairEl1 = 18,
    /// VBAR_EL1 (VBAR_EL12 from EL2).
    VbarEl1 = 19,
    /// CONTEXTIDR_EL1 (CONTEXTIDR_EL12 from EL2).
    ContextidrEl1 = 20,
    /// TPIDR_EL1.
    TpidrEl1 = 21,
    /// AMAIR_EL1 (AMAIR_EL12 from EL2).
    AmairEl1 = 22,
    /// CNTKCTL_EL1 (CNTKCTL_EL12 from EL2).
    CntkctlEl1 = 23,
    /// PAR_EL1.
    ParEl1 = 24,
    /// MDSCR_EL1.
    MdscrEl1 = 25,
    /// MDCCINT_EL1.
    MdccintEl1 = 26,
    /// What the realm accesses as DISR_EL1: VDISR_EL2, because HCR_EL2.AMO is set.
    DisrEl1 = 27,
}

impl SysReg {
    /// How many there are; those words follow [`SYSREGS`].
    pub const COUNT: usize = 28;

    /// Word index of this register in the REC granule.
    #[must_use]
    pub const fn word(self) -> usize {
        SYSREGS + self as usize
    }
}

const _: () = {
    assert!(GPRS + GPR_COUNT == PC);
    assert!(SYSREGS + SysReg::COUNT <= CNTP_CTL);
    assert!(PAUTH + PAUTH_WORDS <= ICH_HCR_EL2);
    assert!(ICH_LRS + ICH_LR_COUNT == ICH_AP0R);
    assert!(ICH_AP1R + 4 <= ZCR_EL1);
    // Predicates of the longest vectors; V registers and the shortest predicates.
    assert!(SIMD_WORDS * 8 >= 17 * 256 / 8 && SIMD_WORDS * 8 >= 32 * 16 + 17 * 2);
    assert!(SIMD.is_multiple_of(2) && SIMD + SIMD_WORDS == PE_PRIVATE);
    assert!(PE_PRIVATE + PE_PRIVATE_WORDS == MONITOR);
    assert!(AUX + AUX_MAX == ATTEST_STATE);
    assert!(ATTEST_CHALLENGE + ATTEST_CHALLENGE_WORDS == HOST_CALL_GPRS);
    assert!(HOST_CALL_GPRS + GPR_COUNT == ATTEST_MEASUREMENTS && END <= DBGBVR);
    assert!((PmuReg::Pmuserenr as usize) < PmuReg::COUNT);
    assert!(PMEVTYPER + PMU_COUNTERS_MAX == 512);
};
