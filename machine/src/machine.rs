//! The machine as a whole.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cca_abi::el3::RMI_REQ_COMPLETE;
use cca_abi::psci::{Function, code};
use cca_abi::smccc::{NOT_SUPPORTED, Registers};
use realm_host::{PageSize, SmcTransport};
use realm_monitor::Monitor;
use realm_monitor::strict::{self, Strictness};
use root_monitor::{Action, World};

use crate::board::Board;
use crate::clock::{Clock, Time};
use crate::element::{Element, Watched};
use crate::firmware::{DRAM_BASE, FREE_BASE, Firmware, HOST_CODE, identity, mpidr};
use crate::guests::{Identity, Place, Program};
use crate::host_pe::HostPe;
use crate::meddler::HostWords;
use crate::memory::GRANULE_SIZE;
use crate::monitor_platform::{RealmPlatform, current, on};
use crate::protection::Gpi;
use crate::snapshot::{GranuleSnapshot, Snapshot};
use crate::supply::Supply;

/// What a machine is made of.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Processing elements, at least 1.
    pub pes: usize,
    /// Bytes of DRAM, a multiple of 4 KiB and at least 64 MiB. Costs little until it is used.
    pub dram_bytes: u64,
    /// The page size of the host's allocator.
    pub page_size: PageSize,
    /// What makes the counter advance.
    pub time: Time,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pes: 4,
            dram_bytes: 1 << 30,
            page_size: PageSize::Size4K,
            time: Time::Real,
        }
    }
}

/// A machine that has booted: root monitor and realm monitor run, the normal world is about to start.
pub struct Machine {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    firmware: Firmware,
    pub(crate) board: Arc<Board>,
    supply: Supply,
    /// The processing elements that somebody has.
    pub(crate) taken: Vec<AtomicBool>,
    /// The second realm monitor, if that is the one that the host sees.
    strict: Option<Strictness>,
}

/// What a thread unwinds with because something else on its machine has panicked.
pub(crate) struct Stopped;

impl Drop for Inner {
    fn drop(&mut self) {
        self.board.guests.end();
    }
}

impl Machine {
    /// Builds a machine and boots its firmware on the first processing element.
    ///
    /// # Panics
    ///
    /// If `config` breaks its own rules, or if the firmware does not boot.
    pub fn new(config: Config) -> Self {
        Self::with_monitor(config, None, Some(identity()))
    }

    /// The same machine without an identity: the root monitor refuses the realm monitor a key and a platform token.
    ///
    /// # Panics
    ///
    /// As for [`Machine::new`].
    pub fn without_identity(config: Config) -> Self {
        Self::with_monitor(config, None, None)
    }

    /// The same machine with another realm monitor, that of [`realm_monitor::strict`]: it asks for 16 auxiliary granules
    /// per REC, takes not all of the memory, changes RIPAS one table entry at a time, has RECs come back for nothing,
    /// reports the other one of two failures where their order is open, and offers no more than it must.
    ///
    /// # Panics
    ///
    /// As for [`Machine::new`].
    pub fn strict(config: Config) -> Self {
        Self::with_monitor(config, Some(Strictness::new()), Some(identity()))
    }

    /// Whether the realm monitor accepts, as far as its place goes, that the granule at `pa` is delegated.
    pub fn takes(&self, pa: u64) -> bool {
        self.inner.strict.is_none() || strict::takes(pa)
    }

    fn with_monitor(
        config: Config,
        strict: Option<Strictness>,
        identity: Option<root_monitor::Identity>,
    ) -> Self {
        let Config {
            pes,
            dram_bytes,
            page_size,
            time,
        } = config;
        assert!(
            pes > 0 && dram_bytes.is_multiple_of(GRANULE_SIZE) && dram_bytes >= 64 << 20,
            "{config:?}"
        );
        let board = Arc::new(Board::new(
            &[(DRAM_BASE, dram_bytes)],
            pes,
            Clock::new(time),
        ));
        let firmware = Firmware::new(&board, dram_bytes, identity, strict.is_some());
        let supply = Supply::new(
            Arc::clone(&board),
            page_size,
            FREE_BASE,
            DRAM_BASE + dram_bytes,
        );
        let taken = (0..pes).map(|_| AtomicBool::new(false)).collect();
        on(&board, 0, || firmware.power_up(0));
        assert!(
            firmware.root.rmm_usable(),
            "the realm monitor did not boot: {:?}",
            firmware.root.rmm_failure()
        );
        Self {
            inner: Arc::new(Inner {
                firmware,
                board,
                supply,
                taken,
                strict,
            }),
        }
    }

