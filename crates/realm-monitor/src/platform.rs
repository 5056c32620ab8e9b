//! What the RMM needs from the machine it runs on. `hardware` implements these traits with instructions,
//! the in-process machine with threads and plain memory; nothing in this crate knows the difference.

use core::sync::atomic::{AtomicU16, AtomicU64};

use crate::attestation::{Attestation, Signature, Signing};

/// 4 KiB of memory as 64-bit little-endian words.
///
/// Plain loads and stores of the RMM are relaxed atomics: a host that breaks the rules, or a realm that runs on
/// another PE, can then make values change but can never make the behaviour of this program undefined.
pub type Granule = [AtomicU64; 512];

/// An access to Non-secure memory took a granule protection fault (the granule is not Non-secure now).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessFault;

/// What an invalidation of cached translations of the Realm EL1&0 regime must reach.
///
/// Every scope covers all PEs, and the invalidation is complete when [`Platform::invalidate`] returns, including
/// combined stage 1 and stage 2 entries that depend on the translations named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlbScope {
    /// One valid 4 KiB page became invalid.
    Page {
        /// VMID of the realm.
        vmid: u16,
        /// Base of the page.
        ipa: u64,
    },
    /// One valid block became invalid.
    Block {
        /// VMID of the realm.
        vmid: u16,
        /// Base of the block.
        ipa: u64,
        /// Level of the block entry: 1 (1 GiB) or 2 (2 MiB).
        level: i8,
    },
    /// A table was unlinked that had no valid leaf entry: only cached copies of table descriptors on the way to
    /// `ipa` need to go. Nothing that a stage 1 entry could have been combined with ever existed there.
    Table {
        /// VMID of the realm.
        vmid: u16,
        /// An address that was translated through the table.
        ipa: u64,
    },
    /// Everything in a range, cached table descriptors included.
    Range {
        /// VMID of the realm.
        vmid: u16,
        /// Base of the range, 4 KiB aligned.
        ipa: u64,
        /// Size in bytes, a multiple of 4 KiB. May be as large as 512 GiB: an implementation that would have to
        /// loop for long invalidates the whole VMID instead.
        size: u64,
    },
    /// Everything that belongs to a VMID, stage 1 and stage 2.
    Vmid(u16),
}

/// Raw identification registers of the PEs (the same on all of them), as the hardware reports them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IdRegisters {
    /// ID_AA64PFR0_EL1.
    pub pfr0: u64,
    /// ID_AA64PFR1_EL1.
    pub pfr1: u64,
    /// ID_AA64PFR2_EL1.
    pub pfr2: u64,
    /// ID_AA64ZFR0_EL1.
    pub zfr0: u64,
    /// ID_AA64SMFR0_EL1.
    pub smfr0: u64,
    /// ID_AA64DFR0_EL1.
    pub dfr0: u64,
    /// ID_AA64DFR1_EL1.
    pub dfr1: u64,
    /// ID_AA64ISAR0_EL1.
    pub isar0: u64,
    /// ID_AA64ISAR1_EL1.
    pub isar1: u64,
    /// ID_AA64ISAR2_EL1.
    pub isar2: u64,
    /// ID_AA64ISAR3_EL1.
    pub isar3: u64,
    /// ID_AA64MMFR0_EL1.
    pub mmfr0: u64,
    /// ID_AA64MMFR1_EL1.
    pub mmfr1: u64,
    /// ID_AA64MMFR2_EL1.
    pub mmfr2: u64,
    /// ID_AA64MMFR3_EL1.
    pub mmfr3: u64,
    /// ID_AA64MMFR4_EL1.
    pub mmfr4: u64,
    /// MIDR_EL1.
    pub midr: u64,
}

/// What the PEs of this machine can do. Filled once at boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuFeatures {
    /// Width of physical addresses in bits (ID_AA64MMFR0_EL1.PARange decoded), 32..=52.
    pub pa_bits: u8,
    /// Whether stage 2 supports the LPA2 descriptor format with a 4 KiB granule.
    pub lpa2: bool,
    /// Whether VMIDs have 16 bits (else 8).
    pub vmid16: bool,
    /// Number of breakpoints minus one (ID_AA64DFR0_EL1.BRPs).
    pub num_bps: u8,
    /// Number of watchpoints minus one (ID_AA64DFR0_EL1.WRPs).
    pub num_wps: u8,
    /// Length of the longest SVE vectors in units of 128 bits, minus one; `None` without SVE.
    pub sve_vl: Option<u8>,
    /// Number of event counters of the PMU (PMCR_EL0.N); `None` without the architected PMU.
    pub pmu_counters: Option<u8>,
    /// ICH_VTR_EL2 of the GIC CPU interface.
    pub ich_vtr: u64,
    /// Whether the GIC has the extended ranges of PPIs and SPIs (ICC_CTLR_EL1.ExtRange).
    pub gic_extended_ranges: bool,
    /// The raw identification registers.
    pub ids: IdRegisters,
}

/// What the RMM needs from the machine, shared by all PEs.
pub trait Platform: Sync {
    /// The storage of the granule table: at least one entry per granule of the DRAM banks, all zero at boot, used
    /// by nobody else.
    fn granule_states(&self) -> &[AtomicU16];

    /// The words of a granule in the Realm physical address space. The caller holds the granule in a Realm state.
    fn granule(&self, pa: u64) -> &Granule;

