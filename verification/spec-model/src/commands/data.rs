//! RMI_DATA_CREATE, RMI_DATA_CREATE_UNKNOWN and RMI_DATA_DESTROY.

use cca_abi::rmi::{Ripas, data_create, data_create_unknown, data_destroy};

use crate::judgement::{Code, Judgement};
use crate::measurement;
use crate::state::{Granule, Model, Read, RealmState};
use crate::tables::Entry;

const DATA_ROWS: [&str; 3] = ["data_align", "data_bound", "data_state"];

/// The rows that both ways to create data have; says whether `rd` is a realm in state NEW.
fn judge_target(
    model: &Model,
    judgement: &mut Judgement,
    rd: u64,
    data: u64,
    ipa: u64,
) -> Option<RealmState> {
    judgement.precedence(&["rd_bound", "rd_state"], &["rtt_walk", "rtte_state"]);
    judgement.precedence(&["ipa_bound"], &["rtt_walk", "rtte_state"]);
    model.judge_granule(judgement, DATA_ROWS, data, Some(Granule::Delegated));
    judgement.when("ipa_align", Code::Input, !ipa.is_multiple_of(0x1000));
    let realm = model.judge_rd(judgement, rd)?;
    judgement.when("data_bound2", Code::Input, realm.is_too_high(data));
    if !judgement.when("ipa_bound", Code::Input, !realm.is_protected(ipa)) {
        let table = realm.walk(ipa, 3);
        let code = Code::Rtt(table.level);
        if !judgement.when("rtt_walk", code, table.level < 3) {
            let unassigned = matches!(table.entry(ipa), Entry::Unassigned(_));
            judgement.when("rtte_state", code, !unassigned);
        }
    }
    Some(realm.state)
}

pub(super) fn judge_create(model: &Model, input: &data_create::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], &["realm_state"]);
    judgement.when("flags", Code::Input, input.flags & !1 != 0);
    model.judge_structure(
        &mut judgement,
        ["src_align", "src_bound", "src_pas"],
        input.src,
    );
    let state = judge_target(model, &mut judgement, input.rd, input.data, input.ipa);
    judgement.when(
        "realm_state",
        Code::Realm(0),
        state.is_some_and(|state| state != RealmState::New),
    );
    judgement
}

pub(super) fn create(model: &mut Model, input: &data_create::Input, read: Read<'_>) -> [u64; 4] {
    let content = (input.flags & 1 != 0).then(|| read(input.src));
    model.set(input.data, Granule::Data);
    let realm = model.realm_mut(input.rd);
    let table = realm.walk_mut(input.ipa, 3);
    let index = table.index(input.ipa);
    table.entries[index] = Entry::Assigned {
        pa: input.data,
        ripas: Ripas::Ram,
    };
    realm.rim = measurement::data(
        realm.hash_algo,
        &realm.rim,
        input.ipa,
        input.flags,
        content.as_deref(),
    );
    [0; 4]
}

pub(super) fn judge_create_unknown(
    model: &Model,
    input: &data_create_unknown::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    judge_target(model, &mut judgement, input.rd, input.data, input.ipa);
    judgement
}

pub(super) fn create_unknown(
    model: &mut Model,
    input: &data_create_unknown::Input,
    _: Read<'_>,
) -> [u64; 4] {
    model.set(input.data, Granule::Data);
    let table = model.realm_mut(input.rd).walk_mut(input.ipa, 3);
    let index = table.index(input.ipa);
    if let Entry::Unassigned(ripas) = table.entries[index] {
        table.entries[index] = Entry::Assigned {
            pa: input.data,
            ripas,
        };
    }
    [0; 4]
}

pub(super) fn judge_destroy(model: &Model, input: &data_destroy::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], &["rtt_walk", "rtte_state"]);
    judgement.precedence(&["ipa_bound"], &["rtt_walk", "rtte_state"]);
    judgement.when("ipa_align", Code::Input, !input.ipa.is_multiple_of(0x1000));
    let Some(realm) = model.judge_rd(&mut judgement, input.rd) else {
        return judgement;
    };
    if !judgement.when("ipa_bound", Code::Input, !realm.is_protected(input.ipa)) {
        let table = realm.walk(input.ipa, 3);
        let code = Code::Rtt(table.level);
        let results = [0, table.skip_live(input.ipa), 0, 0];
        if !judgement.when_with("rtt_walk", code, table.level < 3, results) {
            let assigned = matches!(table.entry(input.ipa), Entry::Assigned { .. });
            judgement.when_with("rtte_state", code, !assigned, results);
        }
    }
    judgement
}

pub(super) fn destroy(model: &mut Model, input: &data_destroy::Input, _: Read<'_>) -> [u64; 4] {
    let table = model.realm_mut(input.rd).walk_mut(input.ipa, 3);
    let index = table.index(input.ipa);
    let Entry::Assigned { pa, ripas } = table.entries[index] else {
        unreachable!("judged: assigned")
    };
    let ripas = if ripas == Ripas::Ram {
        Ripas::Destroyed
    } else {
        ripas
    };
    table.entries[index] = Entry::Unassigned(ripas);
    let top = table.skip_live(input.ipa);
    model.set(pa, Granule::Delegated);
    [pa, top, 0, 0]
}
