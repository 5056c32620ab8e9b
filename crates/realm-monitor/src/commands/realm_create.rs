//! RMI_REALM_CREATE: a realm descriptor and starting-level tables become an empty realm (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::{stage2::Level, vtcr};
use cca_abi::Outcome;
use cca_abi::rmi::HashAlgorithm;
use cca_abi::rmi::params::{RealmParams, realm_offset};
use cca_abi::rmi::realm_create::{Condition, Input, Output};

use crate::granule::{Delegated, GRANULE_SIZE, Locked, Rd, Refused, Rtt, is_aligned};
use crate::measurement::{self, RIM};
use crate::monitor::Monitor;
use crate::platform::{AccessFault, Platform, Stage2};
use crate::realm::{self, Unsupported, VmidReservation};
use crate::rec::auxiliary_granules;

const MAX_TABLES: usize = vtcr::MAX_START_TABLES as usize;

struct Plan<'m> {
    params: RealmParams,
    level: Level,
    vmid: VmidReservation<'m>,
    rd: Locked<'m, Delegated>,
    tables: [Option<Locked<'m, Delegated>>; MAX_TABLES],
}

#[inline]
pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    Ok(commit(monitor, plan))
}

fn check<'m, P: Platform>(monitor: &'m Monitor<P>, input: &Input) -> Result<Plan<'m>, Condition> {
    let platform = monitor.platform();
    if !is_aligned(input.params_ptr) {
        return Err(Condition::ParamsAlign);
    }
    if !monitor.granules().banks().contains(input.params_ptr) {
        return Err(Condition::ParamsBound);
    }
    let params =
        read_params(platform, input.params_ptr).map_err(|AccessFault| Condition::ParamsPas)?;
    let level =
        realm::check(&params, monitor.features(), platform.cpu()).map_err(|unsupported| {
            match unsupported {
                Unsupported::Reserved => Condition::ParamsValid,
                Unsupported::Feature => Condition::ParamsSupp,
                Unsupported::StartLevel => Condition::RttNumLevel,
            }
        })?;
    if !platform.cpu().vmid16 && params.vmid > 0xFF {
        return Err(Condition::VmidValid);
    }
    let vmid = monitor
        .vmids()
        .reserve(params.vmid)
        .ok_or(Condition::VmidValid)?;
    let last_table = params
        .rtt_base
        .saturating_add((u64::from(params.rtt_num_start) - 1) * GRANULE_SIZE);
    if (params.rtt_base..=last_table).contains(&input.rd) {
        return Err(Condition::Alias);
    }

    // Locks are taken in ascending order; what is wrong with `rd` is reported before what is wrong with a table.
    let tables_below = (input.rd > params.rtt_base).then(|| lock_tables(monitor, &params));
    let rd = monitor.lock::<Delegated>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    if !params
        .rtt_base
        .is_multiple_of(u64::from(params.rtt_num_start) * GRANULE_SIZE)
    {
        return Err(Condition::RttAlign);
    }
    let tables = tables_below
        .unwrap_or_else(|| lock_tables(monitor, &params))
        .map_err(|_: Refused| Condition::RttState)?;
    Ok(Plan {
        params,
        level,
        vmid,
        rd,
        tables,
    })
}

fn commit<P: Platform>(monitor: &Monitor<P>, plan: Plan<'_>) -> Output {
    let Plan {
        params,
        level,
        vmid,
        rd,
        tables,
    } = plan;
    let platform = monitor.platform();
    let cpu = platform.cpu();
    let lpa2 = params.flags & cca_abi::rmi::params::realm_flags::LPA2 != 0;
    let stage2 = Stage2 {
        vttbr: vtcr::vttbr(params.rtt_base, params.vmid, lpa2),
        vtcr: vtcr::vtcr(
            params.s2sz.into(),
            level,
            lpa2,
            cpu.pa_bits.into(),
            cpu.vmid16,
        ),
    };
    // A table of zeros is what a starting-level table has to be.
    for table in tables.into_iter().flatten() {
        table.into_use::<Rtt>();
    }
    let rd = rd.into_use::<Rd>();
    let realm = rd.realm(platform);
    let aux_count = auxiliary_granules(&params).max(platform.least_aux_granules());
    realm.initialise(&params, level, stage2, aux_count);
    let algorithm = match HashAlgorithm::decode(params.hash_algo) {
        Some(algorithm) => algorithm,
        None => unreachable!("checked: {}", params.hash_algo),
    };
    realm.set_measurement(RIM, &measurement::initial_rim(platform, algorithm, &params));
    vmid.keep();
    Output {}
}

/// Copies the parts of the parameters that have fields.
fn read_params(platform: &impl Platform, pa: u64) -> Result<RealmParams, AccessFault> {
    const PARTS: [(usize, usize); 3] = [
        (realm_offset::FLAGS, realm_offset::HASH_ALGO + 8),
        (realm_offset::RPV, realm_offset::RPV + 64),
        (realm_offset::VMID, realm_offset::RTT_NUM_START + 8),
    ];
    let mut words = [0; RealmParams::WORDS];
    for (from, to) in PARTS {
        platform.read_non_secure(pa, from, &mut words[from / 8..to / 8])?;
    }
    Ok(RealmParams::read(&words))
}

fn lock_tables<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    params: &RealmParams,
) -> Result<[Option<Locked<'m, Delegated>>; MAX_TABLES], Refused> {
    let mut tables = [const { None }; MAX_TABLES];
    let mut address = params.rtt_base;
    for table in tables.iter_mut().take(params.rtt_num_start as usize) {
        *table = Some(monitor.lock::<Delegated>(address)?);
        address = address.wrapping_add(GRANULE_SIZE);
    }
    Ok(tables)
}
