//! CPU_SUSPEND, CPU_OFF, CPU_ON and AFFINITY_INFO.

use cca_abi::psci::realm::{affinity_info, cpu_on};
use cca_abi::psci::{FailureKind, code};
use cca_abi::{Condition, mpidr};

use super::{Call, answer};
use crate::platform::Platform;
use crate::rec::{Next, RunningRec, layout};

/// Any power state is a retention state in which the processor waits for an interrupt, which is the host's business.
pub(super) fn suspend<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    answer(running, code::SUCCESS);
    call.exit(0)
}

pub(super) fn off<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    running.context.set(layout::RUNNABLE, 0);
    running.context.advance_pc();
    call.exit(0)
}

pub(super) fn on<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    let [target, entry_point, _context_id] = call.arguments;
    if !running.is_protected(entry_point) {
        return refuse(running, cpu_on::Condition::Entry);
    }
    match processor(running, target) {
        Processor::None => refuse(running, cpu_on::Condition::Mpidr),
        Processor::Caller => refuse(running, cpu_on::Condition::Runnable),
        Processor::Other => ask_host(running, call),
    }
}

pub(super) fn affinity_info<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    let [target, level, _] = call.arguments;
    if level != 0 {
        return refuse(running, affinity_info::Condition::Level);
    }
    match processor(running, target) {
        Processor::None => refuse(running, affinity_info::Condition::Target),
        Processor::Caller => answer(running, code::SUCCESS),
        Processor::Other => ask_host(running, call),
    }
}

/// Whom an MPIDR names. RECs are created with consecutive indices and never again, so the number of those that were
/// created tells which exist.
enum Processor {
    None,
    Caller,
    Other,
}

fn processor<P: Platform>(running: &RunningRec<'_, P>, target: u64) -> Processor {
    let index = mpidr::index_from_architectural(target);
    if index >= running.realm().rec_index() {
        Processor::None
    } else if index == mpidr::index_from_rec_mpidr(running.context.get(layout::MPIDR)) {
        Processor::Caller
    } else {
        Processor::Other
    }
}

/// Leaves the registers of the call as they are: RMI_PSCI_COMPLETE needs them.
fn ask_host<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    running.context.set(layout::PSCI_PENDING, 1);
    running.context.advance_pc();
    call.exit(call.arguments[0] & mpidr::ARCHITECTURAL_MASK)
}

fn refuse<P: Platform>(
    running: &RunningRec<'_, P>,
    condition: impl Condition<Kind = FailureKind>,
) -> Next {
    answer(running, condition.kind().code())
}
