//! What becomes of an exception that a realm caused.

mod abort;
mod debug;
mod id_registers;
mod system_register;

use aarch64_formats::esr::{Esr, class, fault, field};

use self::id_registers::RealmFeatures;
use self::system_register::Response;
use super::exit::{Exit, Syndrome};
use super::running::{Next, RunningRec};
use super::{control, inject, layout};
use crate::platform::{Exception, Platform, ProcessingElement};
use crate::smc;

/// WFIT and WFET: the number of the timeout register, ISS.RN.
const WFX_RN_SHIFT: u32 = 5;

/// Decides what follows an exception.
pub(super) fn handle<P: Platform>(
    running: &RunningRec<'_, P>,
    pe: &mut impl ProcessingElement,
    exception: Exception,
) -> Next {
    let (esr, far, hpfar) = match exception {
        Exception::Irq => return Next::Exit(Exit::Irq),
        Exception::Fiq => return Next::Exit(Exit::Fiq),
        Exception::SError { esr } => {
            pe.save(running.context);
            return system_error(running, Esr::from_bits(esr));
        }
        // Not the realm's, which has not run since.
        Exception::EarlierSError { esr } => {
            pe.save(running.context);
            return error_exit(Esr::from_bits(esr));
        }
        Exception::Sync { esr, far, hpfar } => (Esr::from_bits(esr), far, hpfar),
    };
    if esr.class() == class::SMC64 {
        // Calls that are answered here touch general-purpose registers and PC only.
        return smc::handle(running);
    }
    pe.save(running.context);
    match esr.class() {
        class::WFX => wait(running, esr),
        class::SYSREG => system_register(running, esr),
        class::DATA_ABORT_LOWER => abort::data(running, esr, far, hpfar),
        class::INSTRUCTION_ABORT_LOWER => abort::instruction(running, esr, far, hpfar),
        // HVC (the PC is behind it already), SVE, SME, and whatever else is trapped because the realm does not
        // have it.
        _ => undefined(running),
    }
}

fn undefined<P: Platform>(running: &RunningRec<'_, P>) -> Next {
    inject::undefined(running.context);
    Next::Resume
}

fn wait<P: Platform>(running: &RunningRec<'_, P>, esr: Esr) -> Next {
    let instruction = esr.bits() & field::TI;
    // WFIT and WFET name the register with the timeout.
    let value = if instruction >= 2 {
        running
            .context
            .gpr((esr.bits() >> WFX_RN_SHIFT & 0x1F) as usize)
    } else {
        0
    };
    running.context.advance_pc();
    Next::Exit(Exit::Sync(Syndrome {
        esr: esr.bits() & (field::EC | field::TI),
        value,
        ..Syndrome::default()
    }))
}

fn system_register<P: Platform>(running: &RunningRec<'_, P>, esr: Esr) -> Next {
    let context = running.context;
    let transfer = esr.system_register().transfer;
    let realm = || {
        let realm = running.realm();
        RealmFeatures {
            num_bps: realm.num_bps(),
            num_wps: realm.num_wps(),
            sve: realm.sve_vectors() != 0,
            pmu: realm.pmu_counters().is_some(),
        }
    };
    match system_register::respond(context, esr, running.platform().cpu(), realm) {
        Response::Value(value) => context.set_gpr(transfer, value),
        Response::Ignored => {}
        Response::Undefined => return undefined(running),
        Response::Forward => {
            context.advance_pc();
            let (esr, value) = (esr.bits(), context.gpr(transfer));
            return Next::Exit(Exit::Sync(Syndrome {
                esr,
                value,
                ..Syndrome::default()
            }));
        }
    }
    context.advance_pc();
    Next::Resume
}

/// An SError while the realm ran. The realm gets it as a virtual SError unless it can go on as if nothing had happened; the
/// host learns of all of them. None stops the monitor: a realm and its host can make a device answer with any of them.
fn system_error<P: Platform>(running: &RunningRec<'_, P>, esr: Esr) -> Next {
    const RESTARTABLE: u64 = 2;
    const CORRECTED: u64 = 6;
    let context = running.context;
    let described = esr.bits() & field::IDS == 0 && esr.fault_status() == fault::ASYNCHRONOUS;
    let kind = (esr.bits() & field::AET) >> 10;
    if !(described && matches!(kind, RESTARTABLE | CORRECTED)) {
        // What a syndrome of the implementation's own says is not for the realm.
        let syndrome = if described {
            esr.bits() & 0x1FF_FFFF
        } else {
            field::IDS
        };
        context.set(layout::VSESR_EL2, syndrome);
        context.set(
            layout::HCR_EL2,
            context.get(layout::HCR_EL2) | control::HCR_VSE,
        );
    }
    error_exit(esr)
}

/// The exit that tells the host of an SError.
fn error_exit(esr: Esr) -> Next {
    let shown = field::EC | field::IDS | field::AET | field::EA | field::FSC;
    Next::Exit(Exit::SError {
        esr: esr.bits() & shown,
    })
}
