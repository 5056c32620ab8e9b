//! Exits: why a REC came back, each with exactly the answers that are legal.
//!
//! An exit that is dropped without an answer is answered in the way that changes nothing: an access is made again, a RIPAS
//! change is left incomplete, a host call returns its own arguments.

use core::sync::atomic::Ordering;

use aarch64_formats::esr::{Esr, SystemRegister, class};
use cca_abi::rmi::Ripas;
use cca_abi::rmi::run::{ExitReason, GPRS, RecExit, enter_flags};

use super::create::Vcpu;
use super::psci::{PsciCall, PsciRequest};
use super::session::RecState;
use crate::error::Error;
use crate::realm::core::Core;
use crate::realm::{Backed, Changed};
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GranuleAddress, Ipa};

/// What [`Exit::name`] says of each reason.
pub const EXIT_NAMES: [&str; 13] = [
    "irq",
    "wfi",
    "wfe",
    "sync-instruction-abort",
    "sync-data-abort",
    "mmio",
    "sync-unprotected-abort",
    "sysreg",
    "psci",
    "ripas-change",
    "host-call",
    "serror",
    "unknown",
];

/// Why a REC came back.
#[must_use]
pub enum Exit<'s, T: SmcTransport, M: PageSupply> {
    /// An interrupt for the host is pending (IRQ or FIQ), or a timer of the realm changed its output.
    Interrupt,
    /// WFI or WFE, if the entry asked for that.
    Wait(WaitExit),
    /// An access to a protected address that is not backed.
    Abort(Abort<'s, T, M>),
    /// An access to an unprotected address that the host can emulate.
    Mmio(Mmio<'s, T, M>),
    /// An access to an unprotected address that the host cannot emulate.
    UnprotectedAbort(UnprotectedAbort<'s, T, M>),
    /// An access to a system register that the host emulates.
    Register(RegisterAccess<'s>),
    /// A PSCI call.
    Psci(PsciCall<'s, T, M>),
    /// The realm wants to change what addresses are.
    RipasChange(RipasChange<'s, T, M>),
    /// The realm calls the host.
    HostCall(HostCall<'s>),
    /// An SError was taken while the realm ran.
    SError {
        /// The syndrome.
        esr: u64,
    },
    /// Nothing that the specification knows.
    Unknown {
        /// The exit reason.
        reason: u8,
        /// The syndrome.
        esr: u64,
    },
}

impl<T: SmcTransport, M: PageSupply> Exit<'_, T, M> {
    /// A short name, for counting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let [
            irq,
            wfi,
            wfe,
            instruction,
            data,
            mmio,
            unprotected,
            register,
            psci,
            ripas,
            host_call,
            serror,
            unknown,
        ] = EXIT_NAMES;
        match self {
            Self::Interrupt => irq,
            Self::Wait(wait) => match wait.kind {
                WaitKind::Interrupt => wfi,
                WaitKind::Event => wfe,
            },
            Self::Abort(abort) if abort.instruction => instruction,
            Self::Abort(_) => data,
            Self::Mmio(_) => mmio,
            Self::UnprotectedAbort(_) => unprotected,
            Self::Register(_) => register,
            Self::Psci(_) => psci,
            Self::RipasChange(_) => ripas,
            Self::HostCall(_) => host_call,
            Self::SError { .. } => serror,
            Self::Unknown { .. } => unknown,
        }
    }
}

/// Which instruction waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitKind {
    /// WFI or WFIT.
    Interrupt,
    /// WFE or WFET.
    Event,
}

/// The exit for a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitExit {
    /// Which instruction.
    pub kind: WaitKind,
    /// How long at most.
    pub limit: WaitLimit,
}

/// How long a vCPU waits at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitLimit {
    /// WFI and WFE: until something happens.
    None,
    /// WFIT and WFET: until the counter has this value.
    Until(u64),
    /// WFIT and WFET, of which the monitor does not say until when. The host lets the vCPU go on soon.
    Unknown,
}

