//! Calls of both worlds to the root monitor, on several PEs in turn.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use aarch64_formats::gpt::{AddressSpace, Gpi, L1_BYTES, L1_ENTRIES, ProtectedSpace};
use cca_abi::el3::{BOOT_COMPLETE, RING_BELL, RMI_REQ_COMPLETE, SWITCH_ON_DEMAND};
use cca_abi::psci::Function;
use cca_abi::smccc::Registers;
use root_monitor::gpt::Gpt;
use root_monitor::memory::Range;
use root_monitor::psci::{ProcessingElement, Start};
use root_monitor::{Action, Platform, PowerUp, RootMonitor, World};

use crate::Hand;

const SPACE: ProtectedSpace = ProtectedSpace::GIB_4;
const L1_ADDRESS: u64 = 8 * L1_BYTES;
const DRAM: Range = Range::between(0x4000_0000, 0x6000_0000);
const RMM: Range = Range::between(0x4010_0000, 0x4190_0000);
const SHARED: u64 = 0x418F_F000;
const PES: usize = 3;

/// Granules that change worlds.
const POOL: [u64; 6] = [
    0x4000_0000,
    0x4000_F000,
    0x4001_0000,
    0x4200_0000,
    0x5FFF_E000,
    0x5FFF_F000,
];

thread_local! {
    static TABLES: RefCell<Vec<AtomicU64>> = RefCell::default();
}

/// A machine that counts whom it wakes.
struct Recorder {
    woken: [AtomicU64; PES],
    /// How often it was rung.
    rung: AtomicU64,
    shared: [AtomicU64; 512],
}

impl Platform for Recorder {
    fn clean_to_aliasing_point(&self, _: AddressSpace, _: u64) {}

    fn invalidate_protection(&self, _: u64) {}

    fn note_delegation(&self) {}

    fn wake(&self, pe: usize) {
        self.woken[pe].fetch_add(1, Ordering::Relaxed);
    }

    fn ring(&self) {
        self.rung.fetch_add(1, Ordering::Relaxed);
    }

    fn shared_buffer(&self) -> &[AtomicU64; 512] {
        &self.shared
    }
}

/// What the fuzzer knows of a PE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pe {
    Off,
    /// The normal world turned it on; it has not come up yet.
    Woken,
    BootingRmm,
    Normal,
    /// A call of the normal world is with the RMM.
    Realm,
}

/// Makes the calls that these bytes describe.
///
/// # Panics
///
/// If the root monitor does, or does what it may not.
pub fn run(data: &[u8]) {
    TABLES.with_borrow_mut(|tables| {
        let level0 = SPACE.l0_entries();
        tables.resize_with(level0 + L1_ENTRIES, AtomicU64::default);
        let (level0, level1) = tables.split_at(level0);
        let gpt = Gpt::new(SPACE, level0, level1, L1_ADDRESS).expect("storage that fits");
        gpt.protect(DRAM, Gpi::NonSecure).expect("a table");
        gpt.protect(RMM, Gpi::Realm).expect("the same table");
        let pes: [_; PES] = std::array::from_fn(|n| ProcessingElement::new(n as u64));
        let payload = Start {
            entry: 0x5000_0000,
            argument: 0,
        };
        let platform = Recorder {
            woken: Default::default(),
            rung: AtomicU64::new(0),
            shared: [const { AtomicU64::new(0) }; 512],
        };
        let root = RootMonitor::new(platform, gpt, &pes, 0, payload, Some(SHARED))
            .expect("a machine that it accepts");
        let mut play = Play {
            root,
            pes: [Pe::Off; PES],
            moved: BTreeMap::new(),
        };
        play.power_up(0);
        let mut hand = Hand::new(data);
        while !hand.is_empty() {
            play.step(&mut hand);
        }
    });
}

struct Play<'a> {
    root: RootMonitor<'a, Recorder>,
    pes: [Pe; PES],
    /// Granules that the RMM has moved to its world (`true`) or back.
    moved: BTreeMap<u64, bool>,
}

