//! Entering a REC.

use core::sync::atomic::{Ordering, fence};

use cca_abi::rmi::run::{ENTER, GPRS, enter_flags, enter_offset};
use cca_abi::rmi::{ReturnCode, Status, rec_enter};

use super::create::Vcpu;
use super::exit::{self, Exit};
use super::psci::{self as calls, Completion, Decision, PsciRequest};
use super::record::{self, Entry, GicExit, Timers};
use crate::client::Refusal;
use crate::error::Error;
use crate::realm::core::Core;
use crate::supply::{GranuleWords, PageSupply};
use crate::transport::SmcTransport;

/// What a REC carries from one entry to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecState {
    /// Flags that answer the last exit.
    pub(super) flags: u64,
    /// X0 for an access that the host emulated.
    pub(super) value: u64,
    /// Results of a host call, until it is certain that the realm has them.
    pub(super) host_call: Option<[u64; GPRS]>,
    /// A PSCI call that the monitor waits to hear about.
    pub(super) psci: Option<PsciRequest>,
}

/// Why a REC was not entered, or why it is not known what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnterError {
    /// The realm is off, or the host has stopped it.
    RealmOff,
    /// The host has paused the realm.
    Paused,
    /// Somebody wants whoever runs this REC to look up.
    Kicked,
    /// A PSCI call of this REC has to be completed first.
    PsciPending(PsciRequest),
    /// This vCPU is off: it has not been turned on, or it has turned itself off.
    RecOff,
    /// The monitor says that this REC cannot be entered now: it runs somewhere else, or does not
    /// accept the interrupt state. Nothing was lost.
    RecRefused(Refusal),
    /// The monitor could not read or write the run page. If the realm ran, what it did is lost.
    ExitLost(Refusal),
    /// Anything else.
    Failed(Error),
}

impl core::fmt::Display for EnterError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::RealmOff => f.write_str("the realm is off"),
            Self::Paused => f.write_str("the realm is paused"),
            Self::Kicked => f.write_str("the REC was kicked"),
            Self::RecOff => f.write_str("the vCPU is off"),
            Self::PsciPending(request) => write!(f, "PSCI call not completed: {request:?}"),
            Self::RecRefused(refusal) | Self::ExitLost(refusal) => refusal.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EnterError {}

/// An exit: why control came back, and the state of interrupts and timers, to be looked at after every exit.
#[must_use]
pub struct Left<'s, T: SmcTransport, M: PageSupply> {
    /// The interrupt controller's CPU interface.
    pub gic: GicExit,
    /// The realm's timers.
    pub timers: Timers,
    /// Whether the PMU asserts its interrupt.
    pub pmu_overflow: bool,
    /// Why, with what may be answered.
    pub exit: Exit<'s, T, M>,
}

/// The right to run a REC: nobody else can while this exists.
pub struct RecSession<'r, T: SmcTransport, M: PageSupply> {
    core: &'r Core<'r, T, M>,
    vcpu: &'r Vcpu,
    state: RecState,
}

impl<'r, T: SmcTransport, M: PageSupply> RecSession<'r, T, M> {
    pub(crate) fn take(core: &'r Core<'r, T, M>, index: usize) -> Result<Self, Error> {
        let absent = Error::Usage {
            what: "there is no REC with index",
            value: index as u64,
        };
        let vcpu = core.vcpus.get(index).ok_or(absent)?;
        let held = Error::Usage {
            what: "somebody else runs REC",
            value: index as u64,
        };
        let state = vcpu.state.lock().take().ok_or(held)?;
        Ok(Self { core, vcpu, state })
    }