/// The exit for an access to a protected address that is not backed.
#[must_use]
pub struct Abort<'s, T: SmcTransport, M: PageSupply> {
    core: &'s Core<'s, T, M>,
    ipa: Ipa,
    instruction: bool,
}

impl<T: SmcTransport, M: PageSupply> Abort<'_, T, M> {
    /// The granule that was touched.
    #[must_use]
    pub const fn ipa(&self) -> Ipa {
        self.ipa
    }

    /// Whether an instruction was fetched.
    #[must_use]
    pub const fn is_instruction(&self) -> bool {
        self.instruction
    }

    /// Adds memory, if RAM belongs there. The realm then makes the access again.
    ///
    /// # Errors
    ///
    /// Want of memory, or a refusal. Nothing is changed then.
    pub fn back(self) -> Result<Backed, Error> {
        self.core.back(self.ipa)
    }

    /// Adds 2 MiB, or a page if that is not possible: see [`Realm::back_block`](crate::Realm::back_block).
    ///
    /// # Errors
    ///
    /// As for [`Realm::back_block`](crate::Realm::back_block).
    pub fn back_block(self) -> Result<Backed, Error> {
        self.core.back_block(self.ipa)
    }
}

/// The exit for an access to an unprotected address that the host can emulate.
#[must_use]
pub struct Mmio<'s, T: SmcTransport, M: PageSupply> {
    core: &'s Core<'s, T, M>,
    state: &'s mut RecState,
    ipa: Ipa,
    size: u64,
    data: Option<u64>,
}

impl<T: SmcTransport, M: PageSupply> Mmio<'_, T, M> {
    /// The address of the access, in the unprotected half.
    #[must_use]
    pub const fn ipa(&self) -> Ipa {
        self.ipa
    }

    /// Bytes accessed: 1, 2, 4 or 8.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// What is written, or `None` for a read.
    #[must_use]
    pub const fn data(&self) -> Option<u64> {
        self.data
    }

    /// Done: a write was carried out, or a read returned `value`. A write ignores it.
    pub fn complete(self, value: u64) {
        self.state.flags = enter_flags::EMUL_MMIO;
        self.state.value = if self.data.is_none() { value } else { 0 };
    }

    /// There is nothing there: the realm takes a synchronous external abort.
    pub fn abort(self) {
        self.state.flags = enter_flags::INJECT_SEA;
    }

    /// Maps memory of the host's there. The realm then makes the access again.
    ///
    /// # Errors
    ///
    /// Want of memory, or a refusal. Nothing is changed then.
    pub fn share(self) -> Result<GranuleAddress, Error> {
        self.core.share(self.ipa)
    }
}

/// The exit for an access to an unprotected address that the host cannot emulate.
#[must_use]
pub struct UnprotectedAbort<'s, T: SmcTransport, M: PageSupply> {
    core: &'s Core<'s, T, M>,
    state: &'s mut RecState,
    ipa: Ipa,
}

impl<T: SmcTransport, M: PageSupply> UnprotectedAbort<'_, T, M> {
    /// The granule that was touched, in the unprotected half.
    #[must_use]
    pub const fn ipa(&self) -> Ipa {
        self.ipa
    }

    /// There is nothing there: the realm takes a synchronous external abort.
    pub fn abort(self) {
        self.state.flags = enter_flags::INJECT_SEA;
    }

    /// As for [`Mmio::share`].
    ///
    /// # Errors
    ///
    /// As for [`Mmio::share`].
    pub fn share(self) -> Result<GranuleAddress, Error> {
        self.core.share(self.ipa)
    }
}

/// The exit for an access to a system register. A write is done with when the host has acted on it.
#[must_use]
pub struct RegisterAccess<'s> {
    state: &'s mut RecState,
    register: SystemRegister,
    data: Option<u64>,
}

impl RegisterAccess<'_> {
    /// Which register.
    #[must_use]
    pub const fn register(&self) -> SystemRegister {
        self.register
    }

    /// What is written, or `None` for a read.
    #[must_use]
    pub const fn data(&self) -> Option<u64> {
        self.data
    }

    /// Done: a write was carried out, or a read returned `value`.
    pub fn complete(self, value: u64) {
        self.state.value = if self.data.is_none() { value } else { 0 };
    }
}

