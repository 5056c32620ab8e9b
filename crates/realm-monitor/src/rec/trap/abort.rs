//! Data and instruction aborts taken to EL2: who has to deal with them, the realm or the host (RMM specification
//! 1.0-rel0, A4.3.4).

use aarch64_formats::esr::{Esr, SynchronousError, fault, field};
use cca_abi::rmi::Ripas;

use crate::platform::Platform;
use crate::rec::exit::{Exit, Syndrome};
use crate::rec::running::{LastExit, Next, RunningRec};
use crate::rec::{inject, stage1};

/// What the host sees of an abort that it does not emulate, beside FnV of data aborts.
const SHOWN: u64 = field::EC | field::SET | field::EA | field::FSC;
/// What the host sees beside that of an access that it can emulate.
const SHOWN_EMULATABLE: u64 = field::ISV | field::SAS | field::SF | field::WNR;

/// The bits of HPFAR_EL2 that are the address.
const FIPA: u64 = 0xFFFF_FFFF_FFF0;
const PAGE_OFFSET: u64 = 0xFFF;

pub(super) fn data<P: Platform>(
    running: &RunningRec<'_, P>,
    esr: Esr,
    far: u64,
    hpfar: u64,
) -> Next {
    let hpfar = hpfar & FIPA;
    let ipa = hpfar << 8;
    let shown = esr.bits() & (SHOWN | field::FNV);
    if fault::is_external(esr.fault_status()) {
        return external(running, esr, far, shown);
    }
    if let Some(next) = not_the_hosts(running, esr, far, ipa) {
        return next;
    }
    if running.is_protected(ipa) {
        if running.ripas(ipa) == Ripas::Empty {
            inject::external_abort(running.context, esr, far);
            return Next::Resume;
        }
        return Next::Exit(Exit::Sync(Syndrome {
            esr: shown,
            hpfar,
            ..Syndrome::default()
        }));
    }
    if !esr.access_valid() || running.is_aarch32() {
        running.remember(LastExit::UnprotectedAbort, esr.bits(), far);
        return Next::Exit(Exit::Sync(Syndrome {
            esr: shown,
            hpfar,
            ..Syndrome::default()
        }));
    }
    running.remember(LastExit::EmulatableAbort, esr.bits(), far);
    let access = esr.access();
    let value = if access.write {
        access.truncate(running.context.gpr(access.register))
    } else {
        0
    };
    let esr = shown | esr.bits() & SHOWN_EMULATABLE;
    Next::Exit(Exit::Sync(Syndrome {
        esr,
        far: far & PAGE_OFFSET,
        hpfar,
        value,
    }))
}

pub(super) fn instruction<P: Platform>(
    running: &RunningRec<'_, P>,
    esr: Esr,
    far: u64,
    hpfar: u64,
) -> Next {
    let hpfar = hpfar & FIPA;
    let ipa = hpfar << 8;
    let shown = esr.bits() & SHOWN;
    if fault::is_external(esr.fault_status()) {
        return external(running, esr, far, shown);
    }
    if let Some(next) = not_the_hosts(running, esr, far, ipa) {
        return next;
    }
    if !running.is_protected(ipa) || running.ripas(ipa) == Ripas::Empty {
        inject::external_abort(running.context, esr, far);
        return Next::Resume;
    }
    Next::Exit(Exit::Sync(Syndrome {
        esr: shown,
        hpfar,
        ..Syndrome::default()
    }))
}

/// Faults that concern the realm alone: a granule that the host pulled away from an unprotected mapping, and an
/// address that the realm does not have.
fn not_the_hosts<P: Platform>(
    running: &RunningRec<'_, P>,
    esr: Esr,
    far: u64,
    ipa: u64,
) -> Option<Next> {
    let context = running.context;
    if fault::is_granule_protection(esr.fault_status()) {
        inject::abort(context, esr, fault::GRANULE_PROTECTION, far);
        return Some(Next::Resume);
    }
    if ipa >> running.ipa_bits() != 0 {
        let level = stage1::leaf_level(running, esr, far);
        inject::abort(context, esr, fault::address_size(level), far);
        return Some(Next::Resume);
    }
    None
}

/// A synchronous external abort. Whoever caused it, an abort stops no monitor: what the PE could not contain the realm gets
/// like what it may recover from, since it must not go on as if nothing had happened; and the host learns of all.
fn external<P: Platform>(running: &RunningRec<'_, P>, esr: Esr, far: u64, shown: u64) -> Next {
    match esr.synchronous_error() {
        SynchronousError::Recoverable | SynchronousError::Uncontainable => {
            inject::external_abort(running.context, esr, far);
        }
        SynchronousError::Restartable => {}
    }
    Next::Exit(Exit::Sync(Syndrome {
        esr: shown,
        ..Syndrome::default()
    }))
}
