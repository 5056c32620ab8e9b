//! PSCI for realms (RMM specification 1.0-rel0, B6): who of a realm's processors runs.
//!
//! The monitor answers what it can answer alone. It keeps no map from MPIDRs to RECs, so a call that names another
//! processor goes to the host, which answers with RMI_PSCI_COMPLETE; and the host learns of every call after which it
//! has to schedule differently.

mod cpu;
mod system;

use cca_abi::psci::{self, Function, code};
use cca_abi::smccc;

use crate::platform::Platform;
use crate::rec::{Exit, Next, RunningRec};
use crate::smc;

/// Carries out a call whose function identifier lies in PSCI's range.
pub(crate) fn handle<P: Platform>(running: &RunningRec<'_, P>, function: u32) -> Next {
    let call = Call::of(running, function);
    match Function::from_function_id(function).filter(|function| function.is_for_realms()) {
        Some(Function::Version) => answer(running, psci::VERSION_1_1.cast_signed()),
        Some(Function::Features) => features(running, &call),
        Some(Function::CpuSuspend) => cpu::suspend(running, &call),
        Some(Function::CpuOff) => cpu::off(running, &call),
        Some(Function::CpuOn) => cpu::on(running, &call),
        Some(Function::AffinityInfo) => cpu::affinity_info(running, &call),
        Some(Function::SystemOff | Function::SystemReset) => system::off(running, &call),
        Some(Function::MigrateInfoType) | None => {
            smc::answer_only(running.context, smccc::NOT_SUPPORTED)
        }
    }
}

/// A call: the function as it was called, and three arguments, 32 bits wide in the SMC32 form.
struct Call {
    function: u32,
    arguments: [u64; 3],
}

impl Call {
    fn of<P: Platform>(running: &RunningRec<'_, P>, function: u32) -> Self {
        let mask = if psci::is_smc32(function) {
            u32::MAX.into()
        } else {
            u64::MAX
        };
        Self {
            function,
            arguments: core::array::from_fn(|n| running.context.gpr(1 + n) & mask),
        }
    }

    /// The exit that tells the host of this call and of the processor that it names, but of nothing else.
    fn exit(&self, target: u64) -> Next {
        Next::Exit(Exit::Psci {
            function: self.function.into(),
            target,
        })
    }
}

/// Ends a call with a return code.
fn answer<P: Platform>(running: &RunningRec<'_, P>, code: i64) -> Next {
    for n in 1..=3 {
        running.context.set_gpr(n, 0);
    }
    smc::answer_only(running.context, code.cast_unsigned())
}

fn features<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    let asked = call.arguments[0] as u32;
    let known = asked == smccc::VERSION
        || Function::from_function_id(asked).is_some_and(Function::is_for_realms);
    answer(
        running,
        if known {
            code::SUCCESS
        } else {
            code::NOT_SUPPORTED
        },
    )
}