/// The exit for a change of RIPAS.
#[must_use]
pub struct RipasChange<'s, T: SmcTransport, M: PageSupply> {
    core: &'s Core<'s, T, M>,
    vcpu: &'s Vcpu,
    state: &'s mut RecState,
    base: u64,
    top: u64,
    value: Ripas,
}

impl<'s, T: SmcTransport, M: PageSupply> RipasChange<'s, T, M> {
    /// The first address.
    #[must_use]
    pub const fn base(&self) -> Ipa {
        Ipa::new(self.base)
    }

    /// The first address behind the range.
    #[must_use]
    pub const fn top(&self) -> Ipa {
        Ipa::new(self.top)
    }

    /// What the range is to become: EMPTY or RAM.
    #[must_use]
    pub const fn value(&self) -> Ripas {
        self.value
    }

    /// Carries the change out, as far as it goes. What cannot become RAM because it is destroyed is refused.
    ///
    /// # Errors
    ///
    /// How far it came, and why it ended. The realm is told how far, and asks again for the rest.
    pub fn apply(self) -> Result<Changed, (Ipa, Error)> {
        let top = Ipa::new(self.top);
        self.apply_until(top)
    }

    /// Carries the change out up to `top` at most, so that a host can do other things before the realm asks again for
    /// the rest.
    ///
    /// # Errors
    ///
    /// As for [`RipasChange::apply`].
    pub fn apply_until(self, top: Ipa) -> Result<Changed, (Ipa, Error)> {
        let top = top.granule().get().min(self.top);
        let value = self.value;
        self.carry_out(|core, rec, base| core.change_ripas(rec, base, top, value))
    }

    /// Carries the first piece of the change out: some hundred calls of the RMM at most, whatever the size of the range. The realm
    /// asks again for the rest, so a host that does this keeps neither its interrupts nor the realm's faults waiting for long.
    ///
    /// # Errors
    ///
    /// As for [`RipasChange::apply`].
    pub fn apply_piece(self) -> Result<Changed, (Ipa, Error)> {
        let (top, value) = (self.top, self.value);
        self.carry_out(|core, rec, base| core.change_ripas_piece(rec, base, top, value))
    }

    fn carry_out(
        self,
        change: impl FnOnce(&Core<'s, T, M>, GranuleAddress, u64) -> Result<Changed, (Ipa, Error)>,
    ) -> Result<Changed, (Ipa, Error)> {
        let absent = Error::Usage {
            what: "there is no REC with index",
            value: self.vcpu.config().index,
        };
        let rec = self.vcpu.granule().ok_or((Ipa::new(self.base), absent))?;
        let changed = change(self.core, rec, self.base)?;
        if changed.blocked {
            self.state.flags = enter_flags::RIPAS_REJECT;
        }
        Ok(changed)
    }

    /// Refuses the change. A realm cannot be kept from making addresses EMPTY: it is told that nothing was done.
    pub fn reject(self) {
        self.state.flags = enter_flags::RIPAS_REJECT;
    }
}

/// The exit for a host call.
#[must_use]
pub struct HostCall<'s> {
    state: &'s mut RecState,
    immediate: u16,
}

impl HostCall<'_> {
    /// The immediate of the call.
    #[must_use]
    pub const fn immediate(&self) -> u16 {
        self.immediate
    }

    /// The registers that the realm passes.
    #[must_use]
    pub fn gprs(&self) -> [u64; GPRS] {
        self.state.host_call.unwrap_or_default()
    }

    /// The registers that the realm gets.
    pub fn complete(self, gprs: [u64; GPRS]) {
        self.state.host_call = Some(gprs);
    }
}