    /// Processing element `pe` for the host. The others than the first are turned on with PSCI when they are first
    /// asked for.
    ///
    /// # Panics
    ///
    /// If there is no such processing element, or if somebody has it already.
    pub fn host_pe(&self, pe: usize) -> HostPe {
        let inner = &self.inner;
        assert!(
            !inner.taken[pe].swap(true, Ordering::AcqRel),
            "somebody has processing element {pe} already"
        );
        if pe != 0 {
            let mut call =
                Registers::call(Function::CpuOn.function_id(), &[mpidr(pe), HOST_CODE, 0]);
            inner.smc(0, &mut call);
            match call.0[0].cast_signed() {
                code::SUCCESS | code::ON_PENDING | code::ALREADY_ON => {}
                other => panic!("PSCI CPU_ON of processing element {pe} returns {other}"),
            }
            if inner.firmware.root.platform().woken[pe].swap(false, Ordering::AcqRel) {
                on(&inner.board, pe, || inner.firmware.power_up(pe));
            }
        }
        HostPe {
            inner: Arc::clone(inner),
            index: pe,
            stop_with_guests: false,
        }
    }

    /// The number of processing elements.
    pub fn pes(&self) -> usize {
        self.inner.board.pes.len()
    }

    /// The `SMC` instruction, on whichever processing element the calling thread is (see [`HostPe::run`]).
    pub fn transport(&self) -> Transport {
        Transport {
            inner: Arc::clone(&self.inner),
        }
    }

    /// Makes an interrupt pending on a processing element, as a device does.
    pub(crate) fn kicker(&self, pe: usize) -> impl Fn() + Send + 'static {
        let board = Arc::clone(&self.inner.board);
        move || board.pes[pe].lines.kick(&board.clock)
    }

    /// The host's page allocator.
    pub fn supply(&self) -> &Supply {
        &self.inner.supply
    }

    /// The realm monitor.
    pub fn monitor(&self) -> &Monitor<RealmPlatform> {
        self.inner.monitor()
    }

    /// Says what vCPUs execute that start at intermediate physical address `pc`, in any realm.
    pub fn install(&self, pc: u64, program: Program) {
        self.inner.board.guests.install(Place::Entry(pc), program);
    }

    /// Says what the vCPU executes whose REC is in the granule at `rec`, wherever it starts. It takes precedence
    /// over [`Machine::install`].
    ///
    /// # Panics
    ///
    /// If there is no memory at `rec`.
    pub fn install_for_rec(&self, rec: u64, program: Program) {
        let page = self
            .inner
            .board
            .memory
            .page(rec)
            .expect("a REC is in memory");
        self.inner
            .board
            .guests
            .install(Place::Rec(Identity::of(page)), program);
    }

    /// From now on `meddler` is asked after each access of the realm monitor to the host's memory, and may change what has just
    /// been read: as another processing element of the host can, which is quick enough to hit between two reads.
    pub fn meddle(&self, meddler: impl Fn(&mut HostWords<'_>) + Send + Sync + 'static) {
        self.inner.board.meddler.set(Box::new(meddler));
    }

    /// What programs in realms have panicked with so far.
    pub fn guest_failures(&self) -> Vec<String> {
        self.inner.board.guests.failures()
    }

    /// What has panicked in a monitor or in the host, if anything: the machine is of no use any more.
    pub fn failure(&self) -> Option<String> {
        self.inner.board.failure.get().cloned()
    }

    /// What the monitors hold about the granule at `pa`; `None` if it is not delegable, or simply the host's.
    pub fn snapshot_of(&self, pa: u64) -> Option<GranuleSnapshot> {
        GranuleSnapshot::take(&self.inner.board, self.inner.monitor(), pa)
    }

    pub(crate) fn board(&self) -> &Board {
        &self.inner.board
    }

    /// Stops all processing elements because of a panic that said `message`: whoever waits for what the one that has
    /// panicked holds would wait for ever.
    pub fn stop(&self, message: String) {
        let board = &self.inner.board;
        // The first one counts.
        let _ = board.failure.set(message);
        for pe in &board.pes {
            pe.lines.kick(&board.clock);
        }
    }

    /// What the protection table says about the granule at `pa`.
    pub fn gpi(&self, pa: u64) -> Gpi {
        self.inner.board.gpi(pa)
    }

    /// Moves the granule at `pa` to the Secure physical address space behind the realm monitor's back, as the
    /// firmware of the Secure world can do with memory that is not delegated.
    ///
    /// # Panics
    ///
    /// If there is no memory at `pa`.
    pub fn give_to_secure_world(&self, pa: u64) {
        self.inner
            .firmware
            .root
            .gpt()
            .protect(
                root_monitor::memory::Range {
                    base: pa,
                    size: GRANULE_SIZE,
                },
                aarch64_formats::gpt::Gpi::Secure,
            )
            .expect("there is memory");
    }

    /// The counter.
    pub fn counter(&self) -> u64 {
        self.inner.board.clock.now()
    }

    /// The whole state that the monitors hold: equal before and after a command that fails.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.inner.board, self.inner.monitor())
    }
}

