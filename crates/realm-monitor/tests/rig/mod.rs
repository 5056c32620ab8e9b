//! A machine to test the monitor on: plain memory with a physical address space per granule, and a processing element
//! that takes exceptions from a script. Everything goes through RMI, as a host would do it.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

mod machine;
mod scripted;
mod watched;

use std::sync::atomic::Ordering::Relaxed;

pub use self::machine::Machine;
use self::machine::SECURE;
pub use self::scripted::ScriptedPe;
pub use self::watched::handle_rmi;
use cca_abi::rmi;
use cca_abi::rmi::params::{REC_FLAG_RUNNABLE, RealmParams, RecParams};
use cca_abi::rmi::run::{EXIT, RecEnter, RecExit};
use cca_abi::smccc::Registers;
use realm_monitor::Monitor;
use realm_monitor::attestation::Attestation;
use realm_monitor::granule::{Bank, Banks};
use realm_monitor::platform::{Exception, Granule, Platform, RecContext};

pub const BASE: u64 = 0x8000_0000;
pub const GRANULES: usize = 96;

/// PA of granule `n` of the machine.
pub const fn pa(n: u64) -> u64 {
    BASE + n * 0x1000
}

// What the granules of the machine are used for.
pub const RUN: u64 = pa(0);
pub const PARAMS: u64 = pa(1);
pub const NS: u64 = pa(2);
pub const RD: u64 = pa(8);
pub const ROOT: u64 = pa(9);
pub const REC0: u64 = pa(10);
pub const REC1: u64 = pa(11);
pub const REC2: u64 = pa(12);
pub const SPARE: u64 = pa(13);
pub const UNDELEGATED: u64 = pa(14);
pub const TABLES: u64 = pa(16);
pub const DATA: u64 = pa(24);
pub const RD_B: u64 = pa(40);
pub const ROOT_B: u64 = pa(41);
pub const REC_B: u64 = pa(42);
/// Outside all banks.
pub const OUTSIDE: u64 = 0x0900_0000;

/// IPA width of the realms: 33 bits, one starting table at level 1.
pub const IPA_BITS: u32 = 33;
/// First unprotected IPA.
pub const UNPROTECTED: u64 = 1 << (IPA_BITS - 1);
/// A range of 2 MiB that has tables down to level 3: its first pages are RAM with memory, then RAM without, then
/// EMPTY.
pub const RAM: u64 = 0x1000_0000;
pub const PAGES: u64 = 4;
pub const UNPOPULATED: u64 = RAM + 0x1000 * PAGES;
pub const UNPOPULATED_PAGES: u64 = 4;
pub const EMPTY: u64 = UNPOPULATED + 0x1000 * UNPOPULATED_PAGES;
/// A page whose RIPAS is DESTROYED.
pub const DESTROYED: u64 = EMPTY + 0x1000;
/// First instruction of every REC.
pub const ENTRY: u64 = RAM;

/// Everything that a command can change: all memory, and all granule states with their counts and locks.
#[derive(PartialEq, Eq)]
pub struct Snapshot {
    memory: Vec<u64>,
    states: Vec<u16>,
    spaces: Vec<u8>,
}

pub struct Rig {
    pub monitor: Monitor<Machine>,
    pub pe: ScriptedPe,
    next_table: u64,
}

impl Rig {
    /// A machine on which nothing has been delegated.
    pub fn new() -> Self {
        Self::attesting_with(None)
    }

    /// Such a machine that has this to attest with.
    pub fn attesting_with(attestation: Option<Attestation>) -> Self {
        let banks = Banks::new(&[Bank {
            base: BASE,
            size: GRANULES as u64 * 0x1000,
        }])
        .unwrap();
        let mut machine = Machine::new();
        machine.attestation = attestation;
        let monitor = Monitor::new(machine, banks).unwrap();
        Self {
            monitor,
            pe: ScriptedPe::default(),
            next_table: TABLES,
        }
    }

    /// From now on the machine has nothing to attest with.
    pub fn lose_key(&self) {
        self.monitor.platform().key_lost.store(true, Relaxed);
    }

    /// A machine with a realm in state NEW that has memory (see [`RAM`]) but no REC.
    pub fn with_realm() -> Self {
        Self::new().and_realm()
    }

