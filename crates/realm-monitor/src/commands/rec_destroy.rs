//! RMI_REC_DESTROY: takes a processor away from its realm, whatever it was waiting for.

use cca_abi::Outcome;
use cca_abi::rmi::rec_destroy::{Condition, Input, Output};

use crate::granule::{Locked, Rec, RecAux};
use crate::monitor::Monitor;
use crate::platform::{Platform, RecContext};
use crate::rec::layout;

pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let rec = check(monitor, input)?;
    commit(monitor, rec);
    Ok(Output {})
}

fn check<'m, P: Platform>(
    monitor: &'m Monitor<P>,
    input: &Input,
) -> Result<Locked<'m, Rec>, Condition> {
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
    Ok(rec)
}

fn commit<P: Platform>(monitor: &Monitor<P>, rec: Locked<'_, Rec>) {
    let platform = monitor.platform();
    let context = RecContext(rec.words(platform));
    let owner = context.get(layout::OWNER);
    for n in 0..context.get(layout::AUX_COUNT) as usize {
        drop(
            monitor
                .lock_owned::<RecAux>(context.get(layout::AUX + n))
                .into_delegated(platform),
        );
    }
    monitor.places().forget(rec.address());
    drop(rec.into_delegated(platform));
    // From here on the realm may be destroyed.
    monitor.granules().subtract(platform, owner, 1);
}