impl Play<'_> {
    fn power_up(&mut self, pe: usize) {
        self.pes[pe] = match self.root.power_up(pe) {
            PowerUp::BootRmm(_) => Pe::BootingRmm,
            PowerUp::StartNormalWorld(_) => Pe::Normal,
        };
    }

    fn step(&mut self, hand: &mut Hand<'_>) {
        let pe = hand.below(PES);
        match self.pes[pe] {
            Pe::Off => {}
            Pe::Woken => self.power_up(pe),
            Pe::BootingRmm | Pe::Realm => self.realm(pe, hand),
            Pe::Normal => self.normal(pe, hand),
        }
        for (woken, state) in self.root.platform().woken.iter().zip(&mut self.pes) {
            let count = woken.swap(0, Ordering::Relaxed);
            assert!(count <= 1, "woken {count} times");
            if count == 1 {
                assert_eq!(*state, Pe::Off, "a PE that is on is woken");
                *state = Pe::Woken;
            }
        }
        for pa in POOL {
            let realm = self.moved.get(&pa).copied().unwrap_or(false);
            let expected = if realm { Gpi::Realm } else { Gpi::NonSecure };
            assert_eq!(self.root.gpt().lookup(pa), Some(expected), "{pa:#x}");
        }
        assert_eq!(self.root.gpt().lookup(0x4200_1000), Some(Gpi::NonSecure));
    }

    fn registers(function: u64, hand: &mut Hand<'_>) -> Registers {
        let mut registers = Registers(std::array::from_fn(|n| 0xA5A5_0000 + n as u64));
        registers.0[0] = function;
        for register in registers.0.iter_mut().skip(1).take(hand.below(6)) {
            *register = match hand.below(6) {
                0 => u64::from(hand.byte() % 4),
                1 => SHARED + u64::from(hand.byte()) * 16,
                2 => hand.value(),
                _ => hand.pick(&POOL),
            };
        }
        registers
    }

    fn normal(&mut self, pe: usize, hand: &mut Hand<'_>) {
        let function = match hand.below(9) {
            0..4 => Function::ALL[hand.below(Function::ALL.len())]
                .function_id()
                .into(),
            4 => 0xC400_0150 + u64::from(hand.byte() % 64),
            5 => 0xC400_01B0 + u64::from(hand.byte() % 32),
            6 => 0x8000_0000 + u64::from(hand.byte() % 2),
            7 => u64::from(SWITCH_ON_DEMAND) + u64::from(hand.byte() % 4),
            _ => hand.value(),
        };
        let mut registers = Self::registers(function, hand);
        let before = registers;
        let action = self.root.smc(pe, World::NonSecure, &mut registers);
        assert_eq!(registers.0[4..], before.0[4..], "{action:?}");
        let rings = cca_abi::smccc::function_id(before.0[0]) == RING_BELL;
        let rung = self.root.platform().rung.swap(0, Ordering::Relaxed);
        assert_eq!(rung, u64::from(rings), "rung {rung} times");
        assert!(!rings || (action, registers.0[0]) == (Action::Return, 0));
        self.pes[pe] = match action {
            Action::Return | Action::Suspend | Action::SystemOff | Action::SystemReset => {
                Pe::Normal
            }
            Action::Switch(World::Realm) => {
                assert!(self.root.rmm_usable());
                assert_eq!(registers, before, "the RMM gets what the host has passed");
                Pe::Realm
            }
            Action::PowerDown => Pe::Off,
            other => panic!("an SMC of the normal world leads to {other:?}"),
        };
    }

    fn realm(&mut self, pe: usize, hand: &mut Hand<'_>) {
        let function = match hand.below(8) {
            0 | 1 => RMI_REQ_COMPLETE.into(),
            2 => BOOT_COMPLETE.into(),
            3 => u64::from(SWITCH_ON_DEMAND) + u64::from(hand.byte() % 2),
            // Delegation first of all.
            4 | 5 => 0xC400_01B0 + u64::from(hand.byte() % 2),
            6 => 0xC400_01B0 + u64::from(hand.byte() % 32),
            _ => hand.value(),
        };
        let mut registers = Self::registers(function, hand);
        if function == u64::from(BOOT_COMPLETE) && !hand.seldom(8) {
            registers.0[1] = 0;
        }
        let before = registers;
        let action = self.root.smc(pe, World::Realm, &mut registers);
        let rung = self.root.platform().rung.load(Ordering::Relaxed);
        assert_eq!(rung, 0, "the bell is the normal world's");
        match action {
            Action::Return => {
                assert_eq!(registers.0[5..], before.0[5..]);
                let pa = before.0[1];
                let function = cca_abi::smccc::function_id(before.0[0]);
                if registers.0[0] == 0 && (0xC400_01B0..=0xC400_01B1).contains(&function) {
                    let to_realm = function == 0xC400_01B0;
                    assert!(pa.is_multiple_of(4096), "{pa:#x}");
                    assert!(
                        !to_realm || self.moved.get(&pa) != Some(&true),
                        "{pa:#x} is delegated twice"
                    );
                    self.moved.insert(pa, to_realm);
                    let now = self.root.gpt().lookup(pa);
                    let space = if to_realm { Gpi::Realm } else { Gpi::NonSecure };
                    assert_eq!(now, Some(space));
                }
            }
            Action::Switch(World::NonSecure) => {
                assert_eq!(
                    self.pes[pe],
                    Pe::Realm,
                    "an RMM that boots has nothing to answer"
                );
                self.pes[pe] = Pe::Normal;
            }
            Action::StartNormalWorld(_) => {
                assert_eq!(self.pes[pe], Pe::BootingRmm);
                self.pes[pe] = Pe::Normal;
            }
            other => panic!("an SMC of the RMM leads to {other:?}"),
        }
    }
}
