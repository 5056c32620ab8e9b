//! RMI_REC_CREATE, RMI_REC_DESTROY, the conditions of RMI_REC_ENTER, and RMI_PSCI_COMPLETE.

use cca_abi::mpidr;
use cca_abi::psci::code;
use cca_abi::rmi::params::RecParams;
use cca_abi::rmi::run::{GICV3_HCR_ENTER_MASK, LIST_REGISTERS, RecEnter, enter_flags};
use cca_abi::rmi::{psci_complete, rec_create, rec_destroy, rec_enter};

use crate::execution::Retired;
use crate::judgement::{Code, Judgement};
use crate::measurement;
use crate::state::{Granule, Model, PsciRequest, Read, RealmState, Rec};

pub(super) fn judge_create(model: &Model, input: &rec_create::Input, read: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(&["rd_bound", "rd_state"], &["realm_state", "num_recs"]);
    let names = ["rec_align", "rec_bound", "rec_state"];
    model.judge_granule(&mut judgement, names, input.rec, Some(Granule::Delegated));
    let realm = model.judge_rd(&mut judgement, input.rd);
    if let Some(realm) = realm {
        judgement.when(
            "realm_state",
            Code::Realm(0),
            realm.state != RealmState::New,
        );
        let most = model.features().max_recs() as usize;
        judgement.when(
            "num_recs",
            Code::Realm(0),
            model.recs_of(input.rd).count() >= most,
        );
    }
    let names = ["params_align", "params_bound", "params_pas"];
    if !model.judge_structure(&mut judgement, names, input.params_ptr) {
        return judgement;
    }
    let params = RecParams::read(&read(input.params_ptr)[..]);
    if let Some(realm) = realm {
        let other = params.mpidr & !mpidr::REC_MPIDR_MASK != 0
            || mpidr::index_from_rec_mpidr(params.mpidr) != realm.rec_index;
        judgement.when("mpidr_index", Code::Input, other);
        let count = realm.aux_count.expect("the driver has learnt the number");
        judgement.when("num_aux", Code::Input, params.num_aux != count);
    }
    let aux = &params.aux[..params.num_aux.min(16) as usize];
    judgement.when(
        "aux_align",
        Code::Input,
        aux.iter().any(|pa| !pa.is_multiple_of(0x1000)),
    );
    let alias = |n: usize| aux[n] == input.rec || aux[..n].contains(&aux[n]);
    judgement.when("aux_alias", Code::Input, (0..aux.len()).any(alias));
    let wrong = |pa: &u64| !model.delegable(*pa) || model.granule(*pa) != Some(Granule::Delegated);
    judgement.when("aux_state", Code::Input, aux.iter().any(wrong));
    judgement
}

pub(super) fn create(model: &mut Model, input: &rec_create::Input, read: Read<'_>) -> [u64; 4] {
    let params = RecParams::read(&read(input.params_ptr)[..]);
    let aux = params.aux[..params.num_aux as usize].to_vec();
    model.set(input.rec, Granule::Rec);
    for pa in &aux {
        model.set(*pa, Granule::RecAux);
    }
    let realm = model.realm_mut(input.rd);
    let index = realm.rec_index;
    realm.rec_index += 1;
    let runnable = params.flags & 1 != 0;
    if runnable {
        realm.rim = measurement::rec(realm.hash_algo, &realm.rim, &params);
    }
    let rec = Rec {
        owner: input.rd,
        index,
        aux,
        runnable,
        psci: None,
        ripas: None,
        emulatable: false,
        unprotected_abort: false,
        code: params.pc & !0xFFF,
        in_flight: None,
        completion: None,
    };
    model.recs.insert(input.rec, rec);
    [0; 4]
}

/// No REC is RUNNING while anything else happens: the model has one processor.
pub(super) fn judge_destroy(model: &Model, input: &rec_destroy::Input, _: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let names = ["rec_align", "rec_bound", "rec_gran_state"];
    model.judge_granule(&mut judgement, names, input.rec, Some(Granule::Rec));
    judgement
}

pub(super) fn destroy(model: &mut Model, input: &rec_destroy::Input, _: Read<'_>) -> [u64; 4] {
    if let Some(rec) = model.recs.remove(&input.rec) {
        model.set(input.rec, Granule::Delegated);
        for pa in rec.aux {
            model.set(pa, Granule::Delegated);
        }
    }
    [0; 4]
}

