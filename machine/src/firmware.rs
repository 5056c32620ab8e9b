//! Booting: the protection table, the root monitor, and the realm monitor through their boot interface.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use aarch64_formats::gpt::ProtectedSpace;
use cca_abi::el3::{self, INTERFACE_VERSION, boot_code, manifest::Manifest};
use cca_abi::firmware::PlatformIdentity;
use cca_abi::smccc::Registers;
use machine_eyes::Eyes;
use realm_monitor::granule::{Bank, Banks};
use realm_monitor::{Monitor, strict};
use realm_token::development;
use root_monitor::gpt::Gpt;
use root_monitor::memory::{Range, Ranges};
use root_monitor::psci::{ProcessingElement, Start};
use root_monitor::{Action, Identity, PowerUp, RootMonitor, World};
use sha2::{Digest, Sha256};

use crate::board::{Board, LEVEL1_BASE};
use crate::memory::GRANULE_SIZE;
use crate::monitor_platform::{RealmPlatform, Root, RootPlatform, features};
use crate::protection::PhysicalAddressSpace;
use crate::storage::Storage;

/// Where DRAM starts.
pub(crate) const DRAM_BASE: u64 = 0x4000_0000;
/// The realm monitor's own memory.
const CARVE_OUT: Range = Range {
    base: 0x4010_0000,
    size: 0x180_0000,
};
/// The page that the two monitors share: the last one of the carve-out.
pub(crate) const SHARED_BUFFER: u64 = CARVE_OUT.base + CARVE_OUT.size - GRANULE_SIZE;
/// EL3's own memory.
const SECURE_RAM: Range = Range {
    base: 0x0E00_0000,
    size: 0x100_0000,
};
/// Where the normal world starts.
const PAYLOAD: Start = Start {
    entry: 0x6000_0000,
    argument: DRAM_BASE,
};

/// Where the host's own code would be, which it never delegates.
pub(crate) const HOST_CODE: u64 = CARVE_OUT.base + CARVE_OUT.size;
/// First address of DRAM that is nobody's at boot.
pub(crate) const FREE_BASE: u64 = HOST_CODE + 0x1_0000;

/// The monitors of a machine.
pub(crate) struct Firmware {
    /// EL3.
    pub(crate) root: Arc<Root>,
    /// R-EL2, once it has booted.
    pub(crate) monitor: OnceLock<Monitor<RealmPlatform>>,
    board: Arc<Board>,
    /// Whether the realm monitor is the strict one.
    strict: bool,
}

impl Firmware {
    /// Builds the protection table of a board with `dram` bytes, and the root monitor on it, with this identity if any.
    ///
    /// # Panics
    ///
    /// If the root monitor refuses this machine.
    pub(crate) fn new(
        board: &Arc<Board>,
        dram: u64,
        identity: Option<Identity>,
        strict: bool,
    ) -> Self {
        let space = ProtectedSpace::TIB_1;
        let (level0, level1) = (board.protection.0.words(), board.protection.1.words());
        let gpt = Gpt::new(space, level0, level1, LEVEL1_BASE).expect("the storage fits the space");
        let memory = Range::new(DRAM_BASE, dram);
        for (range, gpi) in [
            (SECURE_RAM, aarch64_formats::gpt::Gpi::Root),
            (memory, aarch64_formats::gpt::Gpi::NonSecure),
            (CARVE_OUT, aarch64_formats::gpt::Gpi::Realm),
        ] {
            gpt.protect(range, gpi)
                .expect("there are tables for all memory");
        }
        let mut delegable = Ranges::<4>::default();
        delegable.add(memory).expect("room for three ranges");
        delegable.remove(CARVE_OUT).expect("room for three ranges");
        let mut words = [0; 512];
        root_monitor::manifest::write(&mut words, SHARED_BUFFER, delegable.as_slice(), &[])
            .expect("two banks fit");
        let page = board
            .page(SHARED_BUFFER, PhysicalAddressSpace::Realm)
            .expect("the carve-out is memory");
        for (cell, word) in page.iter().zip(words) {
            cell.store(word, Ordering::Relaxed);
        }

        let pes: Vec<_> = (0..board.pes.len())
            .map(|index| ProcessingElement::new(mpidr(index)))
            .collect();
        let woken = board.pes.iter().map(|_| AtomicBool::new(false)).collect();
        let platform = RootPlatform {
            board: Arc::clone(board),
            woken,
        };
        let root = RootMonitor::new(
            platform,
            gpt,
            Box::leak(pes.into()),
            0,
            PAYLOAD,
            Some(SHARED_BUFFER),
        )
        .expect("the root monitor accepts this machine");
        let root = match identity {
            Some(identity) => root.with_identity(identity),
            None => root,
        };
        Self {
            root: Arc::new(root),
            monitor: OnceLock::new(),
            board: Arc::clone(board),
            strict,
        }
    }