    /// Adds the realm of [`Rig::with_realm`].
    pub fn and_realm(self) -> Self {
        let mut rig = self;
        rig.create_realm(RD, ROOT, 1);
        rig.table(0, 2);
        rig.table(RAM, 3);
        let top = EMPTY;
        let out = rig.ok(&rmi::rtt_init_ripas::Input {
            rd: RD,
            base: RAM,
            top,
        }
        .encode());
        assert_eq!(out.0[1], top);
        for n in 0..PAGES {
            let data = DATA + n * 0x1000;
            rig.delegate(data);
            rig.ok(&rmi::data_create_unknown::Input {
                rd: RD,
                data,
                ipa: RAM + n * 0x1000,
            }
            .encode());
        }
        let data = DATA + PAGES * 0x1000;
        rig.delegate(data);
        rig.ok(&rmi::rtt_init_ripas::Input {
            rd: RD,
            base: DESTROYED,
            top: DESTROYED + 0x1000,
        }
        .encode());
        rig.ok(&rmi::data_create_unknown::Input {
            rd: RD,
            data,
            ipa: DESTROYED,
        }
        .encode());
        rig.ok(&rmi::data_destroy::Input {
            rd: RD,
            ipa: DESTROYED,
        }
        .encode());
        rig
    }

    /// A machine with an active realm of three RECs, of which the first is runnable.
    pub fn active() -> Self {
        Self::with_realm().and_active()
    }

    /// Adds the RECs of [`Rig::active`] to the realm and activates it.
    pub fn and_active(self) -> Self {
        let mut rig = self;
        rig.create_rec(RD, REC0, 0, true);
        rig.create_rec(RD, REC1, 1, false);
        rig.create_rec(RD, REC2, 2, false);
        rig.ok(&rmi::realm_activate::Input { rd: RD }.encode());
        rig
    }

    pub fn call(&mut self, registers: &Registers) -> Registers {
        let mut registers = *registers;
        handle_rmi(&self.monitor, &mut self.pe, &mut registers);
        registers
    }

    pub fn ok(&mut self, registers: &Registers) -> Registers {
        let out = self.call(registers);
        assert_eq!(
            out.0[0], 0,
            "function {:#x} returns {:#x}",
            registers.0[0], out.0[0]
        );
        out
    }

    /// Makes a call that must be refused for this reason with this return code, and change nothing.
    pub fn refused(&mut self, registers: &Registers, condition: &str, code: u64) {
        let before = self.snapshot();
        let mut out = *registers;
        let dispatched = handle_rmi(&self.monitor, &mut self.pe, &mut out);
        assert_eq!(dispatched.condition, Some(condition));
        assert_eq!(out.0[0], code, "{condition}");
        assert_eq!(out.0[1..4], [0; 3], "{condition}");
        assert!(self.snapshot() == before, "{condition}: the state changed");
    }

    pub fn delegate(&mut self, addr: u64) {
        self.ok(&rmi::granule_delegate::Input { addr }.encode());
    }

    pub fn create_realm(&mut self, rd: u64, root: u64, vmid: u16) {
        self.delegate(rd);
        self.delegate(root);
        let params = RealmParams {
            flags: 0,
            s2sz: IPA_BITS as u8,
            sve_vl: 0,
            num_bps: 1,
            num_wps: 1,
            pmu_num_ctrs: 0,
            hash_algo: 0,
            rpv: core::array::from_fn(|n| 0x5255_4250_0000 + n as u64),
            vmid,
            rtt_base: root,
            rtt_level_start: 1,
            rtt_num_start: 1,
        };
        let mut words = [0; 512];
        params.write(&mut words);
        self.write(PARAMS, &words);
        self.ok(&rmi::realm_create::Input {
            rd,
            params_ptr: PARAMS,
        }
        .encode());
    }

    pub fn table(&mut self, ipa: u64, level: i64) {
        let rtt = self.next_table;
        self.next_table += 0x1000;
        self.delegate(rtt);
        self.ok(&rmi::rtt_create::Input {
            rd: RD,
            rtt,
            ipa,
            level,
        }
        .encode());
    }

    pub fn rec_params(index: u64, runnable: bool) -> RecParams {
        RecParams {
            flags: if runnable { REC_FLAG_RUNNABLE } else { 0 },
            mpidr: index,
            pc: ENTRY,
            gprs: core::array::from_fn(|n| 0x100 + n as u64),
            num_aux: 0,
            aux: [0; 16],
        }
    }

    pub fn set_rec_params(&self, params: &RecParams) {
        let mut words = [0; 512];
        params.write(&mut words);
        self.write(PARAMS, &words);
    }

    pub fn create_rec(&mut self, rd: u64, rec: u64, index: u64, runnable: bool) {
        self.delegate(rec);
        self.set_rec_params(&Self::rec_params(index, runnable));
        self.ok(&rmi::rec_create::Input {
            rd,
            rec,
            params_ptr: PARAMS,
        }
        .encode());
    }

    /// Has the realm take these exceptions, one per run.
    pub fn script(&mut self, steps: impl IntoIterator<Item = Exception>) {
        for exception in steps {
            self.step(move |_| exception);
        }
    }

