//! RMI_REC_ENTER: runs a processor of a realm until the host is needed.

use cca_abi::Outcome;
use cca_abi::rmi::rec_enter::{Condition, Input, Output};
use cca_abi::rmi::run::{EXIT, EXIT_WORDS};

use crate::granule::{GranuleState, Locked, Rec, is_aligned};
use crate::monitor::Monitor;
use crate::platform::{AccessFault, Platform, ProcessingElement, RecContext};
use crate::realm::{Realm, RealmState};
use crate::rec::{Enter, RunningRec, layout};

pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    pe: &mut impl ProcessingElement,
    input: &Input,
) -> Outcome<Output, Condition> {
    // Both records stay where they are: copies of them would be a large part of what an entry costs.
    let mut enter = Enter::default();
    let rec = check(monitor, input, &mut enter)?;
    let mut record = [0; EXIT_WORDS];
    commit(monitor, pe, rec, &enter, &mut record);
    // If the host took the page away meanwhile it loses the record, not the REC.
    monitor
        .platform()
        .write_non_secure(input.run_ptr, EXIT, &record)
        .map_err(|AccessFault| Condition::RunWrite)?;
    Ok(Output {})
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
    enter: &mut Enter,
) -> Result<Locked<'m, Rec>, Condition> {
    if !is_aligned(input.run_ptr) {
        return Err(Condition::RunAlign);
    }
    match monitor.granule_state(input.run_ptr) {
        None => return Err(Condition::RunBound),
        Some(GranuleState::Undelegated) => {}
        Some(_) => return Err(Condition::RunPas),
    }
    let rec = monitor.lock::<Rec>(input.rec).map_err(|refused| {
        refused.condition(
            Condition::RecAlign,
            Condition::RecBound,
            Condition::RecGranState,
        )
    })?;
    if rec.count() != 0 {
        return Err(Condition::RecState);
    }
    let platform = monitor.platform();
    let context = RecContext(platform.granule(rec.address()));
    enter
        .read(platform, input.run_ptr, context)
        .map_err(|AccessFault| Condition::RunRead)?;
    match Realm::at(platform, context.get(layout::OWNER)).state() {
        RealmState::New => return Err(Condition::RealmNew),
        RealmState::SystemOff => return Err(Condition::SystemOff),
        RealmState::Active => {}
    }
    if context.get(layout::RUNNABLE) == 0 {
        return Err(Condition::RecRunnable);
    }
    if context.get(layout::PSCI_PENDING) != 0 {
        return Err(Condition::RecPsci);
    }
    if !enter.gic_is_valid(platform.cpu()) {
        return Err(Condition::RecGicv3);
    }
    if !enter.emulation_is_valid(context) {
        return Err(Condition::RecMmio);
    }
    Ok(rec)
}

/// The count makes the REC RUNNING; the lock is not held while the realm runs.
fn commit<P: Platform>(
    monitor: &Monitor<P>,
    pe: &mut impl ProcessingElement,
    rec: Locked<'_, Rec>,
    enter: &Enter,
    record: &mut [u64; EXIT_WORDS],
) {
    rec.add(1);
    let running = RunningRec::new(monitor, rec.address());
    drop(rec);
    running.run(pe, enter, record);
}
