//! A machine that is used again and again: what a run leaves behind is taken away, and then nothing may be left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cca_abi::rmi::{Command, ReturnCode, Status};
use cca_abi::smccc::Registers;
use machine::cpu::{GuestCpu, SECONDARY_OFFSET};
use machine::{Config, Gpi, HostPe, Machine, Snapshot, Time};
use realm_host::SmcTransport;
use realm_monitor::granule::{GranuleState, Rd};
use realm_vmm::HostPe as _;

use crate::script;

/// First granule of those that hosts play with.
pub(crate) const POOL: u64 = 0x4300_0000;
/// How many they are.
pub(crate) const POOL_GRANULES: u64 = 64;

/// All granules that hosts play with.
pub(crate) fn pool() -> impl Iterator<Item = u64> {
    (0..POOL_GRANULES).map(|n| POOL + (n << 12))
}

/// The machine, with what runs in its realms.
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) pe: HostPe,
    script: Arc<Mutex<Vec<u8>>>,
    first: Snapshot,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_pes(1)
    }

    /// With so many PEs, of which the stage itself has the first.
    pub(crate) fn with_pes(pes: usize) -> Self {
        let machine = Machine::new(Config {
            pes,
            dram_bytes: 64 << 20,
            time: Time::Counted { ticks: 100 },
            ..Config::default()
        });
        // Another PE of the host hits the moment between two reads now and then.
        let reads = AtomicUsize::new(0);
        machine.meddle(move |words| {
            if reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(8) {
                words.change(|word| word ^ 0x8000_0000_0000_1001);
            }
        });
        let script = Arc::new(Mutex::new(Vec::new()));
        for (place, secondary) in [
            (0, false),
            (script::CODE, false),
            (SECONDARY_OFFSET, true),
            (script::CODE + SECONDARY_OFFSET, true),
        ] {
            let script = Arc::clone(&script);
            machine.install(
                place,
                Arc::new(move |guest: &GuestCpu| {
                    let data = script
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    // Others begin in the middle.
                    let from = if secondary { data.len() / 2 } else { 0 };
                    script::play(guest, &data[from..]);
                }),
            );
        }
        let pe = machine.host_pe(0);
        let first = machine.snapshot();
        Self {
            machine,
            pe,
            script,
            first,
        }
    }

    /// Says what realms do from now on.
    pub(crate) fn set_script(&self, data: &[u8]) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = data.to_vec();
    }

    /// An SMC.
    pub(crate) fn smc(&self, mut registers: Registers) -> Registers {
        self.pe.smc(&mut registers);
        registers
    }

    /// A command; X0 to X4.
    pub(crate) fn rmi(&self, command: Command, arguments: &[u64]) -> [u64; 5] {
        let results = self.smc(Registers::call(command.function_id(), arguments));
        std::array::from_fn(|n| results.0[n])
    }

    /// What has to hold between two commands (RMM specification 1.0-rel0, chapter A2).
    ///
    /// # Panics
    ///
    /// If something does not.
    pub(crate) fn check(&self, snapshot: &Snapshot) {
        let mut recs = 0;
        let mut owned = 0;
        for (&pa, granule) in &snapshot.granules {
            let in_realm_world = granule.state != GranuleState::Undelegated;
            assert_eq!(
                granule.gpi == Gpi::REALM,
                in_realm_world,
                "{pa:#x}: {:?} is {:?}",
                granule.gpi,
                granule.state
            );
            match granule.state {
                GranuleState::Delegated => {
                    assert!(granule.content.is_none(), "{pa:#x} is not wiped");
                    assert_eq!(granule.count, 0, "{pa:#x}");
                }
                GranuleState::Rec => {
                    recs += 1;
                    assert_eq!(granule.count, 0, "{pa:#x}: a REC that nobody runs");
                }
                GranuleState::Rd => owned += u32::from(granule.count),
                GranuleState::Rtt => assert!(granule.count <= 512, "{pa:#x}: {}", granule.count),
                _ => {}
            }
        }
        assert_eq!(recs, owned, "every REC is counted by its realm");
        let realms = snapshot
            .granules
            .values()
            .filter(|granule| granule.state == GranuleState::Rd);
        assert_eq!(
            realms.count(),
            snapshot.vmids.len(),
            "every realm has a VMID of its own"
        );
        assert_eq!(self.machine.failure(), None);
        assert_eq!(self.machine.guest_failures(), [""; 0]);
    }

    /// Takes everything away that is in the realm world.
    ///
    /// # Panics
    ///
    /// If the monitor does not give it back.
    pub(crate) fn clear(&self) {
        for pa in self.in_state(GranuleState::Rec) {
            assert_eq!(self.rmi(Command::RecDestroy, &[pa])[0], 0, "REC {pa:#x}");
        }
        for rd in self.in_state(GranuleState::Rd) {
            self.destroy(rd);
        }
        for pa in self.in_state(GranuleState::Delegated) {
            let status = self.rmi(Command::GranuleUndelegate, &[pa])[0];
            assert_eq!(status, 0, "undelegating {pa:#x}");
        }
        let left = self.machine.snapshot().differences(&self.first);
        assert!(left.is_empty(), "left behind: {left:?}");
        let nothing = [0; 512];
        for pa in pool() {
            self.pe
                .write_granule(pa, &nothing)
                .expect("Non-secure again");
        }
    }

    fn in_state(&self, state: GranuleState) -> impl Iterator<Item = u64> {
        pool().filter(move |pa| self.machine.monitor().granule_state(*pa) == Some(state))
    }

    fn destroy(&self, rd: u64) {
        let monitor = self.machine.monitor();
        let space = monitor.lock::<Rd>(rd).map(|rd| {
            let realm = rd.realm(monitor.platform());
            realm.address_space()
        });
        let space = space.expect("a realm descriptor");
        let end = 1_u64 << space.ipa_bits;
        let start = i64::from(space.start_level);
        self.sweep(
            end / 2,
            |ipa| self.rmi(Command::DataDestroy, &[rd, ipa]),
            2,
            3,
        );
        for level in (start + 1..=3).rev() {
            let size = 1 << (12 + 9 * (3 - level));
            // Mappings of the host at this level, then the tables.
            let mut ipa = end / 2;
            while ipa < end {
                let results = self.rmi(
                    Command::RttUnmapUnprotected,
                    &[rd, ipa, level.cast_unsigned()],
                );
                ipa = next(ipa, results[0], results[1], size);
            }
            self.sweep(
                end,
                |ipa| self.rmi(Command::RttDestroy, &[rd, ipa, level.cast_unsigned()]),
                2,
                level - 1,
            );
        }
        let size = 1 << (12 + 9 * (3 - start));
        // There are no blocks above level 1.
        let mut ipa = if start >= 1 { end / 2 } else { end };
        while ipa < end {
            let results = self.rmi(
                Command::RttUnmapUnprotected,
                &[rd, ipa, start.cast_unsigned()],
            );
            ipa = next(ipa, results[0], results[1], size);
        }
        assert_eq!(self.rmi(Command::RealmDestroy, &[rd])[0], 0, "RD {rd:#x}");
    }

    fn sweep(&self, end: u64, call: impl Fn(u64) -> [u64; 5], top: usize, level: i64) {
        let mut ipa = 0;
        while ipa < end {
            let results = call(ipa);
            ipa = next(ipa, results[0], results[top], 1 << (12 + 9 * (3 - level)));
        }
    }
}

/// Before an entry: the host wants control back after a while. Without that, a realm that cannot even fetch the first
/// instruction of its exception handler stays where it is for ever.
pub(crate) fn arm(pe: &mut HostPe) {
    pe.acknowledge_interrupts();
    let now = pe.counter();
    pe.arm_slice(now + 20_000);
}

/// After an exit.
pub(crate) fn disarm(pe: &mut HostPe) {
    pe.disarm_slice();
    pe.acknowledge_interrupts();
}

/// Where a sweep goes on.
///
/// # Panics
///
/// If the monitor leads backwards, or on after a call that it should have understood.
fn next(ipa: u64, status: u64, top: u64, size: u64) -> u64 {
    let code = ReturnCode::decode(status).unwrap_or_else(|| panic!("{status:#x} is no status"));
    assert!(
        matches!(code.status, Status::Success | Status::ErrorRtt),
        "{code:?} at {ipa:#x}"
    );
    if top > ipa {
        assert!(top.is_multiple_of(4096), "{top:#x}");
        top
    } else {
        assert!(
            code.status == Status::ErrorRtt,
            "{top:#x} is behind {ipa:#x}"
        );
        // There is something that is not of the kind that is swept.
        ipa + size
    }
}
