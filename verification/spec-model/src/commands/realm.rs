//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE, RMI_REALM_DESTROY and RMI_REC_AUX_COUNT.

use cca_abi::rmi::params::RealmParams;
use cca_abi::rmi::{realm_activate, realm_create, realm_destroy, rec_aux_count};

use crate::judgement::{Code, Judgement};
use crate::measurement;
use crate::state::{Granule, Model, Read, Realm, RealmState};
use crate::tables::{Table, entry_size};

/// Number of starting-level tables for a combination of width and level; `None` if there is no such combination.
fn starting_tables(s2sz: u32, level: i64, lpa2: bool) -> Option<u32> {
    if level == -1 {
        return (lpa2 && (49..=52).contains(&s2sz)).then_some(1);
    }
    if !(0..=3).contains(&level) {
        return None;
    }
    // What one table at this level and everything below it resolves, and the least that makes sense: below it, the
    // level would describe less than two entries.
    let resolved = 12 + 9 * (4 - level as u32);
    let least = resolved - 8;
    let beyond = s2sz.saturating_sub(resolved);
    let too_wide = level == 0 && !lpa2 && s2sz > 48;
    (s2sz >= least && beyond <= 4 && !too_wide).then_some(1 << beyond)
}

pub(super) fn judge_create(
    model: &Model,
    input: &realm_create::Input,
    read: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    model.judge_granule(
        &mut judgement,
        ["rd_align", "rd_bound", "rd_state"],
        input.rd,
        Some(Granule::Delegated),
    );
    let names = ["params_align", "params_bound", "params_pas"];
    if !model.judge_structure(&mut judgement, names, input.params_ptr) {
        return judgement;
    }
    let params = RealmParams::read(&read(input.params_ptr)[..]);
    judgement.when(
        "params_valid",
        Code::Input,
        params.hash_algo > 1 || params.num_bps == 0 || params.num_wps == 0,
    );
    let features = model.features();
    let width: u32 = params.s2sz.into();
    let (lpa2, sve, pmu) = (
        params.flags & 1 != 0,
        params.flags & 2 != 0,
        params.flags & 4 != 0,
    );
    let exceeds = |wanted: u8, most: Option<u8>| most.is_none_or(|most| wanted > most);
    let unsupported = params.hash_algo == 0 && !features.hash_sha_256
        || params.hash_algo == 1 && !features.hash_sha_512
        || lpa2 && !features.lpa2
        || width > features.s2sz.into()
        || width > if lpa2 { 52 } else { 48 }
        || sve && exceeds(params.sve_vl, features.sve_vl)
        || params.num_bps > features.num_bps
        || params.num_wps > features.num_wps
        || pmu && exceeds(params.pmu_num_ctrs, features.pmu_num_ctrs);
    judgement.when("params_supp", Code::Input, unsupported);
    let tables = starting_tables(width, params.rtt_level_start, lpa2);
    judgement.when(
        "rtt_num_level",
        Code::Input,
        tables != Some(params.rtt_num_start),
    );
    judgement.refusable_if(width < 32 || pmu && params.pmu_num_ctrs == 0);
    let taken = model.realms.values().any(|realm| realm.vmid == params.vmid);
    judgement.when(
        "vmid_valid",
        Code::Input,
        taken || u32::from(params.vmid) >> model.platform.vmid_bits != 0,
    );
    let granules = u128::from(params.rtt_num_start);
    let base = u128::from(params.rtt_base);
    let rd = u128::from(input.rd);
    judgement.when(
        "alias",
        Code::Input,
        granules > 0 && base <= rd && rd <= base + (granules - 1) * 0x1000,
    );
    judgement.when(
        "rtt_align",
        Code::Input,
        granules > 0 && base % (granules * 0x1000) != 0,
    );
    // No legal number is above 16, and each of those is looked at.
    let wrong_state = (0..u64::from(params.rtt_num_start.min(16))).any(|n| {
        let pa = params.rtt_base.wrapping_add(n * 0x1000);
        !model.delegable(pa) || model.granule(pa) != Some(Granule::Delegated)
    });
    judgement.when("rtt_state", Code::Input, wrong_state);
    judgement
}

pub(super) fn create(model: &mut Model, input: &realm_create::Input, read: Read<'_>) -> [u64; 4] {
    let params = RealmParams::read(&read(input.params_ptr)[..]);
    let level = params.rtt_level_start;
    let ipa_bits: u32 = params.s2sz.into();
    let tables: Vec<_> = (0..u64::from(params.rtt_num_start))
        .map(|n| {
            let pa = params.rtt_base + n * 0x1000;
            Table::starting(pa, level, n * 512 * entry_size(level), 1 << (ipa_bits - 1))
        })
        .collect();
    model.set(input.rd, Granule::Rd);
    for table in &tables {
        model.set(table.pa, Granule::Rtt);
    }
    let realm = Realm {
        state: RealmState::New,
        ipa_bits,
        lpa2: params.flags & 1 != 0,
        hash_algo: params.hash_algo,
        vmid: params.vmid,
        start_level: level,
        tables,
        rim: measurement::initial(&params),
        rec_index: 0,
        aux_count: None,
    };
    model.realms.insert(input.rd, realm);
    [0; 4]
}

pub(super) fn judge_activate(
    model: &Model,
    input: &realm_activate::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], &["realm_state"]);
    if let Some(realm) = model.judge_rd(&mut judgement, input.rd) {
        judgement.when(
            "realm_state",
            Code::Realm(0),
            realm.state != RealmState::New,
        );
    }
    judgement
}

pub(super) fn activate(model: &mut Model, input: &realm_activate::Input, _: Read<'_>) -> [u64; 4] {
    model.realm_mut(input.rd).state = RealmState::Active;
    [0; 4]
}

pub(super) fn judge_destroy(model: &Model, input: &realm_destroy::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], &["realm_live"]);
    if let Some(realm) = model.judge_rd(&mut judgement, input.rd) {
        let live =
            model.recs_of(input.rd).next().is_some() || realm.tables.iter().any(Table::is_live);
        judgement.when("realm_live", Code::Realm(0), live);
    }
    judgement
}

pub(super) fn destroy(model: &mut Model, input: &realm_destroy::Input, _: Read<'_>) -> [u64; 4] {
    if let Some(realm) = model.realms.remove(&input.rd) {
        model.set(input.rd, Granule::Delegated);
        for table in realm.tables {
            model.set(table.pa, Granule::Delegated);
        }
    }
    [0; 4]
}

pub(super) fn judge_aux_count(
    model: &Model,
    input: &rec_aux_count::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    model.judge_rd(&mut judgement, input.rd);
    judgement
}

/// The monitor chooses the number, once for each realm: whoever drives the model puts it into the realm before.
pub(super) fn aux_count(model: &mut Model, input: &rec_aux_count::Input, _: Read<'_>) -> [u64; 4] {
    let realm = model.realm_mut(input.rd);
    let count = realm.aux_count.expect("the driver has learnt the number");
    [count, 0, 0, 0]
}
