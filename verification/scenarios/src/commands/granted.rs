//! Realms with what FEATURES says that a realm may be granted: SVE, the PMU, breakpoints and watchpoints; and the auxiliary
//! granules that RECs of such a realm need.

use alloc::vec::Vec;

use cca_abi::rmi::params::{RealmParams, realm_flags, realm_offset, rec_offset};
use cca_abi::rmi::{Command, granule_undelegate, rec_aux_count, rec_destroy};
use cca_abi::smccc::Registers;

use super::Of;
use crate::case::{Case, Change};
use crate::fixture::{Fixture, State};
use crate::realm::Realm;
use crate::stories::vectors::supported;

const NUM_AUX: usize = rec_offset::NUM_AUX / 8;
const AUX: usize = rec_offset::AUX / 8;

pub(super) fn cases(cases: &mut Vec<Case>) {
    realm_create(cases);

    Of::new(cases, Command::RecAuxCount, |fixture| {
        let rd = realm_with_aux(fixture).rd;
        rec_aux_count::Input { rd }.encode()
    })
    .succeeds("longest SVE vectors");

    rec_create(cases);

    Of::new(cases, Command::RecDestroy, |fixture| {
        let rd = realm_with_aux(fixture).rd;
        let rec = fixture.rec(rd, 0, true);
        rec_destroy::Input { rec }.encode()
    })
    .succeeds("with auxiliary granules");

    Of::new(cases, Command::GranuleUndelegate, |fixture| {
        let addr = fixture.delegated();
        granule_undelegate::Input { addr }.encode()
    })
    .fails(
        "gran_state",
        "rec_aux",
        1,
        Change::Operands(|fixture, call| {
            let rd = realm_with_aux(fixture).rd;
            let rec = fixture.rec(rd, 0, false);
            // A REC that needs no auxiliary granules is no less in use.
            let aux = fixture.find(rd).and_then(|realm| {
                let (_, aux) = realm.recs.first()?;
                aux.first().copied()
            });
            call.0[1] = aux.unwrap_or(rec);
        }),
    );
}

/// Asks for the longest vectors, if there are any.
fn longest_vectors(fixture: &mut Fixture<'_>, params: &mut RealmParams) {
    if let Some(most) = supported(fixture).sve_vl {
        params.flags |= realm_flags::SVE;
        params.sve_vl = most;
    }
}

/// Asks for all event counters, if there is a PMU.
fn all_counters(fixture: &mut Fixture<'_>, params: &mut RealmParams) {
    if let Some(most) = supported(fixture).pmu_num_ctrs {
        params.flags |= realm_flags::PMU;
        params.pmu_num_ctrs = most;
    }
}

type Ask = fn(&mut Fixture<'_>, &mut RealmParams);

/// What to ask for, as a change of parameters.
fn asking(fixture: &mut Fixture<'_>, asks: &[Ask]) -> impl FnOnce(&mut RealmParams) + use<> {
    let mut wanted = Realm::params(0, 0);
    for ask in asks {
        ask(fixture, &mut wanted);
    }
    move |params| {
        params.flags = wanted.flags;
        params.sve_vl = wanted.sve_vl;
        params.pmu_num_ctrs = wanted.pmu_num_ctrs;
    }
}

/// A realm in state NEW whose RECs need as many auxiliary granules as any.
fn realm_with_aux(fixture: &mut Fixture<'_>) -> Realm {
    let change = asking(fixture, &[longest_vectors, all_counters]);
    Realm::create_with(fixture, change)
}

/// Adds one to what FEATURES permits of something, given what a field of FEATURES says; for what is not there at all,
/// zero is too much.
fn too_much(most: Option<u8>) -> u64 {
    most.map_or(0, |most| u64::from(most) + 1)
}

fn realm_create(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RealmCreate, Realm::realm_create)
        .succeeds_with("longest SVE vectors", |fixture| {
            let change = asking(fixture, &[longest_vectors]);
            Realm::realm_create_with(fixture, change)
        })
        .succeeds_with("shortest SVE vectors", |fixture| {
            let change = asking(fixture, &[longest_vectors, |_, params| params.sve_vl = 0]);
            Realm::realm_create_with(fixture, change)
        })
        .succeeds_with("all PMU counters", |fixture| {
            let change = asking(fixture, &[all_counters]);
            Realm::realm_create_with(fixture, change)
        })
        .succeeds_with("SVE and PMU", |fixture| {
            let change = asking(fixture, &[longest_vectors, all_counters]);
            Realm::realm_create_with(fixture, change)
        })
        .succeeds_with("lengths of what it does not ask for", |fixture| {
            Realm::realm_create_with(fixture, |params| {
                params.sve_vl = 0xFF;
                params.pmu_num_ctrs = 0xFF;
            })
        })
        .succeeds_with("all breakpoints and watchpoints", |fixture| {
            let features = supported(fixture);
            Realm::realm_create_with(fixture, |params| {
                params.num_bps = features.num_bps;
                params.num_wps = features.num_wps;
            })
        })
        .fails(
            "params_supp",
            "SVE vectors one step too long",
            2,
            Change::Operands(|fixture, call| {
                let length = too_much(supported(fixture).sve_vl);
                let host = fixture.host();
                host.write(call.0[2], realm_offset::FLAGS / 8, realm_flags::SVE);
                host.write(call.0[2], realm_offset::SVE_VL / 8, length);
            }),
        )
        .fails(
            "params_supp",
            "one counter too many",
            2,
            Change::Operands(|fixture, call| {
                let counters = too_much(supported(fixture).pmu_num_ctrs);
                let host = fixture.host();
                host.write(call.0[2], realm_offset::FLAGS / 8, realm_flags::PMU);
                host.write(call.0[2], realm_offset::PMU_NUM_CTRS / 8, counters);
            }),
        )
        .fails(
            "params_supp",
            "one breakpoint too many",
            2,
            Change::Operands(|fixture, call| {
                let points = too_much(Some(supported(fixture).num_bps));
                let host = fixture.host();
                host.write(call.0[2], realm_offset::NUM_BPS / 8, points);
            }),
        )
        .fails(
            "params_supp",
            "one watchpoint too many",
            2,
            Change::Operands(|fixture, call| {
                let points = too_much(Some(supported(fixture).num_wps));
                let host = fixture.host();
                host.write(call.0[2], realm_offset::NUM_WPS / 8, points);
            }),
        );
}

