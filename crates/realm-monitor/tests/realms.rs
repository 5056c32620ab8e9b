//! What the commands on granules and realms do when they succeed.

mod common;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::Command::*;
use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::params::{RealmParams, realm_flags};
use common::world::World;
use common::{HIGH, Machine, NON_SECURE, REALM, create_realm, usual_cpu, usual_params};
use realm_monitor::granule::GranuleState;
use realm_monitor::platform::{CpuFeatures, TlbScope};
use realm_monitor::realm::{Realm, RealmState};

#[test]
fn version_1_0_is_the_only_one() {
    let machine = Machine::new(usual_cpu());
    let x = machine.call(Version, &[0x1_0000]).ok().x.0;
    assert_eq!(x[1..3], [0x1_0000, 0x1_0000]);
}

#[test]
fn features_follow_the_machine() {
    let machine = Machine::new(usual_cpu());
    let register = FeatureRegister0::decode(machine.call(Features, &[0]).ok().x.0[1]);
    let expected = FeatureRegister0 {
        s2sz: 48,
        lpa2: false,
        sve_vl: None,
        num_bps: 5,
        num_wps: 3,
        pmu_num_ctrs: None,
        hash_sha_256: true,
        hash_sha_512: true,
        gicv3_num_lrs: 3,
        max_recs_order: 10,
    };
    assert_eq!(register, expected);
    let vectors = Machine::new(CpuFeatures {
        sve_vl: Some(15),
        pmu_counters: Some(6),
        ..usual_cpu()
    });
    assert_eq!(
        FeatureRegister0::decode(vectors.call(Features, &[0]).ok().x.0[1]),
        FeatureRegister0 {
            sve_vl: Some(15),
            pmu_num_ctrs: Some(6),
            ..expected
        }
    );
    for index in [1, u64::MAX] {
        assert_eq!(machine.call(Features, &[index]).ok().x.0[1], 0);
    }
    let wide = CpuFeatures {
        pa_bits: 52,
        ..usual_cpu()
    };
    let s2sz =
        |cpu| FeatureRegister0::decode(Machine::new(cpu).call(Features, &[0]).ok().x.0[1]).s2sz;
    assert_eq!(s2sz(wide), 48, "52 bits need LPA2");
    assert_eq!(s2sz(CpuFeatures { lpa2: true, ..wide }), 52);
    assert_eq!(
        s2sz(CpuFeatures {
            pa_bits: 40,
            ..wide
        }),
        40
    );
}

#[test]
fn a_delegated_granule_is_wiped_and_comes_back_wiped() {
    let machine = Machine::new(usual_cpu());
    let granule = machine.host_filled(0x77);
    machine.call(GranuleDelegate, &[granule]).ok();
    assert_eq!(
        machine.monitor.granule_state(granule),
        Some(GranuleState::Delegated)
    );
    assert_eq!(machine.fake().protection(granule), REALM);
    assert!(machine.is_zero(granule));
    machine.call(GranuleUndelegate, &[granule]).ok();
    assert_eq!(
        machine.monitor.granule_state(granule),
        Some(GranuleState::Undelegated)
    );
    assert_eq!(machine.fake().protection(granule), NON_SECURE);
    assert!(machine.is_zero(granule));
    machine.call(GranuleDelegate, &[HIGH.base + 0x3000]).ok();
}

#[test]
fn a_realm_lives_and_dies() {
    let machine = Machine::new(usual_cpu());
    let params = RealmParams {
        rpv: [1, 2, 3, 4, 5, 6, 7, 8],
        vmid: 0xFFFF,
        ..usual_params(&machine)
    };
    let rd = create_realm(&machine, &params);
    let state = |pa| machine.monitor.granule_state(pa).unwrap();
    let tables = [params.rtt_base, params.rtt_base + 4096];
    assert_eq!(
        (state(rd), tables.map(state)),
        (GranuleState::Rd, [GranuleState::Rtt; 2])
    );
    {
        let realm = Realm::at(machine.fake(), rd);
        assert_eq!(
            (realm.state(), realm.ipa_bits(), realm.rec_index()),
            (RealmState::New, 40, 0)
        );
        assert_eq!(
            (realm.rpv(), realm.num_bps(), realm.start_tables()),
            (params.rpv, 1, 2)
        );
        assert_eq!(
            realm.stage2().vttbr,
            0xFFFF_0000_0000_0000 | params.rtt_base
        );
        assert_eq!(realm.stage2().vtcr, 0x800D_3558);
        assert_eq!(realm.measurement(4), [0; 64]);
    }
    assert_eq!(machine.call(RecAuxCount, &[rd]).ok().x.0[1], 0);
    // Everything is unassigned at first, in both halves.
    for ipa in [0, (1 << 39) - (1 << 30), 1 << 39, (1 << 40) - (1 << 30)] {
        assert_eq!(machine.read(rd, ipa, 1), [1, 0, 0, 0]);
    }

    machine.call(RealmActivate, &[rd]).ok();
    assert_eq!(Realm::at(machine.fake(), rd).state(), RealmState::Active);

    // Unprotected mappings in a starting-level table do not keep the realm alive.
    machine
        .call(RttMapUnprotected, &[rd, 1 << 39, 1, 0b110 << 2])
        .ok();
    machine.call(RealmDestroy, &[rd]).ok();
    assert_eq!(
        machine.fake().invalidations.lock().unwrap().last(),
        Some(&TlbScope::Vmid(0xFFFF))
    );
    for granule in [rd, tables[0], tables[1]] {
        assert_eq!(state(granule), GranuleState::Delegated);
        assert!(machine.is_zero(granule));
        machine.call(GranuleUndelegate, &[granule]).ok();
    }

    // The VMID is free again, and a realm that takes it starts with nothing of the old one.
    let params = RealmParams {
        vmid: 0xFFFF,
        ..usual_params(&machine)
    };
    let rd = create_realm(&machine, &params);
    assert_eq!(Realm::at(machine.fake(), rd).rpv(), [0; 8]);
}