    /// The index of the REC.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.vcpu.config().index
    }

    /// Enters the REC and returns when something needs the host. No lock is held meanwhile.
    ///
    /// The exit borrows the session: it has to be done with before the next entry. What was answered to the last exit goes into
    /// this entry; an entry that fails keeps it for the next.
    ///
    /// # Errors
    ///
    /// Why the REC was not entered.
    pub fn enter(&mut self, entry: &Entry) -> Result<Left<'_, T, M>, EnterError> {
        if self.core.is_off() {
            return Err(EnterError::RealmOff);
        }
        if let Some(request) = self.state.psci {
            return Err(EnterError::PsciPending(request));
        }
        let absent = Error::Usage {
            what: "there is no REC with index",
            value: self.index(),
        };
        let rec = self.vcpu.granule().ok_or(EnterError::Failed(absent))?;
        let run = self.vcpu.run().ok_or(EnterError::Failed(absent))?;
        let page = self.core.host().supply().words(run);

        let _inside = Inside::new(self.vcpu);
        // Looked at after `inside` was set: who pauses or kicks later sees that it has to interrupt.
        if self.core.is_off() {
            return Err(EnterError::RealmOff);
        }
        if self.core.is_paused() {
            return Err(EnterError::Paused);
        }
        if self.vcpu.take_kick() {
            return Err(EnterError::Kicked);
        }
        self.fill(page, entry);
        fence(Ordering::Release);
        let input = rec_enter::Input {
            rec: rec.get(),
            run_ptr: run.get(),
        };
        let answer = self.core.client().rec_enter(input);
        fence(Ordering::Acquire);
        if let Err(refused) = answer {
            return Err(self.refused(refused.refusal, rec.get()));
        }
        let record = record::read(page);
        self.state.flags = 0;
        self.state.value = 0;
        Ok(Left {
            gic: record::gic(&record),
            timers: record::timers(&record),
            pmu_overflow: record.pmu_ovf_status == 1,
            exit: exit::decode(self.core, self.vcpu, &mut self.state, &record),
        })
    }

    /// A PSCI call that has to be completed before the next entry.
    #[must_use]
    pub const fn pending_psci(&self) -> Option<PsciRequest> {
        self.state.psci
    }

    /// Completes a PSCI call whose exit was dropped without.
    ///
    /// # Errors
    ///
    /// As for [`PsciCall::complete`](super::PsciCall::complete).
    pub fn complete_psci(&mut self, decision: Decision) -> Result<Option<Completion>, Error> {
        calls::complete(self.core, self.vcpu, &mut self.state, decision)
    }

    /// Writes every field of the enter record. The rest of the page has been zero since it was taken.
    fn fill(&self, page: &GranuleWords, entry: &Entry) {
        let mut flags = self.state.flags;
        if entry.trap_wfi {
            flags |= enter_flags::TRAP_WFI;
        }
        if entry.trap_wfe {
            flags |= enter_flags::TRAP_WFE;
        }
        let mut gprs = self.state.host_call.unwrap_or_default();
        if self.state.host_call.is_none() {
            gprs[0] = self.state.value;
        }
        let put = |offset: usize, values: &[u64]| {
            for (word, &value) in page[(ENTER + offset) / 8..].iter().zip(values) {
                word.store(value, Ordering::Relaxed);
            }
        };
        put(enter_offset::FLAGS, &[flags]);
        put(enter_offset::GPRS, &gprs);
        put(enter_offset::GICV3_HCR, &[entry.host_hcr()]);
        put(enter_offset::GICV3_LRS, &entry.list_registers);
    }

    fn refused(&self, refusal: Refusal, rec: u64) -> EnterError {
        match refusal.code() {
            Some(ReturnCode {
                status: Status::ErrorRealm,
                index: 1,
            }) => {
                self.core.set_off();
                EnterError::RealmOff
            }
            Some(ReturnCode {
                status: Status::ErrorRec,
                ..
            }) if !self.vcpu.on.load(Ordering::Acquire) => EnterError::RecOff,
            Some(ReturnCode {
                status: Status::ErrorRec,
                ..
            }) => EnterError::RecRefused(refusal),
            Some(ReturnCode {
                status: Status::ErrorInput,
                ..
            }) => EnterError::ExitLost(refusal),
            _ => EnterError::Failed(Error::refused(refusal, rec)),
        }
    }
}

/// While a REC is in the monitor.
struct Inside<'r>(&'r Vcpu);

impl<'r> Inside<'r> {
    fn new(vcpu: &'r Vcpu) -> Self {
        vcpu.inside.store(true, Ordering::SeqCst);
        Self(vcpu)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.store(false, Ordering::SeqCst);
    }
}

impl<T: SmcTransport, M: PageSupply> Drop for RecSession<'_, T, M> {
    fn drop(&mut self) {
        *self.vcpu.state.lock() = Some(core::mem::take(&mut self.state));
    }
}
