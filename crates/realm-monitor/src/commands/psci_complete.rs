//! RMI_PSCI_COMPLETE: the host says which REC a PSCI call of a realm named, and what it thinks of the call.

use cca_abi::psci::{Function, code, is_smc32};
use cca_abi::rmi::psci_complete::{Condition, Input, Output};
use cca_abi::{Outcome, mpidr, smccc};

use crate::granule::{Locked, Rec};
use crate::monitor::Monitor;
use crate::platform::{Platform, RecContext};
use crate::rec::layout::SysReg;
use crate::rec::{self, layout};

/// What is going to happen.
struct Plan<'m> {
    calling: Locked<'m, Rec>,
    target: Locked<'m, Rec>,
    /// X0 of the calling REC.
    answer: i64,
    /// Whether the target starts, and with which entry point and context identifier.
    start: Option<(u64, u64)>,
}

pub(super) fn handle<P: Platform>(
    monitor: &Monitor<P>,
    input: &Input,
) -> Outcome<Output, Condition> {
    let plan = check(monitor, input)?;
    commit(monitor.platform(), plan);
    Ok(Output {})
}

fn check<'m, P: Platform>(monitor: &'m Monitor<P>, input: &Input) -> Result<Plan<'m>, Condition> {
    if input.calling_rec == input.target_rec {
        return Err(Condition::Alias);
    }
    let (calling, target) = monitor.lock_pair::<Rec, Rec>(input.calling_rec, input.target_rec);
    let calling = calling.map_err(|refused| {
        refused.condition(
            Condition::CallingAlign,
            Condition::CallingBound,
            Condition::CallingState,
        )
    })?;
    let target = target.map_err(|refused| {
        refused.condition(
            Condition::TargetAlign,
            Condition::TargetBound,
            Condition::TargetState,
        )
    })?;
    if calling.count() != 0 {
        return Err(Condition::Running);
    }
    let platform = monitor.platform();
    let caller = RecContext(platform.granule(calling.address()));
    let called = RecContext(platform.granule(target.address()));
    if caller.get(layout::PSCI_PENDING) == 0 {
        return Err(Condition::Pending);
    }
    if caller.get(layout::OWNER) != called.get(layout::OWNER) {
        return Err(Condition::Owner);
    }

    // The registers are as they were at the call.
    let function = smccc::function_id(caller.gpr(0));
    let mask = if is_smc32(function) {
        u32::MAX.into()
    } else {
        u64::MAX
    };
    let [named, entry_point, context_id] = [1, 2, 3].map(|n| caller.gpr(n) & mask);
    if mpidr::index_from_architectural(named)
        != mpidr::index_from_rec_mpidr(called.get(layout::MPIDR))
    {
        return Err(Condition::Target);
    }

    // A REC that turned itself off but has not come back to its host yet still counts as on.
    let on = target.count() != 0 || called.get(layout::RUNNABLE) != 0;
    let turn_on = Function::from_function_id(function) == Some(Function::CpuOn);
    let (answer, start) = match (turn_on, input.status, on) {
        (true, code::SUCCESS, true) => (code::ALREADY_ON, None),
        (true, code::SUCCESS, false) => (code::SUCCESS, Some((entry_point, context_id))),
        (true, code::DENIED, false) => (code::DENIED, None),
        (false, code::SUCCESS, true) => (code::SUCCESS, None),
        (false, code::SUCCESS, false) => (code::OFF, None),
        _ => return Err(Condition::Status),
    };
    Ok(Plan {
        calling,
        target,
        answer,
        start,
    })
}

fn commit<P: Platform>(platform: &P, plan: Plan<'_>) {
    let caller = RecContext(platform.granule(plan.calling.address()));
    if let Some((entry_point, context_id)) = plan.start {
        let called = RecContext(platform.granule(plan.target.address()));
        rec::power_on(
            called,
            entry_point,
            context_id,
            caller.sysreg(SysReg::SctlrEl1),
        );
    }
    caller.set_gpr(0, plan.answer.cast_unsigned());
    for n in 1..=3 {
        caller.set_gpr(n, 0);
    }
    caller.set(layout::PSCI_PENDING, 0);
}
