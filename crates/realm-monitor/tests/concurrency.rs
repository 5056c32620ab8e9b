//! Several PEs at once: no deadlock, no lost granule, and a realm that can be taken apart afterwards.

mod common;

use cca_abi::rmi::Command::*;
use common::{Machine, create_realm, usual_cpu, usual_params};
use realm_monitor::granule::GranuleState;

const BASE: u64 = 0x4000_0000;
const TOP: u64 = BASE + 0x80_0000;
const SHARED: u64 = 1 << 39;

/// Numbers without order, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One PE: random calls on one realm, with granules that all PEs fight for.
fn pester(machine: &Machine, rd: u64, granules: &[u64], seed: u64) -> u32 {
    let mut numbers = Numbers(seed);
    let mut done = 0;
    for _ in 0..4000 {
        let granule = granules[numbers.below(granules.len() as u64) as usize];
        let table = BASE + numbers.below(4) * 0x20_0000;
        let page = table + numbers.below(3) * 0x1000;
        let reply = match numbers.below(10) {
            0 => machine.call(GranuleDelegate, &[granule]),
            1 => machine.call(GranuleUndelegate, &[granule]),
            2 | 3 => machine.call(RttCreate, &[rd, granule, table, 3]),
            4 => machine.call(RttDestroy, &[rd, table, 3]),
            5 | 6 => machine.call(DataCreateUnknown, &[rd, granule, page]),
            7 => machine.call(DataDestroy, &[rd, page]),
            8 => machine.call(RttFold, &[rd, table, 3]),
            _ => machine.call(RttMapUnprotected, &[rd, SHARED, 1, 0]),
        };
        done += u32::from(reply.x.0[0] == 0);
    }
    done
}

#[test]
fn many_processors_on_one_realm() {
    let machine = Machine::new(usual_cpu());
    // The RD lies between the granules, so that it is locked first and last in turn.
    let mut granules: Vec<u64> = (0..6).map(|_| machine.delegated()).collect();
    let params = usual_params(&machine);
    let rd = create_realm(&machine, &params);
    machine.table(rd, BASE, 2);
    granules.extend((0..6).map(|_| machine.delegated()));

    let done: u32 = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=4)
            .map(|seed| {
                scope.spawn({
                    let (m, g) = (&machine, &granules);
                    move || pester(m, rd, g, seed)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(done > 1000, "only {done} calls did something");

    // What is left can be found and destroyed by its results alone.
    let mut ipa = BASE;
    while ipa < TOP {
        let x = machine.call(DataDestroy, &[rd, ipa]).x.0;
        assert!(x[2] > ipa, "blocks cannot have come into being");
        ipa = x[2];
    }
    let mut ipa = BASE;
    while ipa < TOP {
        ipa = machine.call(RttDestroy, &[rd, ipa, 3]).x.0[2];
    }
    machine.call(RttDestroy, &[rd, BASE, 2]).ok();
    machine.call(RealmDestroy, &[rd]).ok();
    for granule in granules {
        let state = machine.monitor.granule_state(granule).unwrap();
        assert!(
            matches!(state, GranuleState::Delegated | GranuleState::Undelegated),
            "{granule:#x} is {state:?}"
        );
        assert_eq!(
            machine.monitor.granules().count(machine.fake(), granule),
            Some(0)
        );
        assert!(machine.is_zero(granule));
    }
}