/// Makes an exit of a record.
pub(super) fn decode<'s, T: SmcTransport, M: PageSupply>(
    core: &'s Core<'s, T, M>,
    vcpu: &'s Vcpu,
    state: &'s mut RecState,
    record: &RecExit,
) -> Exit<'s, T, M> {
    let reason = ExitReason::decode(record.exit_reason);
    let protected_abort = reason == Some(ExitReason::Sync)
        && Esr::from_bits(record.esr).class() == class::DATA_ABORT_LOWER
        && core.geometry().is_protected(fault_ipa(record));
    if !protected_abort {
        // The results of a host call are lost on the monitor's way to the realm only by such an abort; else the realm has them.
        state.host_call = None;
    }
    let unknown = Exit::Unknown {
        reason: record.exit_reason,
        esr: record.esr,
    };
    match reason {
        Some(ExitReason::Sync) => sync(core, state, record).unwrap_or(unknown),
        Some(ExitReason::Irq | ExitReason::Fiq) => Exit::Interrupt,
        Some(ExitReason::Psci) => {
            let request = PsciRequest::decode(&record.gprs);
            match request {
                PsciRequest::CpuOn { .. } | PsciRequest::AffinityInfo { .. } => {
                    state.psci = Some(request)
                }
                PsciRequest::SystemOff | PsciRequest::SystemReset => core.set_off(),
                PsciRequest::CpuOff => vcpu.on.store(false, Ordering::Release),
                _ => {}
            }
            Exit::Psci(PsciCall {
                core,
                vcpu,
                state,
                request,
            })
        }
        Some(ExitReason::RipasChange) => match Ripas::decode(record.ripas_value.into()) {
            Some(value @ (Ripas::Empty | Ripas::Ram)) => {
                let (base, top) = (record.ripas_base, record.ripas_top);
                Exit::RipasChange(RipasChange {
                    core,
                    vcpu,
                    state,
                    base,
                    top,
                    value,
                })
            }
            _ => unknown,
        },
        Some(ExitReason::HostCall) => {
            state.host_call = Some(record.gprs);
            Exit::HostCall(HostCall {
                state,
                immediate: record.imm,
            })
        }
        Some(ExitReason::SError) => Exit::SError { esr: record.esr },
        None => unknown,
    }
}

fn sync<'s, T: SmcTransport, M: PageSupply>(
    core: &'s Core<'s, T, M>,
    state: &'s mut RecState,
    record: &RecExit,
) -> Option<Exit<'s, T, M>> {
    let esr = Esr::from_bits(record.esr);
    let ipa = fault_ipa(record);
    let is_protected = core.geometry().is_protected(ipa);
    Some(match esr.class() {
        class::WFX => {
            let kind = if esr.bits() & 1 == 0 {
                WaitKind::Interrupt
            } else {
                WaitKind::Event
            };
            let limit = match (esr.bits() & 2 != 0, record.gprs[0]) {
                (false, _) => WaitLimit::None,
                (true, 0) => WaitLimit::Unknown,
                (true, until) => WaitLimit::Until(until),
            };
            Exit::Wait(WaitExit { kind, limit })
        }
        class::INSTRUCTION_ABORT_LOWER if is_protected => Exit::Abort(Abort {
            core,
            ipa,
            instruction: true,
        }),
        class::DATA_ABORT_LOWER if is_protected => Exit::Abort(Abort {
            core,
            ipa,
            instruction: false,
        }),
        class::DATA_ABORT_LOWER if esr.access_valid() => {
            let access = esr.access();
            Exit::Mmio(Mmio {
                core,
                state,
                ipa: Ipa::new(ipa.get() | record.far & 0xFFF),
                size: access.size,
                data: access.write.then(|| access.truncate(record.gprs[0])),
            })
        }
        class::DATA_ABORT_LOWER => Exit::UnprotectedAbort(UnprotectedAbort { core, state, ipa }),
        class::SYSREG => {
            let access = esr.system_register();
            let data = (!access.read).then_some(record.gprs[0]);
            Exit::Register(RegisterAccess {
                state,
                register: access.register,
                data,
            })
        }
        _ => return None,
    })
}

/// The granule that HPFAR_EL2 names: bits 55:12 of the address in bits 47:4.
fn fault_ipa(record: &RecExit) -> Ipa {
    Ipa::new((record.hpfar >> 4 & 0xFFF_FFFF_FFFF) << 12)
}
