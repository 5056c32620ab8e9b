//! RMI_REC_CREATE: a processor for a new realm.

use cca_abi::rmi::MAX_AUX_GRANULES;
use cca_abi::rmi::params::{REC_CREATE_GPRS, REC_FLAG_RUNNABLE, RecParams, rec_offset};
use cca_abi::rmi::rec_create::{Condition, Input, Output};
use cca_abi::{Outcome, mpidr};

use crate::granule::{Delegated, GranuleState, Locked, Rd, Rec, RecAux, Refused, is_aligned};
use crate::measurement;
use crate::monitor::Monitor;
use crate::platform::{AccessFault, Platform, RecContext};
use crate::realm::RealmState;
use crate::rec::{self, Creation, layout};

/// Everything that the command needs and has found to be in order.
struct Plan<'m> {
    params: RecParams,
    rec: Locked<'m, Delegated>,
    rd: Locked<'m, Rd>,
    aux: [Option<Locked<'m, Delegated>>; MAX_AUX_GRANULES],
}

pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    commit(monitor, plan);
    Ok(Output {})
}

fn check<'m, P: Platform>(monitor: &'m Monitor<P>, input: &Input) -> Result<Plan<'m>, Condition> {
    if !is_aligned(input.params_ptr) {
        return Err(Condition::ParamsAlign);
    }
    match monitor.granule_state(input.params_ptr) {
        None => return Err(Condition::ParamsBound),
        Some(GranuleState::Undelegated) => {}
        Some(_) => return Err(Condition::ParamsPas),
    }
    let params = read_params(monitor.platform(), input.params_ptr)
        .map_err(|AccessFault| Condition::ParamsPas)?;

    // More than the largest number never matches the realm's, so there is no need to look at them.
    let named = usize::try_from(params.num_aux)
        .ok()
        .and_then(|count| params.aux.get(..count))
        .unwrap_or(&[]);
    let Operands { rec, rd, aux } = Operands::lock(monitor, input, named);
    let rec = rec.map_err(|refused| {
        refused.condition(
            Condition::RecAlign,
            Condition::RecBound,
            Condition::RecState,
        )
    })?;
    let rd = rd.map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;

    let realm = rd.realm(monitor.platform());
    if realm.state() != RealmState::New {
        return Err(Condition::RealmState);
    }
    if u32::from(rd.count()) >= monitor.features().max_recs() {
        return Err(Condition::NumRecs);
    }
    if params.mpidr & !mpidr::REC_MPIDR_MASK != 0
        || mpidr::index_from_rec_mpidr(params.mpidr) != realm.rec_index()
    {
        return Err(Condition::MpidrIndex);
    }
    if params.num_aux != realm.aux_count() {
        return Err(Condition::NumAux);
    }
    if !named.iter().all(|&address| is_aligned(address)) {
        return Err(Condition::AuxAlign);
    }
    if named
        .iter()
        .enumerate()
        .any(|(n, address)| *address == input.rec || named[..n].contains(address))
    {
        return Err(Condition::AuxAlias);
    }
    if aux.iter().flatten().any(Result::is_err) {
        return Err(Condition::AuxState);
    }
    Ok(Plan {
        params,
        rec,
        rd,
        aux: aux.map(|locked| locked.and_then(Result::ok)),
    })
}

fn commit<P: Platform>(monitor: &Monitor<P>, plan: Plan<'_>) {
    let Plan {
        params,
        rec,
        rd,
        aux,
    } = plan;
    let platform = monitor.platform();
    let realm = rd.realm(platform);
    let index = realm.rec_index();
    let runnable = params.flags & REC_FLAG_RUNNABLE != 0;
    let creation = Creation {
        owner: rd.address(),
        mpidr: params.mpidr,
        vmpidr: mpidr::architectural_from_index(index),
        runnable,
        pc: params.pc,
        gprs: params.gprs,
        stage2: realm.stage2(),
        ipa_bits: realm.ipa_bits(),
        sve_vectors: realm.sve_vectors(),
        pmu_counters: realm.pmu_counters(),
        num_bps: realm.num_bps(),
        num_wps: realm.num_wps(),
    };
    let rec = rec.into_use::<Rec>();
    let context = RecContext(rec.words(platform));
    rec::initialise(context, &creation);
    let mut count = 0;
    for granule in aux.into_iter().flatten() {
        let granule = granule.into_use::<RecAux>();
        context.set(layout::AUX + count, granule.address());
        count += 1;
    }
    context.set(layout::AUX_COUNT, count as u64);
    if runnable {
        measurement::extend_rec(platform, &realm, &params);
    }
    realm.set_rec_index(index + 1);
    rd.add(1);
}

/// Reads the fields of RmiRecParams, each once, and nothing else of the granule.
fn read_params(platform: &impl Platform, params_ptr: u64) -> Result<RecParams, AccessFault> {
    let read = |offset: usize, into: &mut [u64]| platform.read_non_secure(params_ptr, offset, into);
    let mut params = RecParams::default();
    read(rec_offset::FLAGS, core::slice::from_mut(&mut params.flags))?;
    read(rec_offset::MPIDR, core::slice::from_mut(&mut params.mpidr))?;
    read(rec_offset::PC, core::slice::from_mut(&mut params.pc))?;
    read(rec_offset::GPRS, &mut params.gprs)?;
    read(
        rec_offset::NUM_AUX,
        core::slice::from_mut(&mut params.num_aux),
    )?;
    let used = usize::try_from(params.num_aux).map_or(0, |count| count.min(MAX_AUX_GRANULES));
    read(rec_offset::AUX, &mut params.aux[..used])?;
    Ok(params)
}

/// The granules that the host names, locked as far as they are what they should be.
struct Operands<'m> {
    rec: Result<Locked<'m, Delegated>, Refused>,
    rd: Result<Locked<'m, Rd>, Refused>,
    aux: [Option<Result<Locked<'m, Delegated>, Refused>>; MAX_AUX_GRANULES],
}

impl<'m> Operands<'m> {
    /// Locks all of them in ascending address order. Of operands with the same address only the first is locked: a
    /// granule has one use.
    fn lock<P: Platform>(monitor: &'m Monitor<P>, input: &Input, aux: &[u64]) -> Self {
        let mut operands = Self {
            rec: Err(Refused::WrongState),
            rd: Err(Refused::WrongState),
            aux: [const { None }; _],
        };
        if aux.is_empty() {
            (operands.rec, operands.rd) = monitor.lock_pair(input.rec, input.rd);
            return operands;
        }
        let mut order = [(0, Role::Rec); 2 + MAX_AUX_GRANULES];
        order[0] = (input.rec, Role::Rec);
        order[1] = (input.rd, Role::Rd);
        for (n, &address) in aux.iter().enumerate() {
            order[2 + n] = (address, Role::Aux(n));
        }
        let order = &mut order[..2 + aux.len()];
        order.sort_unstable();
        for i in 0..order.len() {
            let (address, role) = order[i];
            let again = i > 0 && order[i - 1].0 == address;
            match role {
                Role::Rec => operands.rec = monitor.lock(address),
                Role::Rd if again => {}
                Role::Rd => operands.rd = monitor.lock(address),
                Role::Aux(n) if again => operands.aux[n] = Some(Err(Refused::WrongState)),
                Role::Aux(n) => operands.aux[n] = Some(monitor.lock(address)),
            }
        }
        operands
    }
}

/// What an operand is meant to be; the order decides between operands with the same address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Rec,
    Rd,
    Aux(usize),
}

const _: () = assert!(REC_CREATE_GPRS == 8 && MAX_AUX_GRANULES == layout::AUX_MAX);