    /// Copies words out of a Non-secure granule. `pa` is 4 KiB aligned, `offset` is in bytes and a multiple of 8,
    /// and the words do not reach beyond the granule.
    ///
    /// # Errors
    /// [`AccessFault`] if the granule is not accessible as Non-secure; part of `into` may have been written.
    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault>;

    /// Copies words into a Non-secure granule; the address rules of [`Platform::read_non_secure`] apply.
    ///
    /// # Errors
    /// [`AccessFault`] if the granule is not accessible as Non-secure; part of it may have been written.
    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault>;

    /// Copies a whole granule from Non-secure memory into a granule of the Realm address space.
    ///
    /// # Errors
    /// [`AccessFault`] if `src` is not accessible as Non-secure; part of `dst` may have been written.
    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault>;

    /// Fills a granule of the Realm address space with zeros.
    fn zero_granule(&self, pa: u64);

    /// Asks EL3 to move a granule from the Non-secure to the Realm physical address space.
    ///
    /// # Errors
    /// The RMM-EL3 error code, for example when the granule belongs to the Secure world.
    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64>;

    /// Asks EL3 to move a granule from the Realm to the Non-secure physical address space.
    ///
    /// # Errors
    /// The RMM-EL3 error code.
    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64>;

    /// Invalidates cached translations. Descriptor stores that this PE made before count: no PE caches from now on
    /// what they replaced.
    fn invalidate(&self, scope: TlbScope);

    /// Makes descriptor stores visible to the table walkers of all PEs (DSB ISHST).
    fn publish_tables(&self);

    /// The capabilities of the PEs.
    fn cpu(&self) -> &CpuFeatures;

    /// Fewest auxiliary granules that a REC takes, 0 to 16. More than the monitor has a use for, where a REC has to carry
    /// what only the platform knows of.
    fn least_aux_granules(&self) -> u64 {
        0
    }

    /// Most table entries, at least one, that a command which changes RIPAS works on before it answers the host.
    fn most_ripas_entries(&self) -> u64 {
        u64::MAX
    }

    /// What the monitor attests with; `None` if EL3 has given it nothing.
    fn attestation(&self) -> Option<&Attestation> {
        None
    }

    /// Told in every turn of a spin loop.
    fn pause(&self) {
        core::hint::spin_loop();
    }

    /// The SHA-256 compression function over whole blocks. Override it where the machine has instructions for it.
    fn sha256_blocks(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        sha2::block_api::compress256(state, blocks);
    }

    /// The SHA-512 compression function over whole blocks. Override it where the machine has instructions for it.
    fn sha512_blocks(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        sha2::block_api::compress512(state, blocks);
    }
}

/// The state of one REC, in its granule, as [`ProcessingElement::run`] loads and saves it. The words have the fixed
/// offsets of `rec::layout`.
#[derive(Clone, Copy)]
pub struct RecContext<'a>(pub &'a Granule);

/// The stage 2 configuration under which a REC runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2 {
    /// VTTBR_EL2: table base and VMID.
    pub vttbr: u64,
    /// VTCR_EL2.
    pub vtcr: u64,
}

/// Why a REC stopped running: the first exception taken to R-EL2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    /// A synchronous exception.
    Sync {
        /// ESR_EL2.
        esr: u64,
        /// FAR_EL2.
        far: u64,
        /// HPFAR_EL2: the address of a stage 2 fault of any kind, also where the architecture leaves the register
        /// unknown (a permission fault that is not of a table walk) and the PE has to translate `far`.
        hpfar: u64,
    },
    /// A physical IRQ is pending.
    Irq,
    /// A physical FIQ is pending.
    Fiq,
    /// An SError interrupt.
    SError {
        /// ESR_EL2.
        esr: u64,
    },
    /// An SError interrupt that was pending before the realm could be entered: the host's or the monitor's.
    EarlierSError {
        /// What ESR_EL2 would be.
        esr: u64,
    },
}

/// One PE, exclusively owned by the call that runs on it.
pub trait ProcessingElement {
    /// Loads the realm's context, enters the realm, and returns at the first exception taken to R-EL2 with the
    /// context saved back. SIMD state is switched inside, and only if the realm touches it.
    ///
    /// Only the general-purpose registers, PC, PSTATE and the timers need to be in the granule when this returns;
    /// the rest may stay in the PE until [`ProcessingElement::save`], so that a call which the RMM answers itself
    /// switches little. A PE that saves everything here is correct too.
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception;

    /// Completes what [`ProcessingElement::run`] may have left in the PE: afterwards the granule holds the whole
    /// context (what the monitor changes in it counts at the next `run`), and the PE is the host's again. Called
    /// before the monitor touches any other register of the realm and before control goes back to the host; may be
    /// called several times in a row.
    fn save(&mut self, _rec: RecContext<'_>) {}

    /// Makes a signature, until it is done (then this gives it) or a physical interrupt is pending, with the place `place` for
    /// what is to be kept until [`ProcessingElement::resume_signing`]. There are [`PLACES`](crate::attestation::PLACES), each used
    /// by one PE at a time; what was kept in this one is forgotten.
    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature>;

    /// Goes on with the signature that was suspended last in `place`, by this PE or by another one.
    fn resume_signing(&mut self, place: usize) -> Option<Signature>;

    /// Whether a physical interrupt is pending (ISR_EL1 is not zero).
    fn interrupt_pending(&self) -> bool;

    /// The physical counter (CNTPCT_EL0).
    fn counter(&self) -> u64;
}
