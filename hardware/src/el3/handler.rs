//! What a PE does at an exception from a world below, besides the fast path.

use super::context::{Context, EL2H_MASKED, SCR_ON_DEMAND};
use super::layout::{BLOCK, OwnBlock, PE_SHIFT, PeBlock};
use super::machine::monitor;
use super::switch::{self, ESR_SMC64};
use super::{entry, gic, interrupt, power};
use crate::common::{barrier, console};
use crate::{println, read_sysreg, write_sysreg};
use cca_abi::el3::REQ_COMPLETE_RESULTS;
use cca_abi::smccc::NOT_SUPPORTED;
use core::sync::atomic::{AtomicBool, Ordering};
use root_monitor::{Action, World};

/// Exception classes of ESR_EL3: an SMC from AArch32 and from AArch64.
const EC_SMC32: u64 = 0x13;
const EC_SMC64: u64 = 0x17;
/// A granule protection check failed in a way that is reported to EL3.
const EC_GPC: u64 = 0x1E;
/// SCR_EL3.IRQ and FIQ.
pub(super) const SCR_INTERRUPTS: u64 = 0b110;
/// Exception syndrome of an undefined instruction, 32 bits long.
const ESR_UNDEFINED: u64 = 1 << 25;

/// Handles a synchronous exception whose general registers are saved in the block, and says with which context's
/// general registers to leave EL3.
///
/// # Safety
///
/// Called by the vectors with the block of this PE and the world that was interrupted (0 normal, 1 Realm).
#[unsafe(no_mangle)]
unsafe extern "C" fn el3_lower_synchronous(block: *mut PeBlock, world: u64) -> *const Context {
    // SAFETY: the block belongs to this PE, which uses it only here and in the assembly code that called.
    let mut own = unsafe { OwnBlock::of(block) };
    let pe = own.pe;
    let (world, caller) = if world == 0 {
        (World::NonSecure, &mut *own.normal)
    } else {
        (World::Realm, &mut *own.realm)
    };
    let esr = read_sysreg!("esr_el3");
    match esr >> 26 & 0x3F {
        EC_SMC64 if esr == ESR_SMC64 => {}
        EC_SMC64 | EC_SMC32 => {
            caller.call.0[0] = NOT_SUPPORTED;
            return caller;
        }
        EC_GPC => fatal_below(pe, world, esr),
        _ => {
            inject_undefined();
            return caller;
        }
    }
    match monitor().smc(pe, world, &mut caller.call) {
        Action::Return => caller,
        Action::Switch(World::Realm) => {
            own.realm.call.0[..8].copy_from_slice(&own.normal.call.0[..8]);
            switch::to_realm(&mut own);
            own.realm
        }
        Action::Switch(World::NonSecure) => {
            let results = &own.realm.call.0[..REQ_COMPLETE_RESULTS];
            own.normal.call.0[..REQ_COMPLETE_RESULTS].copy_from_slice(results);
            switch::to_normal(&mut own);
            own.normal
        }
        Action::StartNormalWorld(start) => {
            report_rmm();
            *own.normal = Context::normal(switch::normal_vectors(), start);
            switch::to_new_normal(&mut own);
            allow_forwarding(&mut own);
            own.normal
        }
        Action::Suspend => {
            standby();
            caller
        }
        Action::PowerDown => {
            gic::leave();
            // SAFETY: nothing of this call is needed any more.
            unsafe { entry::turn_off(pe as u64) }
        }
        Action::SystemOff => power::system_off(),
        Action::SystemReset => power::system_reset(),
    }
}

/// Handles an interrupt that EL3 keeps for itself, like [`el3_lower_synchronous`] an exception; the world that was interrupted goes on.
///
/// # Safety
///
/// As for [`el3_lower_synchronous`].
#[unsafe(no_mangle)]
unsafe extern "C" fn el3_lower_fiq(block: *mut PeBlock, world: u64) -> *const Context {
    interrupt::serve();
    // SAFETY: the block is this PE's.
    unsafe {
        if world == 0 {
            &raw const (*block).normal
        } else {
            &raw const (*block).realm
        }
    }
}

/// RMM_GTSI_DELEGATE (`undelegate` is 0) or RMM_GTSI_UNDELEGATE (1) of the granule at `address`: X0.
#[unsafe(no_mangle)]
extern "C" fn el3_transition(address: u64, undelegate: u32) -> i64 {
    if undelegate == 0 {
        monitor().delegate(address)
    } else {
        monitor().undelegate(address)
    }
}

