//! What the two monitors see of the machine: their platform traits.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use aarch64_formats::gpt::AddressSpace;
use cca_abi::el3;
use cca_abi::smccc::Registers;
use machine_eyes::{Eyes, Memory};
use realm_monitor::attestation::{Attestation, RootServices};
use realm_monitor::granule::Banks;
use realm_monitor::platform::{AccessFault, CpuFeatures, Granule, IdRegisters, TlbScope};
use realm_monitor::strict;
use root_monitor::{Action, RootMonitor, World};

use crate::board::{Board, NoAccess};
use crate::cpu::state::ICH_VTR;
use crate::firmware::SHARED_BUFFER;
use crate::guests::Identity;
use crate::memory::{GRANULE_SIZE, Page};
use crate::protection::PhysicalAddressSpace;
use crate::storage::Storage;

thread_local! {
    /// Which processing element this thread is.
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The processing element that the calling thread is.
///
/// # Panics
///
/// If it is none: code that issues SMCs runs on a processing element.
pub(crate) fn current() -> usize {
    CURRENT
        .get()
        .expect("this thread is no processing element: use HostPe::run")
}

/// Runs `code` on processing element `pe` of a board.
#[inline]
pub(crate) fn on<T>(board: &Board, pe: usize, code: impl FnOnce() -> T) -> T {
    if CURRENT.get() == Some(pe) {
        return code();
    }
    become_and_run(board, pe, code)
}

/// [`on`] for a thread that is not that processing element yet.
#[inline(never)]
fn become_and_run<T>(board: &Board, pe: usize, code: impl FnOnce() -> T) -> T {
    struct Restore<'b>(&'b Board, Option<usize>);
    impl Drop for Restore<'_> {
        fn drop(&mut self) {
            CURRENT.set(self.1);
            if self.1.is_none() {
                self.0.clock.stop();
            }
        }
    }
    let outer = CURRENT.replace(Some(pe));
    if outer.is_none() {
        board.clock.start();
    }
    let _restore = Restore(board, outer);
    code()
}

/// The machine under the root monitor.
pub(crate) struct RootPlatform {
    /// The board.
    pub(crate) board: Arc<Board>,
    /// For each processing element, whether it has been woken since somebody last looked.
    pub(crate) woken: Vec<AtomicBool>,
}

impl root_monitor::Platform for RootPlatform {
    fn clean_to_aliasing_point(&self, _alias: AddressSpace, _address: u64) {
        // There are no caches.
    }

    /// Memory is gone with the process.
    fn note_delegation(&self) {}

    fn invalidate_protection(&self, _address: u64) {
        self.board.settle();
    }

    fn wake(&self, pe: usize) {
        self.woken[pe].store(true, Ordering::Release);
    }

    fn ring(&self) {
        // The control channel of this machine is a stream, which nobody has to ring for.
    }

    fn shared_buffer(&self) -> &[AtomicU64; cca_abi::GRANULE_WORDS] {
        self.board
            .page(SHARED_BUFFER, PhysicalAddressSpace::Realm)
            .expect("the shared buffer is Realm memory")
    }
}

/// The root monitor of a machine.
pub(crate) type Root = RootMonitor<'static, RootPlatform>;

/// The machine under the realm monitor.
pub struct RealmPlatform {
    /// EL3, for its services.
    pub(crate) root: Arc<Root>,
    /// The board.
    pub(crate) board: Arc<Board>,
    /// The granule table.
    pub(crate) states: Storage<AtomicU16>,
    /// Which granule each of its words is about.
    pub(crate) banks: Banks,
    /// What would go wrong here if the realm monitor did things in the wrong order.
    pub(crate) eyes: Eyes,
    /// What the processing elements can do.
    pub(crate) features: CpuFeatures,
    /// Whether the realm monitor is the strict one.
    pub(crate) strict: bool,
    /// What the realm monitor attests with, from the moment at which it is first asked for: most runs of a machine
    /// attest nothing.
    pub(crate) attestation: OnceLock<Option<Attestation>>,
}

impl RootServices for RealmPlatform {
    fn shared_buffer_address(&self) -> u64 {
        SHARED_BUFFER
    }

    fn shared_buffer(&self) -> &Granule {
        self.realm_page(SHARED_BUFFER)
    }

    fn call(&self, registers: &mut Registers) {
        let action = self.root.smc(current(), World::Realm, registers);
        assert_eq!(
            action,
            Action::Return,
            "a service of EL3 returns to its caller"
        );
    }
}

/// The processing elements of QEMU's `max` processor.
pub(crate) fn features() -> CpuFeatures {
    CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        vmid16: true,
        num_bps: 5,
        num_wps: 3,
        sve_vl: Some(15),
        pmu_counters: Some(6),
        ich_vtr: ICH_VTR,
        gic_extended_ranges: false,
        ids: IdRegisters {
            pfr0: 0x1311_0011_2111_2222,
            pfr1: 0x0000_0010_0100_0121,
            dfr0: 0x1000_0000_1030_560A,
            isar0: 0x1221_1111_1021_2120,
            isar1: 0x0111_2111_1021_1502,
            isar2: 0x0000_0000_0011_0012,
            mmfr0: 0x2100_0323_1020_1126,
            mmfr1: 0x0110_1120_1031_2122,
            mmfr2: 0x1221_0111_1201_1011,
            mmfr3: 0x1000_0000_0000_0000,
            midr: 0x000F_0510,
            ..IdRegisters::default()
        },
    }
}

