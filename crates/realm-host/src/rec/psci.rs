//! PSCI calls that a REC makes and the host has to hear about.

use core::sync::atomic::Ordering;

use cca_abi::mpidr;
use cca_abi::psci::{Function, code};
use cca_abi::rmi::{Status, psci_complete};

use super::create::Vcpu;
use super::session::RecState;
use crate::error::{About, Error};
use crate::realm::core::Core;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;

/// A PSCI call of a REC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciRequest {
    /// Turn on the vCPU with that REC index. Has to be completed.
    CpuOn {
        /// The REC index that the MPIDR in the call stands for.
        target: u64,
    },
    /// Say whether the vCPU with that REC index is on; the monitor knows. Has to be completed.
    AffinityInfo {
        /// The REC index that the MPIDR in the call stands for.
        target: u64,
    },
    /// The vCPU waits for an interrupt.
    CpuSuspend,
    /// The vCPU is off.
    CpuOff,
    /// The realm is off.
    SystemOff,
    /// The realm is off and would like to be started again, which takes a new realm.
    SystemReset,
    /// A function that no monitor of this revision passes on.
    Unknown {
        /// Its identifier.
        function: u32,
    },
}

impl PsciRequest {
    pub(super) fn decode(gprs: &[u64; 31]) -> Self {
        let function = gprs[0] as u32;
        let target = mpidr::index_from_architectural(gprs[1]);
        match Function::from_function_id(function) {
            Some(Function::CpuOn) => Self::CpuOn { target },
            Some(Function::AffinityInfo) => Self::AffinityInfo { target },
            Some(Function::CpuSuspend) => Self::CpuSuspend,
            Some(Function::CpuOff) => Self::CpuOff,
            Some(Function::SystemOff) => Self::SystemOff,
            Some(Function::SystemReset) => Self::SystemReset,
            _ => Self::Unknown { function },
        }
    }

    /// The vCPU that the call is about, if it has to be completed.
    #[must_use]
    pub const fn target(&self) -> Option<u64> {
        match self {
            Self::CpuOn { target } | Self::AffinityInfo { target } => Some(*target),
            _ => None,
        }
    }
}

/// What the host says to a call that has to be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go ahead.
    Accept,
    /// Do not turn it on. Only for `CPU_ON`; a target that is on already makes it moot.
    Deny,
}

/// What became of a call that was completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The REC index of the target.
    pub target: u64,
    /// Whether the host has to see to it that the target is entered: the call was CPU_ON, it was not denied, and the realm is not
    /// off. The target may have been on before, in which case the realm hears ALREADY_ON and the host may find the target
    /// scheduled already. `false` says nothing about a target that runs.
    pub may_run: bool,
}

/// The exit for a PSCI call.
#[must_use]
pub struct PsciCall<'s, T: SmcTransport, M: PageSupply> {
    pub(super) core: &'s Core<'s, T, M>,
    pub(super) vcpu: &'s Vcpu,
    pub(super) state: &'s mut RecState,
    pub(super) request: PsciRequest,
}

impl<T: SmcTransport, M: PageSupply> PsciCall<'_, T, M> {
    /// The call.
    #[must_use]
    pub const fn request(&self) -> PsciRequest {
        self.request
    }

    /// Completes the call, if it is one that has to be. Without it the REC cannot be entered again; it can be made up for
    /// with [`RecSession::complete_psci`](super::RecSession::complete_psci).
    ///
    /// # Errors
    ///
    /// [`Error::PsciTarget`] if the target has no REC any more, or the monitor's refusal. The call is still pending then: this REC
    /// cannot be entered, all others can. A refusal is no error once the realm is off, because nobody waits for the answer.
    pub fn complete(self, decision: Decision) -> Result<Option<Completion>, Error> {
        complete(self.core, self.vcpu, self.state, decision)
    }
}

pub(super) fn complete<T: SmcTransport, M: PageSupply>(
    core: &Core<'_, T, M>,
    vcpu: &Vcpu,
    state: &mut RecState,
    decision: Decision,
) -> Result<Option<Completion>, Error> {
    let Some((request, target)) = state
        .psci
        .and_then(|request| Some((request, request.target()?)))
    else {
        return Ok(None);
    };
    let absent = |index| Error::Usage {
        what: "there is no REC with index",
        value: index,
    };
    let calling_rec = vcpu.granule().ok_or(absent(vcpu.config().index))?.get();
    let place = usize::try_from(target)
        .ok()
        .and_then(|target| core.vcpus.get(target));
    let gone = Error::PsciTarget { target };
    let target_rec = place.and_then(Vcpu::granule).ok_or(gone)?.get();
    let deny = decision == Decision::Deny && matches!(request, PsciRequest::CpuOn { .. });

    let call = |status| {
        core.client().psci_complete(psci_complete::Input {
            calling_rec,
            target_rec,
            status,
        })
    };
    let mut answer = call(if deny { code::DENIED } else { code::SUCCESS });
    let mut denied = deny;
    if let Err(refused) = answer
        && deny
        && refused.refusal.is(Status::ErrorInput)
    {
        // The target is on already: then the monitor wants to hear SUCCESS and tells the realm ALREADY_ON. A monitor
        // that has completed the call all the same finds nothing pending, which is as good.
        denied = false;
        answer = call(code::SUCCESS);
        if let Err(refused) = answer
            && refused.refusal.is(Status::ErrorInput)
        {
            answer = Ok(psci_complete::Output::default());
        }
    }
    // Another vCPU may have switched the realm off meanwhile.
    let off = core.is_off();
    match answer {
        Err(_) if off => {}
        // All that is left for the monitor to object to: what it is given is pending, and names the target by its own REC.
        Err(refused) if refused.refusal.is(Status::ErrorInput) => return Err(gone),
        answer => drop(answer.about(target_rec)?),
    }
    state.psci = None;
    let may_run = matches!(request, PsciRequest::CpuOn { .. }) && !denied && !off;
    if let Some(target) = place.filter(|_| may_run) {
        target.on.store(true, Ordering::Release);
    }
    Ok(Some(Completion { target, may_run }))
}
