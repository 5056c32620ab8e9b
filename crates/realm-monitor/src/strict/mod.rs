//! Another RMM, for who writes a host: the same commands, answered in the strictest way that the specification allows.
//!
//! A host that is right above both monitors relies on no more than it may. The strict one
//!
//! * takes sixteen auxiliary granules for each REC, and checks and locks them as it does those that it has a use for;
//! * refuses that some granules are delegated, outside one quarter of the memory;
//! * changes RIPAS one table entry at a time;
//! * comes back from one entry in five with an interrupt that is not the host's, before the realm has run;
//! * has neither LPA2 nor 16-bit VMIDs, SVE nor a PMU for realms;
//! * reports the other one of two failure conditions that both hold, where the specification does not order them: see below;
//! * leaves nonsense in the results of a command that failed, where they are undefined, and zero in X4 otherwise.
//!
//! Where the order is left open: RMI_REC_ENTER names what is wrong with the REC before what is wrong with its realm, RMI_REC_CREATE
//! the state of the realm before all operands, and RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_RTT_CREATE the translation
//! tables before granules and the state of the realm.
//!
//! A machine takes part by [`Strict`] around its platform and [`Strictness::handle_rmi`] in place of
//! [`Monitor::handle_rmi`].

mod order;

use core::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use cca_abi::rmi::{Command, Dispatched, MAX_AUX_GRANULES, ReturnCode};
use cca_abi::smccc::{Registers, function_id};

use crate::attestation::{Attestation, Signature, Signing};
use crate::granule::GRANULE_SIZE;
use crate::monitor::Monitor;
use crate::platform::{
    AccessFault, CpuFeatures, Exception, Granule, Platform, ProcessingElement, RecContext, Stage2,
    TlbScope,
};

/// One granule in so many is not delegable, in the first three quarters of each 128 MiB.
const REFUSED_ONE_IN: u64 = 23;
/// The size of such a quarter.
const QUARTER: u64 = 32 << 20;
/// One entry in so many comes back at once.
const SPURIOUS_ONE_IN: u64 = 5;
/// What results of a failed command hold: no address, no count, no level.
const NONSENSE: u64 = 0xBAD0_BAD0_BAD0_BAD0;
/// What EL3 answers for memory that it cannot give to the Realm world (RMM-EL3 interface, E_RMM_BAD_PAS).
const BAD_PAS: i64 = cca_abi::el3::code::BAD_PAS;

/// [`Platform::least_aux_granules`] of the strict monitor.
pub const AUX_GRANULES: u64 = MAX_AUX_GRANULES as u64;
/// [`Platform::most_ripas_entries`] of the strict monitor.
pub const RIPAS_ENTRIES: u64 = 1;

/// Whether the strict monitor accepts, as far as its place goes, that the granule at `pa` is delegated.
#[must_use]
pub const fn takes(pa: u64) -> bool {
    pa / GRANULE_SIZE % REFUSED_ONE_IN != 7 || pa / QUARTER % 4 == 3
}

/// What realms may use of a PE: no more than every RMM must give them.
#[must_use]
pub fn features(cpu: &CpuFeatures) -> CpuFeatures {
    CpuFeatures {
        lpa2: false,
        vmid16: false,
        sve_vl: None,
        pmu_counters: None,
        ..*cpu
    }
}

/// What the strict monitor remembers from call to call.
#[derive(Debug, Default)]
pub struct Strictness {
    entries: AtomicU64,
}

impl Strictness {
    /// Nothing has happened yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: AtomicU64::new(0),
        }
    }

    /// [`Monitor::handle_rmi`], strictly.
    ///
    /// A function of its own wherever it is used, so that a machine that has both monitors pays for neither's stack in the other.
    #[inline(never)]
    pub fn handle_rmi<P: Platform>(
        &self,
        monitor: &Monitor<P>,
        pe: &mut impl ProcessingElement,
        registers: &mut Registers,
    ) -> Dispatched {
        let command = Command::from_function_id(function_id(registers.0[0]));
        let interrupted = command == Some(Command::RecEnter)
            && self.entries.fetch_add(1, Ordering::Relaxed) % SPURIOUS_ONE_IN == 1;
        let mut pe = Pe { pe, interrupted };
        let call = *registers;
        let mut dispatched = monitor.handle_rmi(&mut pe, registers);
        if let Some(command) = command {
            let reported = ReturnCode::decode(registers.0[0]);
            let other = reported.and_then(|code| order::other(monitor, command, &call, code));
            if let Some((code, condition)) = other {
                registers.0[0] = code.encode();
                dispatched.condition = Some(condition);
            }
            answer(command, registers);
        }
        dispatched
    }
}