    /// Turns on a processing element: boots the realm monitor on it. Returns where the normal world starts.
    ///
    /// # Panics
    ///
    /// If the two monitors do not come to terms.
    pub(crate) fn power_up(&self, pe: usize) -> Start {
        match self.root.power_up(pe) {
            PowerUp::StartNormalWorld(start) => start,
            PowerUp::BootRmm(registers) => {
                let code = self.boot_rmm(&registers);
                let mut complete = Registers::call(el3::BOOT_COMPLETE, &[code.cast_unsigned()]);
                match self.root.smc(pe, World::Realm, &mut complete) {
                    Action::StartNormalWorld(start) => start,
                    other => panic!("RMM_BOOT_COMPLETE leads to {other:?}"),
                }
            }
        }
    }

    /// What an RMM does between its entry and RMM_BOOT_COMPLETE (RMM-EL3 interface, 2.2); the code that it
    /// completes with.
    fn boot_rmm(&self, registers: &Registers) -> i64 {
        if self.monitor.get().is_some() {
            return boot_code::SUCCESS;
        }
        let [index, version, count, shared] = [0, 1, 2, 3].map(|n| registers.0[n]);
        if version != INTERFACE_VERSION {
            return boot_code::VERSION_NOT_VALID;
        }
        if index >= count {
            return boot_code::CPU_ID_OUT_OF_RANGE;
        }
        let Ok(page) = self.board.page(shared, PhysicalAddressSpace::Realm) else {
            return boot_code::INVALID_SHARED_BUFFER;
        };
        let Ok(manifest) = Manifest::read(&crate::memory::contents(page), shared) else {
            return boot_code::MANIFEST_DATA_ERROR;
        };
        let banks: Vec<_> = manifest
            .banks()
            .iter()
            .map(|bank| Bank {
                base: bank.base,
                size: bank.size,
            })
            .collect();
        let Some(banks) = Banks::new(&banks) else {
            return boot_code::MANIFEST_DATA_ERROR;
        };
        let states = Storage::<std::sync::atomic::AtomicU16>::take(banks.granules());
        for state in states.words() {
            state.store(0, Ordering::Relaxed);
        }
        let platform = RealmPlatform {
            root: Arc::clone(&self.root),
            board: Arc::clone(&self.board),
            states,
            banks,
            eyes: Eyes::default(),
            features: if self.strict {
                strict::features(&features())
            } else {
                features()
            },
            strict: self.strict,
            attestation: OnceLock::new(),
        };
        let monitor = Monitor::new(platform, banks).expect("there is a state for each granule");
        self.monitor
            .set(monitor)
            .unwrap_or_else(|_| panic!("the realm monitor boots once"));
        boot_code::SUCCESS
    }
}

/// What this machine attests to: the identity that everybody knows. There is no image of the realm monitor, so what is
/// measured in its place is a name.
pub(crate) fn identity() -> Identity {
    const NAME: &[u8] = b"realm-monitor, in process";
    Identity {
        platform: PlatformIdentity::new(development::DEFAULT_SEED, PlatformIdentity::PUBLIC),
        rmm: Sha256::digest(NAME).into(),
        rmm_version: env!("CARGO_PKG_VERSION"),
    }
}

/// MPIDR_EL1 of a physical processing element, as QEMU's `virt` numbers them: 16 in a cluster.
pub(crate) fn mpidr(index: usize) -> u64 {
    ((index as u64 / 16) << 8) | (index as u64 % 16)
}