#[test]
fn eight_bit_vmids_are_all_that_small_machines_have() {
    let machine = Machine::new(CpuFeatures {
        vmid16: false,
        ..usual_cpu()
    });
    let with = |vmid| {
        machine.realm_params(&RealmParams {
            vmid,
            ..usual_params(&machine)
        })
    };
    let rd = machine.delegated();
    assert_eq!(
        machine.call(RealmCreate, &[rd, with(0x100)]).condition,
        Some("vmid_valid")
    );
    machine.call(RealmCreate, &[rd, with(0xFF)]).ok();
}

#[test]
fn every_start_of_a_walk_that_the_rule_permits() {
    let big = CpuFeatures {
        pa_bits: 52,
        lpa2: true,
        ..usual_cpu()
    };
    let cases: &[(u64, u8, i64, u32)] = &[
        (0, 32, 2, 4),
        (0, 34, 2, 16),
        (0, 39, 1, 1),
        (0, 42, 1, 8),
        (0, 48, 0, 1),
        (realm_flags::LPA2, 48, 0, 1),
        (realm_flags::LPA2, 52, 0, 16),
        (realm_flags::LPA2, 52, -1, 1),
    ];
    for (i, &(flags, s2sz, rtt_level_start, rtt_num_start)) in cases.iter().enumerate() {
        let machine = Machine::new(big);
        let rtt_base = machine.delegated_aligned(rtt_num_start.into());
        let usual = usual_params(&machine);
        let params = RealmParams {
            flags,
            s2sz,
            rtt_base,
            rtt_level_start,
            rtt_num_start,
            vmid: i as u16,
            ..usual
        };
        let rd = create_realm(&machine, &params);
        // The last entry of the last table, reached from the top to the bottom.
        let last = (1 << s2sz) - (1 << 21);
        for level in rtt_level_start + 1..=3 {
            let size = 1_u64 << (12 + 9 * (4 - level));
            machine.table(rd, last & !(size - 1), level as u64);
        }
        let desc = 0x1234_5000 | 0b110 << 2 | 0b01 << 6;
        machine.call(RttMapUnprotected, &[rd, last, 3, desc]).ok();
        assert_eq!(machine.read(rd, last, 3), [3, 1, desc, 0]);
        // And the first one.
        for level in rtt_level_start + 1..=3 {
            machine.table(rd, 0, level as u64);
        }
        let data = machine.delegated();
        machine.call(DataCreateUnknown, &[rd, data, 0]).ok();
        assert_eq!(machine.read(rd, 0, 3), [3, 1, data, 0]);
        assert_eq!(
            machine.call(RealmDestroy, &[rd]).condition,
            Some("realm_live")
        );
    }
}

#[test]
fn level_0_needs_a_wide_machine() {
    let machine = Machine::new(CpuFeatures {
        pa_bits: 42,
        ..usual_cpu()
    });
    let rtt_base = machine.delegated();
    let usual = usual_params(&machine);
    let params = RealmParams {
        s2sz: 42,
        rtt_base,
        rtt_level_start: 0,
        rtt_num_start: 1,
        ..usual
    };
    let reply = machine.call(
        RealmCreate,
        &[machine.delegated(), machine.realm_params(&params)],
    );
    assert_eq!(reply.condition, Some("rtt_num_level"));
}

#[test]
fn operands_may_come_in_any_address_order() {
    let machine = Machine::new(usual_cpu());
    let low = machine.delegated();
    let params = usual_params(&machine);
    machine
        .call(RealmCreate, &[low, machine.realm_params(&params)])
        .ok();
    let high = machine.delegated();
    machine.call(RttCreate, &[low, high, 0, 2]).ok();

    let rtt = machine.delegated();
    let rd = create_realm(
        &machine,
        &RealmParams {
            vmid: 8,
            ..usual_params(&machine)
        },
    );
    assert!(rtt < rd);
    machine.call(RttCreate, &[rd, rtt, 0, 2]).ok();
}

#[test]
fn results_leave_other_registers_alone() {
    let world = World::new();
    let mut x = cca_abi::smccc::Registers([0x55; 18]);
    x.0[0] = RecAuxCount.function_id().into();
    x.0[1] = world.rd;
    world.machine.monitor.handle_rmi(&mut common::Idle, &mut x);
    assert_eq!(x.0[..4], [0; 4]);
    assert_eq!(x.0[4..], [0x55; 14]);
}

#[test]
fn the_lock_of_a_granule_excludes_other_processors() {
    // Many threads delegate and undelegate the same few granules; exactly one wins each time.
    let machine = Machine::new(usual_cpu());
    let granules = [machine.host(), machine.host()];
    let won = std::sync::atomic::AtomicI64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for i in 0..500 {
                    let granule = granules[i % 2];
                    let delta = |reply: common::Reply, by| if reply.x.0[0] == 0 { by } else { 0 };
                    won.fetch_add(delta(machine.call(GranuleDelegate, &[granule]), 1), Relaxed);
                    won.fetch_add(
                        delta(machine.call(GranuleUndelegate, &[granule]), -1),
                        Relaxed,
                    );
                }
            });
        }
    });
    let left = granules
        .iter()
        .filter(|&&pa| machine.monitor.granule_state(pa) == Some(GranuleState::Delegated))
        .count();
    assert_eq!(won.load(Relaxed), left as i64);
}
