//! Plain memory with a physical address space per granule.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64};

use realm_monitor::attestation::Attestation;
use realm_monitor::platform::{AccessFault, CpuFeatures, Granule, IdRegisters, Platform, TlbScope};

use super::{BASE, GRANULES};

const NON_SECURE: u8 = 0;
const REALM: u8 = 1;
pub const SECURE: u8 = 2;

pub struct Machine {
    pub(super) memory: Box<[Granule]>,
    pub(super) spaces: Box<[AtomicU8]>,
    pub(super) states: Box<[AtomicU16]>,
    cpu: CpuFeatures,
    pub(super) attestation: Option<Attestation>,
    /// Whether that is gone.
    pub(super) key_lost: AtomicBool,
    /// How often the host's memory may still be accessed before every access faults.
    pub(super) accesses: AtomicU64,
}

impl Machine {
    pub fn new() -> Self {
        Self {
            memory: (0..GRANULES)
                .map(|_| [const { AtomicU64::new(0) }; 512])
                .collect(),
            spaces: (0..GRANULES).map(|_| AtomicU8::new(NON_SECURE)).collect(),
            states: (0..GRANULES).map(|_| AtomicU16::new(0)).collect(),
            cpu: CpuFeatures {
                pa_bits: 48,
                lpa2: false,
                vmid16: true,
                num_bps: 5,
                num_wps: 3,
                ich_vtr: 0x90B8_0003,
                ids: IdRegisters {
                    pfr0: 0x1311_0011_2111_2222,
                    dfr0: 0x1030_560A,
                    ..IdRegisters::default()
                },
                ..CpuFeatures::default()
            },
            attestation: None,
            key_lost: AtomicBool::new(false),
            accesses: AtomicU64::new(u64::MAX),
        }
    }

    pub fn index(address: u64) -> usize {
        assert!(
            address.is_multiple_of(0x1000) && address >= BASE,
            "no memory at {address:#x}"
        );
        ((address - BASE) / 0x1000) as usize
    }

    fn host(&self, address: u64) -> Result<&Granule, AccessFault> {
        let index = Self::index(address);
        let left = self.accesses.load(Relaxed);
        if left == 0 || self.spaces[index].load(Relaxed) != NON_SECURE {
            return Err(AccessFault);
        }
        self.accesses.store(left - 1, Relaxed);
        Ok(&self.memory[index])
    }
}

impl Platform for Machine {
    fn granule_states(&self) -> &[AtomicU16] {
        &self.states
    }

    fn granule(&self, pa: u64) -> &Granule {
        let index = Self::index(pa);
        assert_eq!(
            self.spaces[index].load(Relaxed),
            REALM,
            "granule protection fault at {pa:#x}"
        );
        &self.memory[index]
    }

    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        let granule = self.host(pa)?;
        for (word, cell) in into.iter_mut().zip(&granule[offset / 8..]) {
            *word = cell.load(Relaxed);
        }
        Ok(())
    }

    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        let granule = self.host(pa)?;
        for (word, cell) in from.iter().zip(&granule[offset / 8..]) {
            cell.store(*word, Relaxed);
        }
        Ok(())
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        for (from, to) in self.host(src)?.iter().zip(self.granule(dst)) {
            to.store(from.load(Relaxed), Relaxed);
        }
        Ok(())
    }

    fn zero_granule(&self, pa: u64) {
        self.granule(pa)
            .iter()
            .for_each(|word| word.store(0, Relaxed));
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        match self.spaces[Self::index(pa)].compare_exchange(NON_SECURE, REALM, Relaxed, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(-3),
        }
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        self.spaces[Self::index(pa)].store(NON_SECURE, Relaxed);
        Ok(())
    }

    fn invalidate(&self, _scope: TlbScope) {}

    fn publish_tables(&self) {}

    fn cpu(&self) -> &CpuFeatures {
        &self.cpu
    }

    fn attestation(&self) -> Option<&Attestation> {
        self.attestation
            .as_ref()
            .filter(|_| !self.key_lost.load(Relaxed))
    }
}