/// The call that creates a REC with auxiliary granules.
fn valid_rec_create(fixture: &mut Fixture<'_>) -> Registers {
    let rd = realm_with_aux(fixture).rd;
    Realm::rec_create(fixture, rd, 0, true)
}

/// Replaces the last auxiliary granule. Where a REC needs none, one too many is what the RMM then objects to, with the
/// same status.
fn set_aux(fixture: &Fixture<'_>, call: &Registers, aux: u64) {
    let host = fixture.host();
    let count = host.read(call.0[3], NUM_AUX).max(1);
    host.write(call.0[3], NUM_AUX, count);
    host.write(call.0[3], AUX + count as usize - 1, aux);
}

/// Replaces the last auxiliary granule by one in this state.
fn aux_in(fixture: &mut Fixture<'_>, call: &Registers, state: State) {
    let aux = fixture.granule_in(state);
    set_aux(fixture, call, aux);
}

fn rec_create(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RecCreate, valid_rec_create)
        .succeeds("with auxiliary granules")
        .fails(
            "num_aux",
            "one too few",
            3,
            Change::Operands(|fixture, call| {
                let host = fixture.host();
                let count = host.read(call.0[3], NUM_AUX);
                host.write(call.0[3], NUM_AUX, count.wrapping_sub(1));
            }),
        )
        .fails(
            "aux_align",
            "",
            3,
            Change::Operands(|fixture, call| {
                let aux = fixture.delegated();
                set_aux(fixture, call, aux | 0x800);
            }),
        )
        .fails(
            "aux_alias",
            "the REC",
            3,
            Change::Operands(|fixture, call| set_aux(fixture, call, call.0[2])),
        )
        .fails(
            "aux_alias",
            "twice the same",
            3,
            Change::Operands(|fixture, call| {
                let first = fixture.host().read(call.0[3], AUX);
                let count = fixture.host().read(call.0[3], NUM_AUX);
                // A single one cannot be named twice.
                set_aux(fixture, call, if count > 1 { first } else { call.0[2] });
            }),
        )
        .fails(
            "aux_state",
            "undelegated",
            3,
            Change::Operands(|fixture, call| aux_in(fixture, call, State::Undelegated)),
        )
        .fails(
            "aux_state",
            "rd",
            3,
            Change::Operands(|fixture, call| aux_in(fixture, call, State::Rd)),
        )
        .fails(
            "aux_state",
            "its own rd",
            3,
            Change::Operands(|fixture, call| set_aux(fixture, call, call.0[1])),
        )
        .fails(
            "aux_state",
            "rec",
            3,
            Change::Operands(|fixture, call| aux_in(fixture, call, State::Rec)),
        )
        .fails(
            "aux_state",
            "rtt",
            3,
            Change::Operands(|fixture, call| aux_in(fixture, call, State::Rtt)),
        )
        .fails(
            "aux_state",
            "data",
            3,
            Change::Operands(|fixture, call| aux_in(fixture, call, State::Data)),
        )
        .fails(
            "aux_state",
            "of another REC",
            3,
            Change::Operands(|fixture, call| {
                let rd = realm_with_aux(fixture).rd;
                let rec = fixture.rec(rd, 0, false);
                let aux = fixture.find(rd).and_then(|realm| {
                    let (_, aux) = realm.recs.first()?;
                    aux.first().copied()
                });
                set_aux(fixture, call, aux.unwrap_or(rec));
            }),
        )
        .fails(
            "aux_state",
            "device",
            3,
            Change::Operands(|fixture, call| {
                let device = fixture.host().device();
                set_aux(fixture, call, device);
            }),
        )
        .fails(
            "aux_state",
            "outside",
            3,
            Change::Operands(|fixture, call| {
                let outside = fixture.host().outside();
                set_aux(fixture, call, outside);
            }),
        );
}
