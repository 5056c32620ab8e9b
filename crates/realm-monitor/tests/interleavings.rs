//! Commands of several PEs, step by step in turn: between any two steps of one PE (a lock, an access to a granule, an
//! invalidation, a call of EL3) the others may come. The scheduler tries many orders; the eyes of the machine look on in all of them.

mod rig;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::{self, Ripas};
use cca_abi::smccc::Registers;
use realm_monitor::Monitor;
use realm_monitor::granule::GranuleState::{Data, Delegated, Rd, Rec, Undelegated};
use realm_monitor::platform::{Exception, Granule, RecContext};
use realm_monitor::rec::layout;
use rig::*;
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner, thread};

/// Orders that are tried, the same ones in every run.
const ORDERS: usize = 200;
const SEED: u64 = 0x5A;
/// A table at level 3 without content, and its granule.
const BARE: u64 = RAM + 0x20_0000;
const BARE_TABLE: u64 = TABLES + 2 * 0x1000;
/// A page of the realm and its granule.
const PAGE: u64 = RAM + 0x1000;
const PAGE_DATA: u64 = DATA + 0x1000;
const SUCCESS: u64 = 0;

/// What one PE does.
type Work = fn(&Host);

/// A PE of the host.
struct Host {
    monitor: Arc<Monitor<Machine>>,
}

impl Host {
    fn call(&self, registers: &Registers) -> u64 {
        self.call_with(&mut ScriptedPe::default(), registers)
    }

    fn call_with(&self, pe: &mut ScriptedPe, registers: &Registers) -> u64 {
        let mut registers = *registers;
        handle_rmi(&self.monitor, pe, &mut registers);
        registers.0[0]
    }

    /// Until it succeeds, but not for ever: it may be too late.
    fn insist(&self, registers: &Registers) -> bool {
        (0..12).any(|_| self.call(registers) == SUCCESS)
    }

    /// Enters a REC in which the realm makes a call, and is interrupted if it ever gets an answer.
    fn realm_calls(&self, rec: u64, registers: &'static [u64]) -> u64 {
        let mut pe = ScriptedPe::default();
        pe.script.push_back(Box::new(move |rec: RecContext<'_>, _| {
            for (n, value) in registers.iter().enumerate() {
                rec.set_gpr(n, *value);
            }
            sync(0x5E00_0000)
        }));
        pe.script.push_back(Box::new(|_, _| Exception::Irq));
        self.call_with(&mut pe, &Rig::enter_call(rec).encode())
    }

    fn page(&self, pa: u64) -> &Granule {
        &self.monitor.platform().memory[Machine::index(pa)]
    }

    fn is_zero(&self, pa: u64) -> bool {
        self.page(pa).iter().all(|word| word.load(Relaxed) == 0)
    }
}

/// Runs the PEs in many orders, and looks at the machine after each.
fn explore(prepare: fn() -> Rig, pes: &'static [Work], after: fn(&Host)) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let orders = RandomScheduler::new_from_seed(SEED, ORDERS);
    Runner::new(orders, config).run(move || {
        let Rig { monitor, .. } = prepare();
        let turns = monitor.platform().turn.set(thread::yield_now);
        assert!(turns.is_ok());
        let monitor = Arc::new(monitor);
        let threads: Vec<_> = pes
            .iter()
            .map(|work| {
                let monitor = Arc::clone(&monitor);
                thread::spawn(move || work(&Host { monitor }))
            })
            .collect();
        for thread in threads {
            thread.join().expect("no PE stops");
        }
        after(&Host { monitor });
    });
}

fn undelegate(addr: u64) -> Registers {
    rmi::granule_undelegate::Input { addr }.encode()
}

fn delegate(addr: u64) -> Registers {
    rmi::granule_delegate::Input { addr }.encode()
}

fn data_destroy(ipa: u64) -> Registers {
    rmi::data_destroy::Input { rd: RD, ipa }.encode()
}

fn data_create(data: u64, ipa: u64) -> Registers {
    rmi::data_create_unknown::Input { rd: RD, data, ipa }.encode()
}

fn with_bare_table() -> Rig {
    let mut rig = Rig::active();
    rig.table(BARE, 3);
    rig
}

