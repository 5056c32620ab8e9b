//! RMI_RTT_INIT_RIPAS and RMI_RTT_SET_RIPAS.

use cca_abi::rmi::{Ripas, rtt_init_ripas, rtt_set_ripas};

use crate::judgement::{Code, Judgement};
use crate::measurement;
use crate::state::{Granule, Model, Read, RealmState, RipasRequest};
use crate::tables::{Entry, Table, entry_size, is_level_aligned};

/// How many entries one RMI_RTT_INIT_RIPAS takes is the monitor's choice, from one on: this is what ours chooses.
const MEASURED_AT_A_TIME: u64 = 12;

/// Entries may be anything but UNASSIGNED after the first one in the specification's words; the reading here is
/// that none of those is changed.
fn initialisable(entry: &Entry) -> bool {
    matches!(entry, Entry::Unassigned(_))
}

pub(super) fn judge_init(model: &Model, input: &rtt_init_ripas::Input, _: Read<'_>) -> Judgement {
    const INSIDE: &[&str] = &["realm_state", "base_align", "rtte_state", "no_progress"];
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], INSIDE);
    judgement.precedence(&["top_gran_align"], &["no_progress"]);
    judgement.when("size_valid", Code::Input, input.top <= input.base);
    judgement.when(
        "top_gran_align",
        Code::Input,
        !input.top.is_multiple_of(0x1000),
    );
    let Some(realm) = model.judge_rd(&mut judgement, input.rd) else {
        return judgement;
    };
    let last = input.top.wrapping_sub(0x1000);
    judgement.when("top_bound", Code::Input, !realm.is_protected(last));
    judgement.when(
        "realm_state",
        Code::Realm(0),
        realm.state != RealmState::New,
    );
    if realm.is_inside(input.base) {
        let table = realm.walk(input.base, 3);
        let code = Code::Rtt(table.level);
        judgement.when(
            "base_align",
            code,
            !is_level_aligned(input.base, table.level),
        );
        let end = table.skip_while(input.base, input.top, initialisable);
        judgement.when("rtte_state", code, !initialisable(table.entry(input.base)));
        judgement.when("no_progress", code, end <= input.base);
    }
    judgement
}

pub(super) fn init(model: &mut Model, input: &rtt_init_ripas::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let table = realm.walk_mut(input.base, 3);
    let size = entry_size(table.level);
    let top = input
        .top
        .min(input.base.saturating_add(MEASURED_AT_A_TIME * size));
    let end = table.skip_while(input.base, top, initialisable);
    for n in table.index(input.base).. {
        if n == table.entries.len() || table.ipa(n) >= end {
            break;
        }
        table.entries[n] = Entry::Unassigned(Ripas::Ram);
    }
    let (algorithm, mut rim) = (realm.hash_algo, realm.rim);
    for base in (input.base..end).step_by(size as usize) {
        rim = measurement::ripas(algorithm, &rim, base, base + size);
    }
    realm.rim = rim;
    [end, 0, 0, 0]
}

fn changed_end(table: &Table, base: u64, top: u64, request: &RipasRequest) -> u64 {
    table.skip_while(base, top, |entry| {
        !matches!(entry, Entry::Table(_))
            && (request.change_destroyed || entry.ripas() != Some(Ripas::Destroyed))
    })
}

pub(super) fn judge_set(model: &Model, input: &rtt_set_ripas::Input, _: Read<'_>) -> Judgement {
    const INSIDE: &[&str] = &["base_align", "no_progress"];
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], INSIDE);
    judgement.precedence(
        &["rec_bound", "rec_gran_state"],
        &["rec_state", "rec_owner"],
    );
    judgement.precedence(&["base_bound"], &["base_align"]);
    judgement.precedence(&["top_gran_align"], &["no_progress"]);
    judgement.when("size_valid", Code::Input, input.top <= input.base);
    judgement.when(
        "top_gran_align",
        Code::Input,
        !input.top.is_multiple_of(0x1000),
    );
    let realm = model.judge_rd(&mut judgement, input.rd);
    let names = ["rec_align", "rec_bound", "rec_gran_state"];
    if !model.judge_granule(&mut judgement, names, input.rec, Some(Granule::Rec)) {
        return judgement;
    }
    let rec = &model.recs[&input.rec];
    judgement.when(
        "rec_owner",
        Code::Rec,
        realm.is_some() && rec.owner != input.rd,
    );
    let (address, top) = rec
        .ripas
        .map_or((0, 0), |request| (request.address, request.top));
    judgement.when("base_bound", Code::Input, input.base != address);
    judgement.when("top_bound", Code::Input, input.top > top);
    let Some(request) = rec.ripas else {
        return judgement;
    };
    if let Some(realm) = realm
        && realm.is_inside(input.base)
    {
        let table = realm.walk(input.base, 3);
        let code = Code::Rtt(table.level);
        let as_wanted = table.entry(input.base).ripas() == Some(request.ripas);
        judgement.when(
            "base_align",
            code,
            !is_level_aligned(input.base, table.level) && !as_wanted,
        );
        // Success without progress would have a host call for ever.
        let end = changed_end(table, input.base, input.top, &request);
        judgement.when("no_progress", code, end <= input.base);
    }
    judgement
}

pub(super) fn set(model: &mut Model, input: &rtt_set_ripas::Input, _: Read<'_>) -> [u64; 4] {
    let request = model.recs[&input.rec].ripas.expect("judged: a request");
    let table = model.realm_mut(input.rd).walk_mut(input.base, 3);
    let end = changed_end(table, input.base, input.top, &request);
    for n in table.index(input.base)..table.entries.len() {
        if table.ipa(n) >= end {
            break;
        }
        match &mut table.entries[n] {
            Entry::Unassigned(ripas) | Entry::Assigned { ripas, .. } => *ripas = request.ripas,
            other => unreachable!("a request of RIPAS reaches {other:?}"),
        }
    }
    model.rec_mut(input.rec).ripas = Some(RipasRequest {
        address: end,
        ..request
    });
    [end, 0, 0, 0]
}
