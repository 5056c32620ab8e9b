//! A small machine for tests: memory, granule protection and a log of invalidations.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of this"
)]

pub mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering::Relaxed};

use cca_abi::rmi::Command;
use cca_abi::rmi::params::RealmParams;
use cca_abi::smccc::Registers;
use machine_eyes::{Eyes, Memory};
use realm_monitor::Monitor;
use realm_monitor::attestation::{Signature, Signing};
use realm_monitor::granule::{Bank, Banks};
use realm_monitor::platform::{
    AccessFault, CpuFeatures, Exception, Granule, Platform, ProcessingElement, RecContext, Stage2,
    TlbScope,
};

/// Memory for everything.
pub const LOW: Bank = Bank {
    base: 0x8000_0000,
    size: 0x80_0000,
};
/// Memory beyond what tables without LPA2 can address.
pub const HIGH: Bank = Bank {
    base: 1 << 48,
    size: 0x4000,
};
/// An address that is no memory.
pub const DEVICE: u64 = 0x0900_0000;

pub const NON_SECURE: u8 = 0;
pub const REALM: u8 = 1;
pub const SECURE: u8 = 2;

pub struct Fake {
    memory: Box<[Granule]>,
    protection: Box<[AtomicU8]>,
    states: Box<[AtomicU16]>,
    cpu: CpuFeatures,
    /// Granules from the start of [`LOW`] that anybody has used: the rest is in no snapshot.
    used: AtomicUsize,
    pub invalidations: Mutex<Vec<TlbScope>>,
    /// Word copies from Non-secure memory that still succeed before one faults.
    pub fault_after: AtomicU64,
    eyes: Eyes,
}

impl Fake {
    pub fn new(cpu: CpuFeatures) -> Self {
        let granules = ((LOW.size + HIGH.size) / 4096) as usize;
        Self {
            memory: (0..granules)
                .map(|_| [const { AtomicU64::new(0) }; 512])
                .collect(),
            protection: (0..granules).map(|_| AtomicU8::new(NON_SECURE)).collect(),
            states: (0..granules).map(|_| AtomicU16::new(0)).collect(),
            cpu,
            used: AtomicUsize::new(0),
            invalidations: Mutex::new(Vec::new()),
            fault_after: AtomicU64::new(u64::MAX),
            eyes: Eyes::default(),
        }
    }

    fn index(pa: u64) -> usize {
        if (LOW.base..LOW.base + LOW.size).contains(&pa) {
            ((pa - LOW.base) / 4096) as usize
        } else {
            assert!(
                (HIGH.base..HIGH.base + HIGH.size).contains(&pa),
                "{pa:#x} is no memory"
            );
            ((LOW.size + pa - HIGH.base) / 4096) as usize
        }
    }

    /// The words of a granule, whoever owns it.
    pub fn words(&self, pa: u64) -> &Granule {
        &self.memory[Self::index(pa)]
    }

    pub fn protect(&self, pa: u64, space: u8) {
        self.protection[Self::index(pa)].store(space, Relaxed);
    }

    pub fn protection(&self, pa: u64) -> u8 {
        self.protection[Self::index(pa)].load(Relaxed)
    }

    fn non_secure(&self, pa: u64) -> Result<&Granule, AccessFault> {
        if self.fault_after.load(Relaxed) == 0 || self.protection(pa) != NON_SECURE {
            return Err(AccessFault);
        }
        self.fault_after.fetch_sub(1, Relaxed);
        Ok(self.words(pa))
    }

    fn realm(&self, pa: u64) -> &Granule {
        assert_eq!(self.protection(pa), REALM, "{pa:#x} is not Realm memory");
        self.words(pa)
    }

    /// Everything that a failing command must not change.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            memory: self
                .memory
                .iter()
                .take(self.used.load(Relaxed))
                .chain(&self.memory[(LOW.size / 4096) as usize..])
                .flatten()
                .map(|word| word.load(Relaxed))
                .collect(),
            protection: self
                .protection
                .iter()
                .map(|space| space.load(Relaxed))
                .collect(),
            states: self
                .states
                .iter()
                .map(|state| state.load(Relaxed))
                .collect(),
            invalidations: self.invalidations.lock().unwrap().clone(),
        }
    }
}