#[cold]
fn no_realm_page(pa: u64, cause: NoAccess) -> ! {
    panic!("the realm monitor accesses {pa:#x} in the Realm physical address space: {cause:?}")
}

/// What a service of EL3 returns.
fn served(code: i64) -> Result<(), i64> {
    match code {
        el3::code::OK => Ok(()),
        code => Err(code),
    }
}

impl RealmPlatform {
    fn realm_page(&self, pa: u64) -> &Page {
        let page = self.board.page(pa, PhysicalAddressSpace::Realm);
        page.unwrap_or_else(|cause| no_realm_page(pa, cause))
    }

    /// # Panics
    ///
    /// If there is no memory at `pa`: the monitor did not check an address of the host's.
    fn host_page(&self, pa: u64) -> Result<&Page, AccessFault> {
        assert!(
            pa.is_multiple_of(GRANULE_SIZE),
            "the realm monitor accesses Non-secure memory at {pa:#x}, unaligned"
        );
        self.board
            .page(pa, PhysicalAddressSpace::NonSecure)
            .map_err(|cause| match cause {
                NoAccess::Protected(_) => AccessFault,
                NoAccess::NoMemory => {
                    panic!("the realm monitor accesses Non-secure memory at {pa:#x}: there is none")
                }
            })
    }
}

/// The words of a granule from a byte offset on.
fn words(page: &Page, offset: usize, count: usize) -> &[std::sync::atomic::AtomicU64] {
    assert!(
        offset.is_multiple_of(8),
        "the realm monitor accesses Non-secure memory at offset {offset:#x}, unaligned"
    );
    &page[offset / 8..][..count]
}

impl Memory for RealmPlatform {
    fn state(&self, pa: u64) -> Option<&AtomicU16> {
        self.states.words().get(self.banks.index(pa)?)
    }

    fn words(&self, pa: u64) -> Option<&Granule> {
        self.board.memory.touched(pa)
    }
}

impl realm_monitor::platform::Platform for RealmPlatform {
    fn granule_states(&self) -> &[AtomicU16] {
        self.states.words()
    }

    fn granule(&self, pa: u64) -> &Granule {
        self.eyes.granule(self, pa);
        self.realm_page(pa)
    }

    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        let _busy = self.board.pes[current()].access();
        let cells = words(self.host_page(pa)?, offset, into.len());
        machine_eyes::read(pa, offset, size_of_val(into));
        for (word, cell) in into.iter_mut().zip(cells) {
            *word = cell.load(Ordering::Relaxed);
        }
        self.board.meddler.meddle(pa, offset, cells);
        Ok(())
    }

    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        let _busy = self.board.pes[current()].access();
        for (word, cell) in from
            .iter()
            .zip(words(self.host_page(pa)?, offset, from.len()))
        {
            cell.store(*word, Ordering::Relaxed);
        }
        Ok(())
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        let _busy = self.board.pes[current()].access();
        let (from, to) = (self.host_page(src)?, self.realm_page(dst));
        self.eyes.fill(dst);
        machine_eyes::probe(src);
        machine_eyes::read(src, 0, size_of_val(from));
        for (from, to) in from.iter().zip(to) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.board.meddler.meddle(src, 0, from);
        Ok(())
    }

    fn zero_granule(&self, pa: u64) {
        self.eyes.wipe(self, pa);
        // What nobody has touched is zero.
        let touched = self.board.touched(pa, PhysicalAddressSpace::Realm);
        if let Some(page) = touched.unwrap_or_else(|cause| no_realm_page(pa, cause)) {
            for word in page {
                word.store(0, Ordering::Relaxed);
            }
        }
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        if self.strict && !strict::takes(pa) {
            return Err(el3::code::BAD_PAS);
        }
        self.eyes.delegate(self, pa);
        served(self.root.delegate(pa))
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        self.eyes.undelegate(self, pa);
        served(self.root.undelegate(pa))?;
        if let Some(page) = self.board.memory.touched(pa) {
            self.board.guests.forget(Identity::of(page));
        }
        Ok(())
    }

    fn invalidate(&self, scope: TlbScope) {
        self.eyes.invalidate(self, &scope);
        // Nothing is cached, but an access may be between its translation and its end.
        self.board.settle();
    }

    fn publish_tables(&self) {
        self.eyes.publish(self);
        fence(Ordering::SeqCst);
    }

    fn cpu(&self) -> &CpuFeatures {
        &self.features
    }

    fn least_aux_granules(&self) -> u64 {
        if self.strict { strict::AUX_GRANULES } else { 0 }
    }

    fn most_ripas_entries(&self) -> u64 {
        if self.strict {
            strict::RIPAS_ENTRIES
        } else {
            u64::MAX
        }
    }

    fn attestation(&self) -> Option<&Attestation> {
        self.attestation
            .get_or_init(|| Attestation::fetch(self).ok())
            .as_ref()
    }

    fn pause(&self) {
        // Whoever holds the lock may never give it back.
        assert!(
            self.board.failure.get().is_none(),
            "the machine has stopped"
        );
        std::thread::yield_now();
    }
}