    /// Adds a run of the realm to the script.
    pub fn step(&mut self, step: impl FnOnce(RecContext<'_>) -> Exception + 'static) {
        self.pe.script.push_back(Box::new(move |rec, _| step(rec)));
    }

    /// Adds a run of the realm that takes until the counter has this value.
    pub fn step_until(
        &mut self,
        counter: u64,
        step: impl FnOnce(RecContext<'_>) -> Exception + 'static,
    ) {
        self.pe.script.push_back(Box::new(move |rec, now| {
            *now = counter;
            step(rec)
        }));
    }

    /// Adds a run in which the realm makes a call.
    pub fn smc(&mut self, registers: &[u64]) {
        let registers = registers.to_vec();
        self.step(move |rec| {
            for (n, value) in registers.iter().enumerate() {
                rec.set_gpr(n, *value);
            }
            sync(0x5E00_0000)
        });
    }

    pub fn set_enter(&self, enter: &RecEnter) {
        let mut words = [0; 256];
        enter.write(&mut words);
        self.write(RUN, &words);
    }

    pub const fn enter_call(rec: u64) -> rmi::rec_enter::Input {
        rmi::rec_enter::Input { rec, run_ptr: RUN }
    }

    /// Enters a REC; the whole script must be used up. The exit record is returned as words.
    pub fn enter_words(&mut self, rec: u64, enter: &RecEnter) -> [u64; 256] {
        self.set_enter(enter);
        for word in &self.host_page(RUN)[EXIT / 8..] {
            word.store(0x5A5A_5A5A_5A5A_5A5A, Relaxed);
        }
        self.ok(&Self::enter_call(rec).encode());
        assert!(
            self.pe.script.is_empty(),
            "the realm did not run as often as the script says"
        );
        core::array::from_fn(|n| self.host_page(RUN)[EXIT / 8 + n].load(Relaxed))
    }

    /// Enters a REC and returns the exit record, which must have zeros wherever there is no field.
    pub fn enter(&mut self, rec: u64, enter: &RecEnter) -> RecExit {
        let words = self.enter_words(rec, enter);
        let exit = RecExit::read(&words);
        let mut again = [0; 256];
        exit.write(&mut again);
        assert!(
            words == again,
            "the exit record has something outside its fields"
        );
        exit
    }

    /// Enters REC 0, which must be refused without any change.
    pub fn refused_enter(&mut self, enter: &RecEnter, condition: &str, code: u64) {
        self.set_enter(enter);
        self.refused(&Self::enter_call(REC0).encode(), condition, code);
    }

    /// Enters REC 0 with nothing to say.
    pub fn run(&mut self) -> RecExit {
        self.enter(REC0, &RecEnter::default())
    }

    /// Runs REC 0 with one call in its realm that is answered without the host; returns the registers after it.
    pub fn answered(&mut self, registers: &[u64]) -> [u64; 31] {
        self.smc(registers);
        self.script([Exception::Irq]);
        let before = self.rec(REC0).pc();
        let exit = self.run();
        assert_eq!(exit, irq());
        assert_eq!(self.rec(REC0).pc(), before + 4, "the call is over");
        core::array::from_fn(|n| self.rec(REC0).gpr(n))
    }

    /// The context of a REC.
    pub fn rec(&self, rec: u64) -> RecContext<'_> {
        RecContext(self.monitor.platform().granule(rec))
    }

    /// A granule in whatever physical address space.
    pub fn host_page(&self, address: u64) -> &Granule {
        &self.monitor.platform().memory[Machine::index(address)]
    }

    pub fn write(&self, address: u64, words: &[u64]) {
        for (cell, word) in self.host_page(address).iter().zip(words) {
            cell.store(*word, Relaxed);
        }
    }

    /// Takes a granule away to the Secure world, as only EL3 could.
    pub fn make_secure(&self, address: u64) {
        self.monitor.platform().spaces[Machine::index(address)].store(SECURE, Relaxed);
    }

    /// Lets accesses to the host's memory fault after `count` more.
    pub fn fault_after(&self, count: u64) {
        self.monitor.platform().accesses.store(count, Relaxed);
    }

    pub fn snapshot(&self) -> Snapshot {
        let machine = self.monitor.platform();
        Snapshot {
            memory: machine
                .memory
                .iter()
                .flatten()
                .map(|word| word.load(Relaxed))
                .collect(),
            states: machine
                .states
                .iter()
                .map(|word| word.load(Relaxed))
                .collect(),
            spaces: machine
                .spaces
                .iter()
                .map(|space| space.load(Relaxed))
                .collect(),
        }
    }
}

/// A synchronous exception that leaves no address.
pub const fn sync(esr: u64) -> Exception {
    Exception::Sync {
        esr,
        far: 0,
        hpfar: 0,
    }
}

/// An abort at an IPA, with the fault address `far`.
pub const fn abort(esr: u64, far: u64, ipa: u64) -> Exception {
    Exception::Sync {
        esr,
        far,
        hpfar: ipa >> 12 << 4,
    }
}

/// The record of an IRQ exit.
pub fn irq() -> RecExit {
    RecExit {
        exit_reason: 1,
        ..RecExit::default()
    }
}
