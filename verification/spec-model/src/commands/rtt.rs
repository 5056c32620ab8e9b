//! RMI_RTT_CREATE, RMI_RTT_DESTROY, RMI_RTT_FOLD and RMI_RTT_READ_ENTRY.

use cca_abi::rmi::{Ripas, rtt_create, rtt_destroy, rtt_fold, rtt_read_entry};

use crate::commands::unprotected;
use crate::judgement::{Code, Judgement};
use crate::state::{Granule, Model, Read, Realm};
use crate::tables::{Entry, Table, is_level_aligned};

const WALK: &[&str] = &["rtt_walk", "rtte_state"];

/// The rows of a command about the table at `level` for `ipa`. Gives the table above it, unless an address is out
/// of bounds.
fn judge_place<'m>(
    judgement: &mut Judgement,
    realm: Option<&'m Realm>,
    ipa: u64,
    level: i64,
) -> Option<&'m Table> {
    let realm = realm?;
    let below = realm.level_below_start(level);
    judgement.when("level_bound", Code::Input, !below);
    let aligned = level
        .checked_sub(1)
        .is_some_and(|parent| is_level_aligned(ipa, parent));
    judgement.when("ipa_align", Code::Input, !aligned);
    let outside = judgement.when("ipa_bound", Code::Input, !realm.is_inside(ipa));
    (below && !outside).then(|| realm.walk(ipa, level - 1))
}

pub(super) fn judge_create(model: &Model, input: &rtt_create::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], WALK);
    judgement.precedence(&["level_bound", "ipa_bound"], WALK);
    let names = ["rtt_align", "rtt_bound", "rtt_state"];
    model.judge_granule(&mut judgement, names, input.rtt, Some(Granule::Delegated));
    let realm = model.judge_rd(&mut judgement, input.rd);
    judgement.when(
        "rtt_bound2",
        Code::Input,
        realm.is_some_and(|realm| realm.is_too_high(input.rtt)),
    );
    if let Some(table) = judge_place(&mut judgement, realm, input.ipa, input.level) {
        let code = Code::Rtt(table.level);
        if !judgement.when("rtt_walk", code, table.level < input.level - 1) {
            let exists = matches!(table.entry(input.ipa), Entry::Table(_));
            judgement.when("rtte_state", code, exists);
        }
    }
    judgement
}

pub(super) fn create(model: &mut Model, input: &rtt_create::Input, _: Read<'_>) -> [u64; 4] {
    model.set(input.rtt, Granule::Rtt);
    let parent = model
        .realm_mut(input.rd)
        .walk_mut(input.ipa, input.level - 1);
    let index = parent.index(input.ipa);
    let table = Table::unfolded(input.rtt, input.level, input.ipa, &parent.entries[index]);
    parent.entries[index] = Entry::Table(Box::new(table));
    [0; 4]
}

pub(super) fn judge_destroy(model: &Model, input: &rtt_destroy::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(
        &["rd_bound", "rd_state"],
        &["rtt_walk", "rtte_state", "rtt_live"],
    );
    judgement.precedence(&["level_bound", "ipa_bound"], WALK);
    let realm = model.judge_rd(&mut judgement, input.rd);
    if let Some(table) = judge_place(&mut judgement, realm, input.ipa, input.level) {
        let code = Code::Rtt(table.level);
        let results = [0, table.skip_live(input.ipa), 0, 0];
        if !judgement.when_with("rtt_walk", code, table.level < input.level - 1, results) {
            match table.entry(input.ipa) {
                Entry::Table(target) => {
                    let results = [0, input.ipa, 0, 0];
                    let code = Code::Rtt(input.level);
                    judgement.when_with("rtt_live", code, target.is_live(), results);
                }
                _ => {
                    judgement.when_with("rtte_state", code, true, results);
                }
            }
        }
    }
    judgement
}

pub(super) fn destroy(model: &mut Model, input: &rtt_destroy::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let gone = if realm.is_protected(input.ipa) {
        Entry::Unassigned(Ripas::Destroyed)
    } else {
        Entry::UnassignedNs
    };
    let (rtt, parent) = replace(realm, input.ipa, input.level, |_| gone);
    let top = parent.skip_live(input.ipa);
    model.set(rtt, Granule::Delegated);
    [rtt, top, 0, 0]
}

/// Puts what `by` makes of a table in its place: the table's granule, and the table above.
fn replace(
    realm: &mut Realm,
    ipa: u64,
    level: i64,
    by: impl FnOnce(&Table) -> Entry,
) -> (u64, &Table) {
    let parent = realm.walk_mut(ipa, level - 1);
    let index = parent.index(ipa);
    let Entry::Table(table) = &parent.entries[index] else {
        unreachable!("judged: a table")
    };
    let pa = table.pa;
    parent.entries[index] = by(table);
    (pa, parent)
}

pub(super) fn judge_fold(model: &Model, input: &rtt_fold::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(
        &["rd_bound", "rd_state"],
        &["rtt_walk", "rtte_state", "rtt_homo"],
    );
    judgement.precedence(&["level_bound", "ipa_bound"], WALK);
    let realm = model.judge_rd(&mut judgement, input.rd);
    if let Some(table) = judge_place(&mut judgement, realm, input.ipa, input.level) {
        let code = Code::Rtt(table.level);
        if !judgement.when("rtt_walk", code, table.level < input.level - 1) {
            match table.entry(input.ipa) {
                Entry::Table(target) => {
                    let code = Code::Rtt(input.level);
                    judgement.when("rtt_homo", code, target.folded().is_none());
                }
                _ => {
                    judgement.when("rtte_state", code, true);
                }
            }
        }
    }
    judgement
}

pub(super) fn fold(model: &mut Model, input: &rtt_fold::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let (rtt, _) = replace(realm, input.ipa, input.level, |table| {
        table.folded().expect("judged: homogeneous")
    });
    model.set(rtt, Granule::Delegated);
    [rtt, 0, 0, 0]
}

pub(super) fn judge_read(model: &Model, input: &rtt_read_entry::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    if let Some(realm) = model.judge_rd(&mut judgement, input.rd) {
        judgement.when("level_bound", Code::Input, !realm.level_ok(input.level));
        judgement.when(
            "ipa_align",
            Code::Input,
            !is_level_aligned(input.ipa, input.level),
        );
        judgement.when("ipa_bound", Code::Input, !realm.is_inside(input.ipa));
    }
    judgement
}

pub(super) fn read(model: &mut Model, input: &rtt_read_entry::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let table = realm.walk(input.ipa, input.level);
    let (state, desc, ripas) = match table.entry(input.ipa) {
        Entry::Unassigned(ripas) => (0, 0, *ripas),
        Entry::Assigned { pa, ripas } => (1, unprotected::address_bits(*pa, realm.lpa2), *ripas),
        Entry::Table(next) => (
            2,
            unprotected::address_bits(next.pa, realm.lpa2),
            Ripas::Empty,
        ),
        Entry::UnassignedNs => (0, 0, Ripas::Empty),
        Entry::AssignedNs { pa, attributes } => (
            1,
            unprotected::address_bits(*pa, realm.lpa2) | attributes,
            Ripas::Empty,
        ),
    };
    [table.level.cast_unsigned(), state, desc, ripas as u64]
}