#[test]
fn a_walk_of_a_realm_never_comes_to_a_table_that_is_gone() {
    explore(
        with_bare_table,
        &[
            |pe| {
                // RSI_IPA_STATE_GET
                let end = pe.realm_calls(REC0, &[0xC400_0198, BARE, BARE + 0x1000]);
                assert_eq!(end, SUCCESS);
            },
            |pe| {
                let destroy = rmi::rtt_destroy::Input {
                    rd: RD,
                    ipa: BARE,
                    level: 3,
                };
                assert_eq!(pe.call(&destroy.encode()), SUCCESS);
                assert_eq!(pe.call(&undelegate(BARE_TABLE)), SUCCESS);
            },
        ],
        |host| assert_eq!(host.monitor.granule_state(BARE_TABLE), Some(Undelegated)),
    );
}

#[test]
fn a_rec_runs_on_one_pe_or_is_destroyed() {
    const ENTER: Work = |pe| {
        let mut element = ScriptedPe::default();
        element.script.push_back(Box::new(|_, _| {
            thread::yield_now();
            Exception::Irq
        }));
        pe.call_with(&mut element, &Rig::enter_call(REC0).encode());
    };
    const DESTROY: Work = |pe| {
        if pe.call(&rmi::rec_destroy::Input { rec: REC0 }.encode()) == SUCCESS {
            assert!(pe.is_zero(REC0));
        }
    };
    explore(Rig::active, &[ENTER, ENTER, DESTROY], |host| {
        let state = host.monitor.granule_state(REC0);
        let count = host.monitor.granules().count(host.monitor.platform(), REC0);
        assert_eq!(count, Some(0));
        assert!(matches!(state, Some(Rec | Delegated)));
        assert!(state == Some(Rec) || host.is_zero(REC0));
    });
}

#[test]
fn what_a_realm_gets_goes_to_memory_that_is_its_own() {
    explore(
        Rig::active,
        &[
            // RSI_REALM_CONFIG
            |pe| assert_eq!(pe.realm_calls(REC0, &[0xC400_0196, PAGE]), SUCCESS),
            |pe| {
                assert_eq!(pe.call(&data_destroy(PAGE)), SUCCESS);
                assert_eq!(pe.call(&undelegate(PAGE_DATA)), SUCCESS);
            },
        ],
        |host| assert!(host.is_zero(PAGE_DATA), "the host has what was the realm's"),
    );
}

/// Two realms: one that can be destroyed, and granules for another one with the same VMID.
fn with_two_realms() -> Rig {
    let mut rig = Rig::with_realm();
    rig.create_realm(RD_B, ROOT_B, 2);
    // The parameters are still there.
    rig.host_page(PARAMS)[rmi::params::realm_offset::RTT_BASE / 8].store(NEXT_ROOT, Relaxed);
    rig.delegate(NEXT_RD);
    rig.delegate(NEXT_ROOT);
    rig
}
const NEXT_RD: u64 = pa(60);
const NEXT_ROOT: u64 = pa(61);

#[test]
fn a_vmid_is_given_away_when_nothing_of_the_last_realm_is_left() {
    explore(
        with_two_realms,
        &[
            |pe| {
                let end = pe.call(&rmi::realm_destroy::Input { rd: RD_B }.encode());
                assert_eq!(end, SUCCESS);
            },
            |pe| {
                let create = rmi::realm_create::Input {
                    rd: NEXT_RD,
                    params_ptr: PARAMS,
                };
                if pe.insist(&create.encode()) {
                    let look = rmi::rtt_read_entry::Input {
                        rd: NEXT_RD,
                        ipa: 0,
                        level: 1,
                    };
                    assert_eq!(pe.call(&look.encode()), SUCCESS);
                }
            },
        ],
        |host| assert_eq!(host.monitor.granule_state(RD_B), Some(Delegated)),
    );
}

fn with_a_rec_in_each() -> Rig {
    let mut rig = with_two_realms();
    rig.create_rec(RD_B, REC_B, 0, true);
    rig
}

#[test]
fn a_realm_is_there_until_its_last_rec_is_gone() {
    explore(
        with_a_rec_in_each,
        &[
            |pe| {
                let end = pe.call(&rmi::rec_destroy::Input { rec: REC_B }.encode());
                assert_eq!(end, SUCCESS);
            },
            |pe| {
                pe.insist(&rmi::realm_destroy::Input { rd: RD_B }.encode());
            },
            |pe| {
                // RMI_RTT_SET_RIPAS is refused, since nobody has asked, but it looks at both of them.
                let input = rmi::rtt_set_ripas::Input {
                    rd: RD_B,
                    rec: REC_B,
                    base: 0,
                    top: 0x1000,
                };
                assert_ne!(pe.call(&input.encode()), SUCCESS);
            },
        ],
        |host| {
            assert!(host.is_zero(REC_B));
            let rd = host.monitor.granule_state(RD_B);
            assert!(rd == Some(Rd) || host.is_zero(RD_B));
        },
    );
}

