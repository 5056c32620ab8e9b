//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, data_create, data_create_unknown, data_destroy};
use cca_abi::smccc::Registers;

use super::{IPA, Of};
use crate::Fixture;
use crate::case::{Case, Change};
use crate::realm::{IPA_BITS, UNPROTECTED};

fn create_call(fixture: &mut Fixture<'_>, rd: u64, ipa: u64) -> Registers {
    let data = fixture.delegated();
    let src = fixture.non_secure_with(&[1, 2, 3]);
    data_create::Input {
        rd,
        data,
        ipa,
        src,
        flags: 1,
    }
    .encode()
}

fn create_unknown_call(fixture: &mut Fixture<'_>, rd: u64, ipa: u64) -> Registers {
    let data = fixture.delegated();
    data_create_unknown::Input { rd, data, ipa }.encode()
}

pub(super) fn cases(cases: &mut Vec<Case>) {
    create(cases);
    create_unknown(cases);
    destroy(cases);
}

fn create(cases: &mut Vec<Case>) {
    let mut of = Of::new(cases, Command::DataCreate, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        create_call(fixture, realm.rd, IPA)
    });
    of.succeeds("measured")
        .fails("flags", "reserved bit", 5, Change::Flip(2))
        .non_secure(4, ["src_align", "src_bound", "src_pas"])
        .delegated(2, ["data_align", "data_bound", "data_state"])
        .realm_descriptor(1)
        .fails("data_bound2", "2^48", 2, Change::Value(1 << 48))
        .fails("ipa_align", "", 3, Change::Unaligned)
        .fails("ipa_bound", "unprotected", 3, Change::Value(UNPROTECTED))
        .fails("ipa_bound", "outside", 3, Change::Value(1 << IPA_BITS))
        .fails_after("realm_state", "active", |fixture| {
            let (realm, _) = fixture.active_realm();
            fixture.tables(realm.rd, IPA);
            create_call(fixture, realm.rd, IPA)
        });
    of.succeeds_with("unmeasured", |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        let mut call = create_call(fixture, realm.rd, IPA);
        call.0[5] = 0;
        call
    });
    of.fails_at(
        "rtt_walk",
        "no table of level 3",
        3,
        Change::Value(IPA + (1 << 21)),
        2,
    )
    .fails_at(
        "rtt_walk",
        "no table of level 2",
        3,
        Change::Value(IPA + (1 << 30)),
        1,
    )
    .fails_after_at(
        "rtte_state",
        "assigned",
        |fixture| {
            let realm = fixture.realm();
            fixture.data(realm.rd, IPA);
            create_call(fixture, realm.rd, IPA)
        },
        3,
    );
    of.fails_after("ipa_bound", "unprotected and not mapped", |fixture| {
        let realm = fixture.realm();
        create_call(fixture, realm.rd, UNPROTECTED)
    });
}

fn create_unknown(cases: &mut Vec<Case>) {
    Of::new(cases, Command::DataCreateUnknown, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        create_unknown_call(fixture, realm.rd, IPA)
    })
    .succeeds("new")
    .succeeds_with("active", |fixture| {
        let (realm, _) = fixture.active_realm();
        fixture.tables(realm.rd, IPA);
        create_unknown_call(fixture, realm.rd, IPA)
    })
    .delegated(2, ["data_align", "data_bound", "data_state"])
    .realm_descriptor(1)
    .fails("data_bound2", "2^48", 2, Change::Value(1 << 48))
    .fails("ipa_align", "", 3, Change::Unaligned)
    .fails("ipa_bound", "unprotected", 3, Change::Value(UNPROTECTED))
    .fails("ipa_bound", "outside", 3, Change::Value(1 << IPA_BITS))
    .fails_at(
        "rtt_walk",
        "no table of level 3",
        3,
        Change::Value(IPA + (1 << 21)),
        2,
    )
    .fails_at(
        "rtt_walk",
        "no table of level 2",
        3,
        Change::Value(IPA + (1 << 30)),
        1,
    )
    .fails_after_at(
        "rtte_state",
        "assigned",
        |fixture| {
            let realm = fixture.realm();
            fixture.data(realm.rd, IPA);
            create_unknown_call(fixture, realm.rd, IPA)
        },
        3,
    );
}

fn destroy(cases: &mut Vec<Case>) {
    let mut of = Of::new(cases, Command::DataDestroy, |fixture| {
        let realm = fixture.realm();
        fixture.data(realm.rd, IPA);
        data_destroy::Input {
            rd: realm.rd,
            ipa: IPA,
        }
        .encode()
    });
    of.succeeds("new")
        .succeeds_with("active", |fixture| {
            let (realm, _) = fixture.active_realm();
            fixture.data(realm.rd, IPA);
            data_destroy::Input {
                rd: realm.rd,
                ipa: IPA,
            }
            .encode()
        })
        .realm_descriptor(1)
        .fails("ipa_align", "", 2, Change::Unaligned)
        .fails("ipa_bound", "unprotected", 2, Change::Value(UNPROTECTED))
        .fails("ipa_bound", "outside", 2, Change::Value(1 << IPA_BITS))
        .fails_at(
            "rtt_walk",
            "no table of level 3",
            2,
            Change::Value(IPA + (1 << 21)),
            2,
        )
        .fails_at(
            "rtt_walk",
            "no table of level 2",
            2,
            Change::Value(IPA + (1 << 30)),
            1,
        )
        .fails_at("rtte_state", "unassigned", 2, Change::Value(IPA + 4096), 3);
}
