//! The signature of a platform token, which an interrupt suspends: a job, on a stack of its own.

use super::handler::SCR_INTERRUPTS;
use crate::common::barrier::isb;
use crate::common::job::{Stack, job_switch};
use crate::{read_sysreg, write_sysreg};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use root_monitor::attestation::{Signed, Signing};

/// Bytes of the stack and its alignment. The lowest page is not mapped.
const STACK: usize = 32 * 1024;

job_switch!(
    el3_job_start,
    el3_job_resume,
    el3_job_interrupted,
    "el3",
    STACK
);

#[repr(C, align(32768))]
struct Memory(UnsafeCell<MaybeUninit<[u8; STACK]>>);

// SAFETY: reached through `STACK_MEMORY` by `Stack` only, for one PE at a time (see `start` and `resume`).
unsafe impl Sync for Memory {}

/// In memory that the entry code does not clear, like the stacks of PEs.
#[unsafe(link_section = ".pes")]
static STACK_MEMORY: Memory = Memory(UnsafeCell::new(MaybeUninit::uninit()));

const _: () = assert!(align_of::<Memory>() == STACK && size_of::<Memory>() == STACK);

/// The page below which the stack must not grow.
pub(super) fn guard() -> u64 {
    STACK_MEMORY.0.get() as u64
}

fn stack() -> Stack {
    Stack {
        top: STACK_MEMORY.0.get() as usize + STACK,
        switch: SWITCH,
    }
}

/// Runs `job` while interrupts of all worlds are taken to EL3. They stay pending: whoever they are for takes them when it runs.
pub(super) fn with_interrupts<R>(job: impl FnOnce() -> R) -> R {
    let scr = read_sysreg!("scr_el3");
    // SAFETY: interrupts are masked at EL3 but in the job, and the vectors know what to do then.
    unsafe { write_sysreg!("scr_el3", scr | SCR_INTERRUPTS) };
    isb();
    let result = job();
    // SAFETY: the value the world had.
    unsafe { write_sysreg!("scr_el3", scr) };
    isb();
    result
}

/// Begins a signature: what it gives, or `None` if it is suspended.
pub(super) fn start(signing: Signing) -> Option<Signed> {
    // SAFETY: the root monitor lets one PE at a time sign, and nobody else uses the stack.
    with_interrupts(|| unsafe { stack().start(signing, Signing::sign) })
}

/// Goes on with the signature that is suspended.
pub(super) fn resume() -> Option<Signed> {
    // SAFETY: as in `start`; the root monitor resumes what it began and what is suspended.
    with_interrupts(|| unsafe { stack().resume::<Signing, _>() })
}
