//! Signatures, which an interrupt suspends: a job each, on a stack of its own.

use crate::common::assembly::symbol;
use crate::common::job::{Stack, job_switch};
use crate::rmm::entry::STACK;
use crate::rmm::{MAX_PES, STACKS};
use realm_monitor::attestation::{Signature, Signing};
job_switch!(
    rmm_job_start,
    rmm_job_resume,
    rmm_job_interrupted,
    "el2",
    STACK
);

/// The stack of a place.
fn stack(place: usize) -> Stack {
    let number = MAX_PES + place;
    assert!(number < STACKS, "there is no place {place}");
    Stack {
        top: symbol!(rmm_stacks) as usize + (number + 1) * STACK,
        switch: SWITCH,
    }
}

/// Begins a signature in a place: the signature, or `None` if it is suspended.
pub(super) fn start(place: usize, signing: Signing) -> Option<Signature> {
    // SAFETY: the monitor gives a place to one PE at a time, and the places' stacks to nobody else. Interrupts are masked, and are
    // taken to R-EL2 whether a realm is loaded or not (HCR_EL2.TGE, else IMO and FMO).
    unsafe { stack(place).start(signing, Signing::sign) }
}

/// Goes on with the signature that is suspended in a place.
pub(super) fn resume(place: usize) -> Option<Signature> {
    // SAFETY: as in `start`; the monitor resumes what it began and what is suspended.
    unsafe { stack(place).resume::<Signing, _>() }
}