#[derive(PartialEq, Eq)]
pub struct Snapshot {
    memory: Vec<u64>,
    protection: Vec<u8>,
    states: Vec<u16>,
    invalidations: Vec<TlbScope>,
}

impl Memory for Fake {
    fn state(&self, pa: u64) -> Option<&AtomicU16> {
        Some(&self.states[Self::index(pa)])
    }

    fn words(&self, pa: u64) -> Option<&Granule> {
        Some(&self.memory[Self::index(pa)])
    }
}

impl Platform for Fake {
    fn granule_states(&self) -> &[AtomicU16] {
        &self.states
    }

    fn granule(&self, pa: u64) -> &Granule {
        self.eyes.granule(self, pa);
        self.realm(pa)
    }

    fn read_non_secure(&self, pa: u64, offset: usize, into: &mut [u64]) -> Result<(), AccessFault> {
        let words = self.non_secure(pa)?;
        machine_eyes::read(pa, offset, size_of_val(into));
        for (i, word) in into.iter_mut().enumerate() {
            *word = words[offset / 8 + i].load(Relaxed);
        }
        Ok(())
    }

    fn write_non_secure(&self, pa: u64, offset: usize, from: &[u64]) -> Result<(), AccessFault> {
        let words = self.non_secure(pa)?;
        for (i, word) in from.iter().enumerate() {
            words[offset / 8 + i].store(*word, Relaxed);
        }
        Ok(())
    }

    fn copy_from_non_secure(&self, src: u64, dst: u64) -> Result<(), AccessFault> {
        let destination = self.realm(dst);
        // The fault comes in the middle: the first half has been copied by then.
        let faults = self.fault_after.load(Relaxed) == 0;
        if self.protection(src) != NON_SECURE {
            return Err(AccessFault);
        }
        self.eyes.fill(dst);
        machine_eyes::probe(src);
        machine_eyes::read(src, 0, 4096);
        for (i, (to, from)) in destination.iter().zip(self.words(src)).enumerate() {
            if faults && i == 256 {
                return Err(AccessFault);
            }
            to.store(from.load(Relaxed), Relaxed);
        }
        Ok(())
    }

    fn zero_granule(&self, pa: u64) {
        self.eyes.wipe(self, pa);
        for word in self.realm(pa) {
            word.store(0, Relaxed);
        }
    }

    fn gtsi_delegate(&self, pa: u64) -> Result<(), i64> {
        self.eyes.delegate(self, pa);
        if self.protection(pa) != NON_SECURE {
            return Err(-3);
        }
        self.protect(pa, REALM);
        Ok(())
    }

    fn gtsi_undelegate(&self, pa: u64) -> Result<(), i64> {
        self.eyes.undelegate(self, pa);
        if self.protection(pa) != REALM {
            return Err(-3);
        }
        self.protect(pa, NON_SECURE);
        Ok(())
    }

    fn invalidate(&self, scope: TlbScope) {
        self.eyes.invalidate(self, &scope);
        self.invalidations.lock().unwrap().push(scope);
    }

    fn publish_tables(&self) {
        self.eyes.publish(self);
    }

    fn cpu(&self) -> &CpuFeatures {
        &self.cpu
    }
}

/// A PE on which nothing ever runs.
pub struct Idle;

impl ProcessingElement for Idle {
    fn run(&mut self, _: RecContext<'_>, _: &Stage2) -> Exception {
        Exception::Irq
    }

    fn start_signing(&mut self, _: usize, signing: Signing) -> Option<Signature> {
        Some(signing.sign())
    }

    fn resume_signing(&mut self, _: usize) -> Option<Signature> {
        unreachable!("nothing was suspended")
    }

    fn interrupt_pending(&self) -> bool {
        false
    }

    fn counter(&self) -> u64 {
        0
    }
}

/// What came back from a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    pub x: Registers,
    pub condition: Option<&'static str>,
}

impl Reply {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!((self.x.0[0], self.condition), (0, None));
        self
    }
}

