//! Calls of a realm: SMC from EL1 (RMM specification 1.0-rel0, B1; SMCCC).

use cca_abi::{psci as psci_abi, smccc};

use crate::platform::{Platform, RecContext};
use crate::rec::{Next, RunningRec};
use crate::{psci, rsi};

/// Carries out the call that the registers describe. The PC is at the SMC.
pub(crate) fn handle<P: Platform>(running: &RunningRec<'_, P>) -> Next {
    let context = running.context;
    let function = smccc::function_id(context.gpr(0));
    if let Some(next) = rsi::handle(running, function) {
        return next;
    }
    if psci_abi::is_psci(function) {
        return psci::handle(running, function);
    }
    let answer = if function == smccc::VERSION {
        smccc::VERSION_1_3
    } else {
        smccc::NOT_SUPPORTED
    };
    answer_only(context, answer)
}

/// Ends a call with one result; all other registers keep the caller's values.
pub(crate) fn answer_only(context: RecContext<'_>, x0: u64) -> Next {
    context.set_gpr(0, x0);
    context.advance_pc();
    Next::Resume
}
