//! The EL1 timers of a realm: when their outputs change the host has to know, and while an output that the
//! host knows of is asserted the hardware interrupt is masked (RMM specification 1.0-rel0, A6.2).

use super::layout;
use crate::platform::{ProcessingElement, RecContext};

/// Output of the virtual timer, in what [`outputs`] returns.
const VIRTUAL: u64 = 1 << 0;
/// Output of the physical timer, in what [`outputs`] returns.
const PHYSICAL: u64 = 1 << 1;

const ENABLE: u64 = 1 << 0;
const IMASK: u64 = 1 << 1;
const ISTATUS: u64 = 1 << 2;

/// CNTHCTL_EL2 without timer masks: the realm uses counters and timers without traps.
const CNTHCTL_BASE: u64 = 1 << 10 | 1 << 11;
const CNTVMASK: u64 = 1 << 18;
const CNTPMASK: u64 = 1 << 19;

/// Brings the status bits of both timers up to date and returns the asserted outputs.
pub(super) fn outputs(rec: RecContext<'_>, pe: &impl ProcessingElement) -> u64 {
    let one = |ctl: usize, cval: usize, output| {
        let control = rec.get(ctl);
        if control & ENABLE == 0 {
            return 0;
        }
        // Offsets are zero: the counter of the realm is the physical counter.
        let fired = pe.counter() >= rec.get(cval);
        rec.set(
            ctl,
            if fired {
                control | ISTATUS
            } else {
                control & !ISTATUS
            },
        );
        if fired && control & IMASK == 0 {
            output
        } else {
            0
        }
    };
    one(layout::CNTV_CTL, layout::CNTV_CVAL, VIRTUAL)
        | one(layout::CNTP_CTL, layout::CNTP_CVAL, PHYSICAL)
}

/// CNTHCTL_EL2 for a run with these outputs asserted.
pub(super) const fn control(outputs: u64) -> u64 {
    CNTHCTL_BASE
        | if outputs & VIRTUAL != 0 { CNTVMASK } else { 0 }
        | if outputs & PHYSICAL != 0 { CNTPMASK } else { 0 }
}