pub fn usual_cpu() -> CpuFeatures {
    CpuFeatures {
        pa_bits: 48,
        lpa2: false,
        vmid16: true,
        num_bps: 5,
        num_wps: 3,
        ich_vtr: 3,
        ..CpuFeatures::default()
    }
}

/// A machine whose host hands out granules one by one.
pub struct Machine {
    pub monitor: Monitor<Fake>,
    next: AtomicU64,
}

impl Machine {
    pub fn new(cpu: CpuFeatures) -> Self {
        let banks = Banks::new(&[LOW, HIGH]).expect("good banks");
        let monitor = Monitor::new(Fake::new(cpu), banks).expect("enough states");
        Self {
            monitor,
            next: AtomicU64::new(LOW.base),
        }
    }

    pub fn fake(&self) -> &Fake {
        self.monitor.platform()
    }

    pub fn call(&self, command: Command, operands: &[u64]) -> Reply {
        let mut x = Registers::default();
        x.0[0] = command.function_id().into();
        x.0[1..=operands.len()].copy_from_slice(operands);
        self.fake().eyes.begin();
        let done = self.monitor.handle_rmi(&mut Idle, &mut x);
        self.fake().eyes.end(self.fake());
        assert_eq!(done.command, Some(command));
        Reply {
            x,
            condition: done.condition,
        }
    }

    /// A granule of the host; several calls give ascending addresses.
    pub fn host(&self) -> u64 {
        self.host_aligned(1)
    }

    /// The first of `count` granules, aligned to their total size.
    pub fn host_aligned(&self, count: u64) -> u64 {
        let size = count * 4096;
        let pa = self.next.load(Relaxed).next_multiple_of(size);
        self.next.store(pa + size, Relaxed);
        self.fake()
            .used
            .store(Fake::index(pa + size - 4096) + 1, Relaxed);
        pa
    }

    pub fn delegated(&self) -> u64 {
        self.delegated_aligned(1)
    }

    pub fn delegated_aligned(&self, count: u64) -> u64 {
        let pa = self.host_aligned(count);
        for i in 0..count {
            self.call(Command::GranuleDelegate, &[pa + i * 4096]).ok();
        }
        pa
    }

    /// A host granule that holds realm parameters.
    pub fn realm_params(&self, params: &RealmParams) -> u64 {
        let pa = self.host();
        let mut words = [0; 512];
        params.write(&mut words);
        for (to, from) in self.fake().words(pa).iter().zip(words) {
            to.store(from, Relaxed);
        }
        pa
    }

    /// A host granule full of one byte.
    pub fn host_filled(&self, byte: u8) -> u64 {
        let pa = self.host();
        for word in self.fake().words(pa) {
            word.store(u64::from_le_bytes([byte; 8]), Relaxed);
        }
        pa
    }

    #[track_caller]
    pub fn table(&self, rd: u64, ipa: u64, level: u64) -> u64 {
        let rtt = self.delegated();
        self.call(Command::RttCreate, &[rd, rtt, ipa, level]).ok();
        rtt
    }

    /// walk_level, state, desc, ripas.
    #[track_caller]
    pub fn read(&self, rd: u64, ipa: u64, level: u64) -> [u64; 4] {
        self.call(Command::RttReadEntry, &[rd, ipa, level]).ok().x.0[1..5]
            .try_into()
            .unwrap()
    }

    pub fn is_zero(&self, pa: u64) -> bool {
        self.fake()
            .words(pa)
            .iter()
            .all(|word| word.load(Relaxed) == 0)
    }
}

/// The parameters of the specification's usual realm: 40 bits, two concatenated tables at level 1.
pub fn usual_params(machine: &Machine) -> RealmParams {
    RealmParams {
        flags: 0,
        s2sz: 40,
        sve_vl: 0,
        num_bps: 1,
        num_wps: 1,
        pmu_num_ctrs: 0,
        hash_algo: 0,
        rpv: [0; 8],
        vmid: 7,
        rtt_base: machine.delegated_aligned(2),
        rtt_level_start: 1,
        rtt_num_start: 2,
    }
}

pub fn create_realm(machine: &Machine, params: &RealmParams) -> u64 {
    let rd = machine.delegated();
    machine
        .call(Command::RealmCreate, &[rd, machine.realm_params(params)])
        .ok();
    rd
}