/// Leaves in X1 to X4 what the specification defines, and nothing that a host could get used to (RMM specification
/// 1.0-rel0, B1: results of a command that failed are undefined, other registers are zero).
fn answer(command: Command, registers: &mut Registers) {
    let succeeded = registers.0[0] == ReturnCode::SUCCESS.encode();
    let tells = |register: usize| match command {
        // Which versions there are, which is the point of the answer.
        Command::Version => register <= 2,
        // The top of what is not there.
        Command::DataDestroy | Command::RttDestroy => register == 2,
        Command::RttUnmapUnprotected => register == 1,
        _ => false,
    };
    if !succeeded {
        for register in (1..=3).filter(|&register| !tells(register)) {
            registers.0[register] = NONSENSE;
        }
    }
    if command != Command::RttReadEntry {
        registers.0[4] = 0;
    } else if !succeeded {
        registers.0[4] = NONSENSE;
    }
}

/// A PE, of which an interrupt may have taken hold before the realm runs.
struct Pe<'p, E> {
    pe: &'p mut E,
    interrupted: bool,
}

impl<E: ProcessingElement> ProcessingElement for Pe<'_, E> {
    fn run(&mut self, rec: RecContext<'_>, stage2: &Stage2) -> Exception {
        if core::mem::take(&mut self.interrupted) {
            return Exception::Irq;
        }
        self.pe.run(rec, stage2)
    }

    fn save(&mut self, rec: RecContext<'_>) {
        self.pe.save(rec);
    }

    fn start_signing(&mut self, place: usize, signing: Signing) -> Option<Signature> {
        self.pe.start_signing(place, signing)
    }

    fn resume_signing(&mut self, place: usize) -> Option<Signature> {
        self.pe.resume_signing(place)
    }

    fn interrupt_pending(&self) -> bool {
        self.pe.interrupt_pending()
    }

    fn counter(&self) -> u64 {
        self.pe.counter()
    }
}

/// A platform as the strict monitor has it.
#[derive(Debug)]
pub struct Strict<P> {
    platform: P,
    cpu: CpuFeatures,
}

impl<P: Platform> Strict<P> {
    /// The strict view of a platform.
    pub fn new(platform: P) -> Self {
        let cpu = features(platform.cpu());
        Self { platform, cpu }
    }
}

impl<P: Platform> Platform for Strict<P> {
    #[inline]
    fn granule_states(&self) -> &[AtomicU16] {
        self.platform.granule_states()
    }

    #[inline]
    fn granule(&self, pa: u64) -> &Granule {
        self.platform.granule(pa)
    }

    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        self.platform.read_non_secure(pa, offset, into)
    }

    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        self.platform.write_non_secure(pa, offset, from)
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        self.platform.copy_from_non_secure(src, dst)
    }

    fn zero_granule(&self, pa: u64) {
        self.platform.zero_granule(pa);
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        if !takes(pa) {
            return Err(BAD_PAS);
        }
        self.platform.gtsi_delegate(pa)
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        self.platform.gtsi_undelegate(pa)
    }

    fn invalidate(&self, scope: TlbScope) {
        self.platform.invalidate(scope);
    }

    fn publish_tables(&self) {
        self.platform.publish_tables();
    }

    fn cpu(&self) -> &CpuFeatures {
        &self.cpu
    }

    fn least_aux_granules(&self) -> u64 {
        AUX_GRANULES
    }

    fn most_ripas_entries(&self) -> u64 {
        RIPAS_ENTRIES
    }

    fn attestation(&self) -> Option<&Attestation> {
        self.platform.attestation()
    }

    fn pause(&self) {
        self.platform.pause();
    }

    fn sha256_blocks(&self, state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        self.platform.sha256_blocks(state, blocks);
    }

    fn sha512_blocks(&self, state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        self.platform.sha512_blocks(state, blocks);
    }
}
