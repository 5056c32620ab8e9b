//! The machine as the scenarios want to see it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use hardware::host::{Dram, Gic, Pe, Transport};
use realm_host::SmcTransport;
use realm_token::{PUBLIC_KEY_SIZE, development};
use realm_vmm::HostPe;
use scenarios::{Host, NoOtherPe, SharedRegisters};

use crate::elsewhere;

/// The runner's heap.
pub(crate) const HEAP: Range<u64> = 0x4200_0000..0x4400_0000;
/// Memory that scenarios work with. It is there with 1 GiB of DRAM, too.
pub(crate) const MEMORY: Range<u64> = 0x4400_0000..0x5000_0000;

/// A page for whoever starts the machine. Its first word says what is special about it, a bit for each; then comes the name
/// of the only scenario to be run, up to a zero byte, or nothing.
pub(crate) const SETTINGS: Range<u64> = 0x5000_0000..0x5000_1000;
/// The firmware has no identity.
const NO_IDENTITY: u64 = 1 << 0;
/// The RMM is another one than that which ships.
const OTHER_MONITOR: u64 = 1 << 1;

/// The machine is reset in the middle of a realm's life, and no scenarios run.
const RESET: u64 = 1 << 2;
/// By the runner.
const BY_ITSELF: u64 = 1 << 3;

/// The realm that obeys its host.
static PUPPET: &[u8] = include_bytes!(env!(
    "SUZERAIN_PUPPET",
    "set SUZERAIN_PUPPET to the path of puppet.bin, as `cargo xtask images` does"
));

/// One PE with memory.
pub(crate) struct ScenarioHost {
    dram: Dram,
    gic: Gic,
    pe: RefCell<Pe>,
    /// Granules that were given back.
    free: RefCell<Vec<u64>>,
    /// First address that was never given out.
    next: RefCell<u64>,
    puppet: Box<[u64]>,
    settings: u64,
}

impl ScenarioHost {
    /// The only scenario to be run, if whoever starts the machine has chosen one.
    pub(crate) fn chosen(&self) -> Option<String> {
        let words = &self.dram.granule(SETTINGS.start)[1..];
        let bytes = words
            .iter()
            .flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let name: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        String::from_utf8(name).ok().filter(|name| !name.is_empty())
    }

    pub(crate) fn new(dram: Dram, gic: Gic, pe: Pe) -> Self {
        let puppet = PUPPET
            .chunks(8)
            .map(|chunk| {
                let mut bytes = [0; 8];
                bytes[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(bytes)
            })
            .collect();
        let settings = dram.granule(SETTINGS.start)[0].load(Ordering::Relaxed);
        Self {
            dram,
            gic,
            settings,
            pe: RefCell::new(pe),
            free: RefCell::default(),
            next: RefCell::new(MEMORY.start),
            puppet,
        }
    }
}

impl ScenarioHost {
    /// The words of a granule.
    pub(crate) fn granule(&self, pa: u64) -> &[AtomicU64; GRANULE_WORDS] {
        self.dram.granule(pa)
    }

    /// Whether the machine is to be reset, and then whether by the runner itself.
    pub(crate) fn reset(&self) -> Option<bool> {
        (self.settings & RESET != 0).then_some(self.settings & BY_ITSELF != 0)
    }
}

impl Host for ScenarioHost {
    fn smc(&self, registers: &mut Registers) {
        Transport.smc(registers);
    }

    fn allocate(&self) -> u64 {
        let again = self.free.borrow_mut().pop();
        again.unwrap_or_else(|| self.allocate_contiguous(1))
    }

    fn allocate_contiguous(&self, granules: u64) -> u64 {
        let mut next = self.next.borrow_mut();
        let size = granules * GRANULE_SIZE;
        let base = next.next_multiple_of(size);
        self.free
            .borrow_mut()
            .extend((*next..base).step_by(GRANULE_SIZE as usize));
        assert!(
            base + size <= MEMORY.end,
            "the scenarios used up all memory"
        );
        *next = base + size;
        base
    }

    fn free(&self, pa: u64) {
        self.free.borrow_mut().push(pa);
    }

    fn read(&self, pa: u64, word: usize) -> u64 {
        self.dram.granule(pa)[word].load(Ordering::Relaxed)
    }

