//! RMI_REC_AUX_COUNT, RMI_REC_CREATE, RMI_REC_DESTROY and RMI_REC_ENTER.

use alloc::vec::Vec;

use cca_abi::rmi::feature_register::FeatureRegister0;
use cca_abi::rmi::params::rec_offset;
use cca_abi::rmi::run::{enter_flags, enter_offset};
use cca_abi::rmi::{Command, features, rec_aux_count, rec_destroy, rec_enter};

use super::Of;
use crate::case::{Case, Change};
use crate::realm::Realm;

const MPIDR: usize = rec_offset::MPIDR / 8;
const NUM_AUX: usize = rec_offset::NUM_AUX / 8;

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RecAuxCount, |fixture| {
        rec_aux_count::Input {
            rd: fixture.realm().rd,
        }
        .encode()
    })
    .succeeds("")
    .realm_descriptor(1);

    create(cases);

    Of::new(cases, Command::RecDestroy, |fixture| {
        let realm = fixture.realm();
        rec_destroy::Input {
            rec: fixture.rec(realm.rd, 0, true),
        }
        .encode()
    })
    .succeeds("new")
    .succeeds_with("active", |fixture| {
        rec_destroy::Input {
            rec: fixture.active_realm().1,
        }
        .encode()
    })
    .rec(1, ["rec_align", "rec_bound", "rec_gran_state"]);

    enter(cases);
}

fn create(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RecCreate, |fixture| {
        let realm = fixture.realm();
        Realm::rec_create(fixture, realm.rd, 0, true)
    })
    .succeeds("runnable")
    .succeeds_with("not runnable", |fixture| {
        let realm = fixture.realm();
        Realm::rec_create(fixture, realm.rd, 0, false)
    })
    .succeeds_with("index 16", |fixture| {
        let realm = fixture.realm();
        for index in 0..16 {
            fixture.rec(realm.rd, index, false);
        }
        Realm::rec_create(fixture, realm.rd, 16, false)
    })
    .non_secure(3, ["params_align", "params_bound", "params_pas"])
    .delegated(2, ["rec_align", "rec_bound", "rec_state"])
    .realm_descriptor(1)
    .fails_after("realm_state", "active", |fixture| {
        let (realm, _) = fixture.active_realm();
        Realm::rec_create(fixture, realm.rd, 1, false)
    })
    .fails("mpidr_index", "gap", 3, Change::Word(MPIDR, 1))
    .fails(
        "mpidr_index",
        "affinity 3",
        3,
        Change::Word(MPIDR, 0x100_0000),
    )
    .fails(
        "mpidr_index",
        "reserved bit 4",
        3,
        Change::Word(MPIDR, 0x10),
    )
    .fails(
        "mpidr_index",
        "reserved bit 32",
        3,
        Change::Word(MPIDR, 1 << 32),
    )
    .fails_after("mpidr_index", "again", |fixture| {
        let realm = fixture.realm();
        fixture.rec(realm.rd, 0, false);
        Realm::rec_create(fixture, realm.rd, 0, false)
    })
    .fails_after("mpidr_index", "of a destroyed REC", |fixture| {
        let realm = fixture.realm();
        let rec = fixture.rec(realm.rd, 0, false);
        fixture.call(Command::RecDestroy, rec_destroy::Input { rec }.encode());
        Realm::rec_create(fixture, realm.rd, 0, false)
    })
    .fails(
        "num_aux",
        "one too many",
        3,
        Change::Operands(|fixture, call| {
            let host = fixture.host();
            let count = host.read(call.0[3], NUM_AUX);
            host.write(call.0[3], NUM_AUX, count + 1);
            if count < 16 {
                let aux = fixture.delegated();
                host.write(call.0[3], rec_offset::AUX / 8 + count as usize, aux);
            }
        }),
    )
    .fails_after("num_recs", "2^MAX_RECS_ORDER - 1", |fixture| {
        let realm = fixture.realm();
        let features = fixture
            .call(Command::Features, features::Input { index: 0 }.encode())
            .0[1];
        let most = u64::from(FeatureRegister0::decode(features).max_recs());
        for index in 0..most {
            fixture.rec(realm.rd, index, false);
        }
        Realm::rec_create(fixture, realm.rd, most, false)
    })
    .fails("num_aux", "17", 3, Change::Word(NUM_AUX, 17))
    .fails("num_aux", "2^64 - 1", 3, Change::Word(NUM_AUX, u64::MAX));
}

/// The call that enters the REC of an active realm.
fn valid_enter(fixture: &mut crate::Fixture<'_>) -> cca_abi::smccc::Registers {
    let (_, rec) = fixture.active_realm();
    rec_enter::Input {
        rec,
        run_ptr: fixture.non_secure_with(&[]),
    }
    .encode()
}

fn enter(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RecEnter, valid_enter)
        .succeeds("")
        .non_secure(2, ["run_align", "run_bound", "run_pas"])
        .rec(1, ["rec_align", "rec_bound", "rec_gran_state"])
        .fails_after("realm_new", "", |fixture| {
            let realm = fixture.realm();
            let rec = fixture.rec(realm.rd, 0, true);
            rec_enter::Input {
                rec,
                run_ptr: fixture.non_secure_with(&[]),
            }
            .encode()
        })
        .fails_after("rec_runnable", "", |fixture| {
            let realm = fixture.realm();
            let rec = fixture.rec(realm.rd, 0, false);
            fixture.call(
                Command::RealmActivate,
                cca_abi::rmi::realm_activate::Input { rd: realm.rd }.encode(),
            );
            rec_enter::Input {
                rec,
                run_ptr: fixture.non_secure_with(&[]),
            }
            .encode()
        })
        .fails(
            "rec_gicv3",
            "HCR.En",
            2,
            Change::Word(enter_offset::GICV3_HCR / 8, 1),
        )
        .fails(
            "rec_gicv3",
            "HCR.TC",
            2,
            Change::Word(enter_offset::GICV3_HCR / 8, 1 << 10),
        )
        .fails(
            "rec_gicv3",
            "HCR.EOIcount",
            2,
            Change::Word(enter_offset::GICV3_HCR / 8, 1 << 27),
        )
        .fails(
            "rec_gicv3",
            "LR.HW",
            2,
            Change::Word(enter_offset::GICV3_LRS / 8, 1 << 62 | 1 << 61 | 27),
        )
        .fails(
            "rec_gicv3",
            "LR.pINTID",
            2,
            Change::Word(enter_offset::GICV3_LRS / 8, 1 << 62 | 1 << 32 | 27),
        )
        .fails(
            "rec_gicv3",
            "LR.vINTID 1020",
            2,
            Change::Word(enter_offset::GICV3_LRS / 8, 1 << 62 | 1020),
        )
        .fails(
            "rec_mmio",
            "",
            2,
            Change::Word(enter_offset::FLAGS / 8, enter_flags::EMUL_MMIO),
        );
}
