//! RMI_REALM_DESTROY: a realm that owns nothing any more ceases to exist (RMM specification 1.0-rel0, chapter B4).

use aarch64_formats::vtcr;
use cca_abi::Outcome;
use cca_abi::rmi::realm_destroy::{Condition, Input, Output};

use crate::granule::{GRANULE_SIZE, Locked, Rd, Rtt};
use crate::monitor::Monitor;
use crate::platform::{Platform, TlbScope};

const MAX_TABLES: usize = vtcr::MAX_START_TABLES as usize;

struct Plan<'m> {
    rd: Locked<'m, Rd>,
    tables: [Option<Locked<'m, Rtt>>; MAX_TABLES],
    vmid: u16,
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
    let rd = monitor.lock::<Rd>(input.rd).map_err(|refused| {
        refused.condition(Condition::RdAlign, Condition::RdBound, Condition::RdState)
    })?;
    if rd.count() != 0 {
        return Err(Condition::RealmLive);
    }
    let realm = rd.realm(monitor.platform());
    let (space, count) = (realm.address_space(), realm.start_tables());
    let mut tables = [const { None }; MAX_TABLES];
    for (table, i) in tables.iter_mut().zip(0..count) {
        let locked = monitor.lock_owned::<Rtt>(space.root + i * GRANULE_SIZE);
        if locked.is_in_use(monitor.platform(), space.start_level) {
            return Err(Condition::RealmLive);
        }
        *table = Some(locked);
    }
    Ok(Plan {
        rd,
        tables,
        vmid: space.vmid,
    })
}

/// The VMID may be another realm's at once, so nothing may remain cached for it: neither unprotected mappings in a
/// starting-level table nor stage 1 translations of the realm. The RECs are gone, so nothing can be cached anew.
fn commit<P: Platform>(monitor: &Monitor<P>, plan: Plan<'_>) -> Output {
    let platform = monitor.platform();
    for table in plan.tables.into_iter().flatten() {
        table.into_delegated(platform);
    }
    platform.invalidate(TlbScope::Vmid(plan.vmid));
    monitor.vmids().release(plan.vmid);
    plan.rd.into_delegated(platform);
    Output {}
}
