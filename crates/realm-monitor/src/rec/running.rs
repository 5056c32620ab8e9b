//! A REC while it runs: what entry, trap handling and calls need of it.

use super::exit::Exit;
use super::layout;
use crate::monitor::Monitor;
use crate::platform::{Platform, RecContext, Stage2};
use crate::realm::Realm;

/// What follows an event in a running REC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    /// The realm goes on.
    Resume,
    /// The host takes over.
    Exit(Exit),
    /// The realm's call, which it makes again afterwards, needs a signature.
    Sign,
}

/// What the previous exit was, as far as the next entry has to complete it; the value of
/// [`layout::LAST_EXIT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastExit {
    /// Nothing to complete.
    Other = 0,
    /// A data abort that the host can emulate.
    EmulatableAbort = 1,
    /// Another data abort at an unprotected IPA.
    UnprotectedAbort = 2,
    /// A request to change RIPAS.
    RipasChange = 3,
}

impl LastExit {
    /// What the last exit of a REC was.
    pub(crate) fn of(context: RecContext<'_>) -> Self {
        match context.get(layout::LAST_EXIT) {
            1 => Self::EmulatableAbort,
            2 => Self::UnprotectedAbort,
            3 => Self::RipasChange,
            _ => Self::Other,
        }
    }
}

/// How far the attestation token of a REC is; the value of [`layout::ATTEST_STATE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenState {
    /// There is none.
    None = 0,
    /// Challenge and measurements are there.
    Begun = 1,
    /// The signature is there too.
    Signed = 2,
}

impl TokenState {
    /// That of a REC.
    pub(crate) fn of(context: RecContext<'_>) -> Self {
        match context.get(layout::ATTEST_STATE) {
            1 => Self::Begun,
            2 => Self::Signed,
            _ => Self::None,
        }
    }

    /// Makes it that of a REC.
    pub(crate) fn put(self, context: RecContext<'_>) {
        context.set(layout::ATTEST_STATE, self as u64);
    }
}

/// A REC whose granule has a count of one, which makes it RUNNING and this its only user. Dropping it makes the REC
/// READY.
pub(crate) struct RunningRec<'m, P: Platform> {
    monitor: &'m Monitor<P>,
    address: u64,
    /// The words of the REC.
    pub(crate) context: RecContext<'m>,
}

impl<'m, P: Platform> RunningRec<'m, P> {
    /// Takes over the count that the caller added to the granule while it was locked.
    pub(crate) fn new(monitor: &'m Monitor<P>, address: u64) -> Self {
        Self {
            monitor,
            address,
            context: RecContext(monitor.platform().granule(address)),
        }
    }

    /// The monitor.
    pub(crate) fn monitor(&self) -> &'m Monitor<P> {
        self.monitor
    }

    /// The machine.
    pub(crate) fn platform(&self) -> &'m P {
        self.monitor.platform()
    }

    /// PA of the REC.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// PA of the realm descriptor.
    pub(crate) fn rd(&self) -> u64 {
        self.context.get(layout::OWNER)
    }

    /// The realm, which stays because it owns this REC.
    pub(crate) fn realm(&self) -> Realm<'m> {
        Realm::at(self.platform(), self.rd())
    }

    /// Stage 2 of the realm.
    pub(crate) fn stage2(&self) -> Stage2 {
        Stage2 {
            vttbr: self.context.get(layout::VTTBR_EL2),
            vtcr: self.context.get(layout::VTCR_EL2),
        }
    }

    /// IPA width in bits.
    pub(crate) fn ipa_bits(&self) -> u32 {
        self.context.get(layout::IPA_WIDTH) as u32
    }

    /// Whether an IPA lies in the protected half.
    pub(crate) fn is_protected(&self, ipa: u64) -> bool {
        ipa >> (self.ipa_bits() - 1) == 0
    }

    /// Whether the realm runs AArch32 code at EL0.
    pub(crate) fn is_aarch32(&self) -> bool {
        self.context.get(layout::PSTATE) & 1 << 4 != 0
    }

    /// Keeps what the next entry needs to complete this exit.
    pub(crate) fn remember(&self, exit: LastExit, esr: u64, far: u64) {
        self.context.set(layout::LAST_EXIT, exit as u64);
        self.context.set(layout::LAST_ESR, esr);
        self.context.set(layout::LAST_FAR, far);
    }
}

impl<P: Platform> Drop for RunningRec<'_, P> {
    fn drop(&mut self) {
        self.monitor
            .granules()
            .subtract(self.platform(), self.address, 1);
    }
}