#[test]
fn a_granule_has_one_owner_when_worlds_change() {
    explore(
        with_two_realms,
        &[
            |pe| assert_eq!(pe.call(&undelegate(NEXT_RD)), SUCCESS),
            |pe| {
                pe.insist(&delegate(NEXT_RD));
            },
            |pe| {
                pe.insist(&delegate(NEXT_RD));
            },
        ],
        |host| {
            let state = host.monitor.granule_state(NEXT_RD);
            assert!(matches!(state, Some(Delegated | Undelegated)));
            assert!(host.is_zero(NEXT_RD));
        },
    );
}

#[test]
fn an_address_has_one_page_and_a_page_one_address() {
    fn with_spare_granules() -> Rig {
        let mut rig = Rig::active();
        rig.delegate(pa(60));
        rig.delegate(pa(61));
        rig
    }
    explore(
        with_spare_granules,
        &[
            |pe| {
                pe.call(&data_create(pa(60), UNPOPULATED));
                pe.call(&data_create(pa(61), UNPOPULATED + 0x1000));
            },
            |pe| {
                pe.call(&data_create(pa(61), UNPOPULATED));
                pe.call(&data_create(pa(60), UNPOPULATED + 0x1000));
            },
            |pe| {
                pe.call(&data_destroy(UNPOPULATED));
            },
        ],
        |host| {
            for data in [pa(60), pa(61)] {
                let state = host.monitor.granule_state(data);
                assert!(matches!(state, Some(Data | Delegated)));
            }
        },
    );
}

#[test]
fn memory_that_changes_its_ripas_is_gone_for_good_or_there() {
    fn asking() -> Rig {
        let rig = Rig::active();
        let rec = rig.rec(REC1);
        rec.set(layout::RIPAS_ADDR, PAGE);
        rec.set(layout::RIPAS_TOP, PAGE + 0x1000);
        rec.set(layout::RIPAS_VALUE, Ripas::Empty as u64);
        rig
    }
    explore(
        asking,
        &[
            |pe| {
                let input = rmi::rtt_set_ripas::Input {
                    rd: RD,
                    rec: REC1,
                    base: PAGE,
                    top: PAGE + 0x1000,
                };
                pe.call(&input.encode());
            },
            |pe| assert_eq!(pe.call(&data_destroy(PAGE)), SUCCESS),
            |pe| {
                pe.realm_calls(REC0, &[0xC400_0196, PAGE]);
            },
        ],
        |host| assert!(host.is_zero(PAGE_DATA)),
    );
}

/// RSI_MEASUREMENT_EXTEND of REM 1 by a word.
const EXTEND: [&[u64]; 2] = [&[0xC400_0193, 1, 8, 0xA], &[0xC400_0193, 1, 8, 0xB]];

fn with_two_runnable_recs() -> Rig {
    let mut rig = Rig::with_realm();
    rig.create_rec(RD, REC0, 0, true);
    rig.create_rec(RD, REC1, 1, true);
    rig.ok(&rmi::realm_activate::Input { rd: RD }.encode());
    rig
}

fn measurement(monitor: &Monitor<Machine>) -> [u8; 64] {
    realm_monitor::realm::Realm::at(monitor.platform(), RD).measurement(1)
}

#[test]
fn no_extension_of_a_measurement_is_lost() {
    explore(
        with_two_runnable_recs,
        &[
            |pe| assert_eq!(pe.realm_calls(REC0, EXTEND[0]), SUCCESS),
            |pe| assert_eq!(pe.realm_calls(REC1, EXTEND[1]), SUCCESS),
        ],
        |host| {
            let one_after_the_other = |order: [usize; 2]| {
                let Rig { monitor, .. } = with_two_runnable_recs();
                let monitor = Arc::new(monitor);
                for n in order {
                    let monitor = Arc::clone(&monitor);
                    Host { monitor }.realm_calls(REC0, EXTEND[n]);
                }
                measurement(&monitor)
            };
            let found = measurement(&host.monitor);
            assert!([[0, 1], [1, 0]].map(one_after_the_other).contains(&found));
        },
    );
}