/// Whether the host may ask for this interrupt state. Of list registers only what makes them invalid on any GIC is
/// looked at.
fn gic_is_valid(enter: &RecEnter, registers: usize) -> bool {
    let hardware = |list: &u64| list >> 62 != 0 && list >> 61 & 1 == 1;
    enter.gicv3_hcr & !GICV3_HCR_ENTER_MASK == 0
        && !enter.gicv3_lrs[..registers.min(LIST_REGISTERS)]
            .iter()
            .any(hardware)
}

pub(super) fn judge_enter(model: &Model, input: &rec_enter::Input, read: Read<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    judgement.precedence(
        &[
            "run_align",
            "run_bound",
            "run_pas",
            "rec_align",
            "rec_bound",
            "rec_gran_state",
        ],
        &[
            "realm_new",
            "system_off",
            "rec_runnable",
            "rec_psci",
            "rec_gicv3",
            "rec_mmio",
        ],
    );
    // Not the specification's, but what hosts depend on: they want to know first that a realm is off.
    judgement.precedence(
        &["realm_new", "system_off"],
        &["rec_runnable", "rec_psci", "rec_gicv3", "rec_mmio"],
    );
    let names = ["run_align", "run_bound", "run_pas"];
    let readable = model.judge_structure(&mut judgement, names, input.run_ptr);
    let names = ["rec_align", "rec_bound", "rec_gran_state"];
    if !model.judge_granule(&mut judgement, names, input.rec, Some(Granule::Rec)) {
        return judgement;
    }
    let rec = &model.recs[&input.rec];
    let state = model.realms[&rec.owner].state;
    judgement.when("realm_new", Code::Realm(0), state == RealmState::New);
    judgement.when("system_off", Code::Realm(1), state == RealmState::SystemOff);
    judgement.when("rec_runnable", Code::Rec, !rec.runnable);
    judgement.when("rec_psci", Code::Rec, rec.psci.is_some());
    if readable {
        let enter = RecEnter::read(&read(input.run_ptr)[..]);
        let registers = usize::from(model.features().gicv3_num_lrs) + 1;
        judgement.when("rec_gicv3", Code::Rec, !gic_is_valid(&enter, registers));
        let emulated =
            enter.flags & enter_flags::EMUL_MMIO != 0 && enter.flags & enter_flags::INJECT_SEA == 0;
        judgement.when("rec_mmio", Code::Rec, emulated && !rec.emulatable);
    }
    judgement
}

pub(super) fn judge_complete(
    model: &Model,
    input: &psci_complete::Input,
    _: Read<'_>,
) -> Judgement {
    let mut judgement = Judgement::default();
    let (calling, target) = (input.calling_rec, input.target_rec);
    judgement.when("alias", Code::Input, calling == target);
    let names = ["calling_align", "calling_bound", "calling_state"];
    let caller = model.judge_granule(&mut judgement, names, calling, Some(Granule::Rec));
    let names = ["target_align", "target_bound", "target_state"];
    let called = model.judge_granule(&mut judgement, names, target, Some(Granule::Rec));
    if !(caller && called) {
        return judgement;
    }
    let (caller, called) = (&model.recs[&calling], &model.recs[&target]);
    judgement.when("pending", Code::Input, caller.psci.is_none());
    judgement.when("owner", Code::Input, caller.owner != called.owner);
    let named = match caller.psci {
        Some(PsciRequest::On { index, .. } | PsciRequest::Affinity { index }) => Some(index),
        None => None,
    };
    judgement.when("target", Code::Input, named != Some(called.index));
    let denied = input.status == code::DENIED
        && matches!(caller.psci, Some(PsciRequest::On { .. }))
        && !called.runnable;
    judgement.when(
        "status",
        Code::Input,
        input.status != code::SUCCESS && !denied,
    );
    judgement
}

pub(super) fn complete(model: &mut Model, input: &psci_complete::Input, _: Read<'_>) -> [u64; 4] {
    let runnable = model.recs[&input.target_rec].runnable;
    let result = match model.rec_mut(input.calling_rec).psci.take() {
        Some(PsciRequest::Affinity { .. }) if runnable => code::SUCCESS,
        Some(PsciRequest::Affinity { .. }) => code::OFF,
        Some(PsciRequest::On { .. }) if runnable => code::ALREADY_ON,
        Some(PsciRequest::On { entry, .. }) if input.status == code::SUCCESS => {
            let target = model.rec_mut(input.target_rec);
            target.runnable = true;
            target.code = entry & !0xFFF;
            target.in_flight = None;
            target.completion = None;
            code::SUCCESS
        }
        Some(PsciRequest::On { .. }) => code::DENIED,
        None => unreachable!("judged: pending"),
    };
    model.rec_mut(input.calling_rec).completion =
        Some(Retired::Call([result.cast_unsigned(), 0, 0, 0]));
    [0; 4]
}