    fn write(&self, pa: u64, word: usize, value: u64) {
        self.dram.granule(pa)[word].store(value, Ordering::Relaxed);
    }

    fn device(&self) -> u64 {
        0x0900_0000
    }

    fn outside(&self) -> u64 {
        0x80_0000_0000
    }

    fn hole(&self) -> Option<u64> {
        Some(0x0B00_0000)
    }

    fn puppet_image(&self) -> &[u64] {
        &self.puppet
    }

    fn take_interrupts(&self) {
        self.pe.borrow_mut().acknowledge_interrupts();
    }

    fn counter(&self) -> u64 {
        self.pe.borrow().counter()
    }

    fn interrupt_at(&self, deadline: Option<u64>) {
        let mut pe = self.pe.borrow_mut();
        match deadline {
            Some(deadline) => pe.arm_slice(deadline),
            None => pe.disarm_slice(),
        }
    }

    fn attests(&self) -> bool {
        self.settings & NO_IDENTITY == 0
    }

    fn has_own_monitor(&self) -> bool {
        self.settings & OTHER_MONITOR == 0
    }

    fn platform_key(&self) -> Option<[u8; PUBLIC_KEY_SIZE]> {
        let own = option_env!("SUZERAIN_IDENTITY_SEED").is_some_and(|seed| !seed.is_empty());
        (!own).then(|| development::platform_key(&development::DEFAULT_SEED).public_key())
    }

    /// The normal world has no memory of the Secure world.
    fn foreign(&self) -> Option<u64> {
        None
    }

    fn start_elsewhere(&self, registers: Registers) -> Result<(), NoOtherPe> {
        elsewhere::start(registers, || self.pe.borrow_mut().kick_others())
    }

    fn finish_elsewhere(&self) -> Registers {
        elsewhere::finish(|| self.pe.borrow_mut().kick_others())
    }

    fn poll_elsewhere(&self) -> Option<Registers> {
        elsewhere::poll()
    }

    fn probe(&self, pa: u64) -> Vec<Option<u64>> {
        let here = hardware::host::probe(pa);
        [
            Some(here),
            elsewhere::probe(pa, || self.pe.borrow_mut().kick_others()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn set_interrupt(&self, intid: u32, enabled: bool) {
        self.gic.set_private(intid, enabled);
    }

    fn registers(&self) -> Option<&dyn SharedRegisters> {
        Some(self)
    }

    /// The RMM shows its state to nobody.
    fn snapshot(&self) -> Option<u64> {
        None
    }
}

impl SharedRegisters for ScenarioHost {
    fn fill_vectors(&self, length: u64, seed: u64) {
        hardware::host::fill_vectors(length, seed);
    }

    fn vector_differences(&self, length: u64, seed: u64) -> u64 {
        hardware::host::vector_differences(length, seed)
    }

    fn fill_streaming(&self, all: bool, seed: u64) -> Option<u64> {
        hardware::host::fill_streaming(all, seed)
    }

    fn leave_streaming(&self, all: bool, seed: u64) -> Option<u64> {
        hardware::host::leave_streaming(all, seed)
    }

    fn fill_points(&self, seed: u64) {
        hardware::host::fill_registers(seed);
    }

    fn fill_system(&self, seed: u64) -> u64 {
        hardware::host::fill_system(seed)
    }

    fn system_differences(&self) -> Vec<&'static str> {
        hardware::host::system_differences()
    }

    fn next_readable(&self, from: u64, end: u64) -> Option<(u64, u64)> {
        hardware::host::next_readable(from, end)
    }

    fn point_differences(&self, seed: u64) -> u64 {
        hardware::host::register_differences(seed)
    }

    fn fill_interface(&self, seed: u64) {
        hardware::host::fill_interface(seed);
    }

    fn interface_differences(&self, seed: u64) -> u64 {
        hardware::host::interface_differences(seed)
    }

    fn start_counters(&self) -> bool {
        hardware::host::start_counters()
    }

    fn counters(&self) -> [u64; 3] {
        hardware::host::counters()
    }

    fn stop_counters(&self) {
        hardware::host::stop_counters();
    }
}
