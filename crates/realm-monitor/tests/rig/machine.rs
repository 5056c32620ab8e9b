//! Plain memory with a physical address space per granule.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64};

use machine_eyes::{Eyes, Memory};
use realm_monitor::attestation::Attestation;
use realm_monitor::platform::{AccessFault, CpuFeatures, Granule, IdRegisters, Platform, TlbScope};

use super::{BASE, GRANULES};

const NON_SECURE: u8 = 0;
const REALM: u8 = 1;
pub const SECURE: u8 = 2;

pub struct Machine {
    pub memory: Box<[Granule]>,
    pub(super) spaces: Box<[AtomicU8]>,
    pub(super) states: Box<[AtomicU16]>,
    cpu: CpuFeatures,
    pub(super) attestation: Option<Attestation>,
    /// Whether that is gone.
    pub(super) key_lost: AtomicBool,
    /// How often the host's memory may still be accessed before every access faults.
    pub(super) accesses: AtomicU64,
    pub(super) eyes: Eyes,
    /// Called before each step of a PE: others may do something meanwhile.
    pub turn: OnceLock<fn()>,
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
            eyes: Eyes::default(),
            turn: OnceLock::new(),
        }
    }

    fn realm(&self, pa: u64) -> &Granule {
        let index = Self::index(pa);
        assert_eq!(
            self.spaces[index].load(Relaxed),
            REALM,
            "granule protection fault at {pa:#x}"
        );
        &self.memory[index]
    }

    fn turn(&self) {
        if let Some(turn) = self.turn.get() {
            machine_eyes::away(turn);
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

impl Memory for Machine {
    fn state(&self, pa: u64) -> Option<&AtomicU16> {
        Some(&self.states[Self::index(pa)])
    }

    fn words(&self, pa: u64) -> Option<&Granule> {
        Some(&self.memory[Self::index(pa)])
    }
}

impl Platform for Machine {
    fn granule_states(&self) -> &[AtomicU16] {
        self.turn();
        &self.states
    }

    fn granule(&self, pa: u64) -> &Granule {
        self.turn();
        self.eyes.granule(self, pa);
        self.realm(pa)
    }

    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        self.turn();
        let granule = self.host(pa)?;
        machine_eyes::read(pa, offset, size_of_val(into));
        for (word, cell) in into.iter_mut().zip(&granule[offset / 8..]) {
            *word = cell.load(Relaxed);
        }
        Ok(())
    }

    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        self.turn();
        let granule = self.host(pa)?;
        for (word, cell) in from.iter().zip(&granule[offset / 8..]) {
            cell.store(*word, Relaxed);
        }
        Ok(())
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        self.turn();
        let (from, to) = (self.host(src)?, self.realm(dst));
        self.eyes.fill(dst);
        machine_eyes::probe(src);
        machine_eyes::read(src, 0, size_of_val(from));
        for (from, to) in from.iter().zip(to) {
            to.store(from.load(Relaxed), Relaxed);
        }
        Ok(())
    }

    fn zero_granule(&self, pa: u64) {
        self.turn();
        self.eyes.wipe(self, pa);
        self.realm(pa)
            .iter()
            .for_each(|word| word.store(0, Relaxed));
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        self.turn();
        self.eyes.delegate(self, pa);
        match self.spaces[Self::index(pa)].compare_exchange(NON_SECURE, REALM, Relaxed, Relaxed) {
            Ok(_) => Ok(()),
            Err(_) => Err(-3),
        }
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        self.turn();
        self.eyes.undelegate(self, pa);
        self.spaces[Self::index(pa)].store(NON_SECURE, Relaxed);
        Ok(())
    }

    fn invalidate(&self, scope: TlbScope) {
        self.turn();
        self.eyes.invalidate(self, &scope);
    }

    fn publish_tables(&self) {
        self.turn();
        self.eyes.publish(self);
    }

    fn pause(&self) {
        match self.turn.get() {
            Some(turn) => machine_eyes::away(turn),
            None => std::hint::spin_loop(),
        }
    }

    fn cpu(&self) -> &CpuFeatures {
        &self.cpu
    }

    fn attestation(&self) -> Option<&Attestation> {
        self.attestation
            .as_ref()
            .filter(|_| !self.key_lost.load(Relaxed))
    }
}