/// Lets RMI calls of this PE take the fast path, if the RMM is usable and has agreed to the switch on demand.
fn allow_forwarding(own: &mut OwnBlock<'_>) {
    if !monitor().switches_on_demand() {
        return;
    }
    own.realm.scr_el3 &= !SCR_ON_DEMAND;
    own.forward.store(1, Ordering::SeqCst);
    // A PE that reports a failure of the RMM clears the words of all; one that looks before that sees it here.
    if !monitor().rmm_usable() {
        stop_forwarding();
    }
}

/// Says once how the RMM's first boot ended, and afterwards whether it failed on another PE.
fn report_rmm() {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    static REPORTED_FAILURE: AtomicBool = AtomicBool::new(false);
    let monitor = monitor();
    if let Some(code) = monitor.rmm_failure() {
        if !REPORTED_FAILURE.swap(true, Ordering::Relaxed) {
            println!(
                "root-monitor: the RMM could not boot (RMM_BOOT_COMPLETE {code}); there are no realms"
            );
        }
    } else if !REPORTED.swap(true, Ordering::Relaxed) {
        println!("root-monitor: {} CPUs, RMM ready", monitor.pes().len());
    }
}

/// From now on every RMI call of every PE is decided by the monitor: the RMM is not usable.
fn stop_forwarding() {
    for pe in 0..monitor().pes().len() {
        let block = (entry::PE_MEMORY.address() + (pe << PE_SHIFT) + BLOCK) as *const PeBlock;
        // SAFETY: memory for this PE exists; any content is a value of the atomic.
        unsafe { (*block).forward.store(0, Ordering::SeqCst) };
    }
}

/// Waits for an interrupt of any world.
pub(super) fn standby() {
    let scr = read_sysreg!("scr_el3");
    // SAFETY: interrupts are masked at EL3, so they end the wait and are taken only after the return below, one of EL3 too.
    unsafe { write_sysreg!("scr_el3", scr | SCR_INTERRUPTS) };
    barrier::isb();
    barrier::dsb_sy();
    barrier::wfi();
    // SAFETY: the value the world had.
    unsafe { write_sysreg!("scr_el3", scr) };
    barrier::isb();
}

/// Passes an instruction that EL3 does not know on to EL2 of the world that executed it, as undefined.
fn inject_undefined() {
    let (elr, spsr, vbar) = (
        read_sysreg!("elr_el3"),
        read_sysreg!("spsr_el3"),
        read_sysreg!("vbar_el2"),
    );
    // From EL2 itself with its own stack pointer, with SP_EL0, or from a lower level in AArch64 or AArch32.
    let vector = match spsr & 0x1F {
        0b01001 => 0x200,
        0b01000 => 0x000,
        mode if mode & 0b10000 == 0 => 0x400,
        _ => 0x600,
    };
    // SAFETY: what the processor does when it takes the exception to EL2; EL3 is not affected.
    unsafe {
        write_sysreg!("elr_el2", elr);
        write_sysreg!("spsr_el2", spsr);
        write_sysreg!("esr_el2", ESR_UNDEFINED);
        write_sysreg!("elr_el3", vbar + vector);
        write_sysreg!("spsr_el3", EL2H_MASKED);
    }
}

fn fatal_below(pe: usize, world: World, esr: u64) -> ! {
    let (elr, far) = (read_sysreg!("elr_el3"), read_sysreg!("far_el3"));
    console::print_now(format_args!(
        "root-monitor: the {world:?} world stopped PE {pe}: ESR_EL3 {esr:#x}, ELR {elr:#x}, FAR {far:#x}\n"
    ));
    barrier::halt()
}

/// An exception that must not happen: stop this PE and say what it was.
#[unsafe(no_mangle)]
extern "C" fn el3_fatal(from_below: u64, esr: u64, elr: u64, far: u64, stack: u64) -> ! {
    let origin = if from_below == 0 {
        "its own code"
    } else {
        "below"
    };
    panic!(
        "unexpected exception from {origin}: ESR_EL3 {esr:#x}, ELR_EL3 {elr:#x}, FAR_EL3 {far:#x}, \
         SP_EL3 {stack:#x}"
    )
}