impl Inner {
    fn monitor(&self) -> &Monitor<RealmPlatform> {
        self.firmware
            .monitor
            .get()
            .expect("the realm monitor has booted")
    }

    /// An `SMC` from NS-EL2 on processing element `pe`.
    pub(crate) fn smc(&self, pe: usize, registers: &mut Registers) {
        if self.board.failure.get().is_some() {
            // A monitor that has panicked answers nobody.
            registers.0[0] = NOT_SUPPORTED;
            return;
        }
        self.board.clock.tick();
        on(&self.board, pe, || {
            match self.firmware.root.smc(pe, World::NonSecure, registers) {
                Action::Return => {}
                Action::Switch(World::Realm) => self.realm_world(pe, registers),
                Action::Suspend => {
                    let Board { clock, pes, .. } = &*self.board;
                    clock.wait(pes[pe].lines.slice(), || pes[pe].lines.pending(clock));
                }
                action @ (Action::PowerDown | Action::SystemOff | Action::SystemReset) => {
                    resume_unwind(Box::new(Gone(action)))
                }
                action @ (Action::Switch(World::NonSecure) | Action::StartNormalWorld(_)) => {
                    panic!("an SMC of the normal world leads to {action:?}")
                }
            }
        });
    }

    /// The realm world from the moment that EL3 enters it with a call to the moment that it answers.
    fn realm_world(&self, pe: usize, registers: &mut Registers) {
        // EL3 hands over X0 to X7; the rest is whatever the realm world had there.
        let mut call = Registers([0xDEAD_DEAD_DEAD_DEAD; 18]);
        call.0[..8].copy_from_slice(&registers.0[..8]);
        let monitor = self.monitor();
        let platform = monitor.platform();
        let mut element = Watched {
            element: Element::new(&self.board, pe),
            platform,
        };
        platform.eyes.begin();
        match &self.strict {
            None => monitor.handle_rmi(&mut element, &mut call),
            Some(strict) => strict.handle_rmi(monitor, &mut element, &mut call),
        };
        platform.eyes.end(platform);
        drop(element);
        call.0.copy_within(..5, 1);
        call.0[0] = RMI_REQ_COMPLETE.into();
        let action = self.firmware.root.smc(pe, World::Realm, &mut call);
        assert_eq!(
            action,
            Action::Switch(World::NonSecure),
            "RMM_RMI_REQ_COMPLETE"
        );
        registers.0[..5].copy_from_slice(&call.0[..5]);
    }
}

/// What a thread unwinds with when its processing element is turned off.
pub struct Gone(
    /// What made it so.
    pub Action,
);

/// The `SMC` instruction at NS-EL2, on the processing element that the calling thread is.
#[derive(Clone)]
pub struct Transport {
    inner: Arc<Inner>,
}

impl SmcTransport for Transport {
    /// # Panics
    ///
    /// If the calling thread is no processing element: see [`HostPe::run`].
    fn smc(&self, registers: &mut Registers) {
        self.inner.smc(current(), registers);
    }
}
