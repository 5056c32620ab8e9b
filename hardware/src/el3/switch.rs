//! Exceptions from the worlds below, and the switch between them.
//!
//! Each world has its own vectors, so that the vector taken says who called. An RMI call of the normal world and the
//! RMM's answer to it are carried out right here (the fast path), as are the RMM's requests to change a granule, with a part in Rust; everything
//! else is decided in [`super::handler`].
//!
//! Registers that a quick RMI command does not need (pointer authentication keys and those that only matter while a
//! realm runs) stay the normal world's until the RMM uses the first of them, if the RMM has agreed to that
//! (`cca_abi::el3::SWITCH_ON_DEMAND`). Else every call takes the slower way, which switches everything.
//!
//! While a lower exception level runs, SP_EL3 points to the PE's block. FP, SVE and SME registers are never touched.
//!
//! Not switched, although they belong to EL2, because they hold no state on this machine: ACTLR_EL2, AFSR0_EL2,
//! AFSR1_EL2, AMAIR_EL2, HACR_EL2 and ICC_SRE_EL2. [`assert_stateless`] checks that.

use super::context::{Context, MIDDLE, SCR_ON_DEMAND};
use super::layout::{FORWARD, ON_DEMAND, OwnBlock, PeBlock, REALM};
use crate::common::assembly::{assembly, routines, symbol};
use crate::common::barrier::isb;
use crate::{read_sysreg, write_sysreg};
use cca_abi::el3::{Command, RMI_REQ_COMPLETE};
use cca_abi::smccc::{RMI_RANGE, SVE_HINT};

/// Exception class of a trapped access to a system register.
const EC_SYSTEM_REGISTER: u64 = 0x18;
/// Exception class of a trapped pointer authentication instruction.
const EC_POINTER_AUTHENTICATION: u64 = 0x09;

/// ESR_EL3 of `SMC #0` from AArch64.
pub(super) const ESR_SMC64: u64 = 0x17 << 26 | 1 << 25;

assembly!(
    include_str!("switch.s"),
    esr_smc64 = const ESR_SMC64,
    sve_hint = const SVE_HINT,
    rmi_first_low = const RMI_RANGE.0 & 0xFFFF,
    rmi_first_high = const RMI_RANGE.0 >> 16,
    rmi_last = const RMI_RANGE.1 - RMI_RANGE.0,
    complete = const RMI_REQ_COMPLETE,
    delegate = const Command::GtsiDelegate.function_id(),
    undelegate = const Command::GtsiUndelegate.function_id(),
    complete_low = const RMI_REQ_COMPLETE & 0xFFFF,
    complete_high = const RMI_REQ_COMPLETE >> 16,
    forward = const FORWARD,
    middle = const MIDDLE,
    realm = const REALM,
    on_demand = const ON_DEMAND,
    scr_on_demand = const SCR_ON_DEMAND,
    ec_system_register = const EC_SYSTEM_REGISTER,
    ec_pointer_authentication = const EC_POINTER_AUTHENTICATION,
);

routines! {
    fn el3_enter(block: *mut PeBlock, context: *const Context) -> !;
    fn el3_save(context: *mut Context);
    fn el3_load(context: *const Context);
    fn el3_save_on_demand(context: *mut Context);
    fn el3_load_on_demand(context: *const Context);
}

/// Address of the vectors while the normal world runs.
pub(super) fn normal_vectors() -> u64 {
    symbol!(el3_vectors_normal)
}

/// Address of the vectors while the Realm world runs.
pub(super) fn realm_vectors() -> u64 {
    symbol!(el3_vectors_realm)
}

/// Reports any exception as fatal from now on, until a world is entered.
pub(super) fn use_boot_vectors() {
    // SAFETY: the vectors only report and stop.
    unsafe { write_sysreg!("vbar_el3", symbol!(el3_vectors_boot)) };
    isb();
}

/// Saves the system registers of the normal world and loads those of the Realm world, all of them.
pub(super) fn to_realm(block: &mut OwnBlock<'_>) {
    // SAFETY: reads registers into a context, and writes registers that do not affect EL3 until the exception return.
    unsafe {
        el3_save(block.normal);
        el3_save_on_demand(block.normal);
    }
    load_realm(block);
}

/// Loads the system registers of the Realm world, all of them.
pub(super) fn load_realm(block: &mut OwnBlock<'_>) {
    // SAFETY: the registers do not affect EL3 until the exception return; the vectors are EL3's own.
    unsafe {
        el3_load(block.realm);
        el3_load_on_demand(block.realm);
        write_sysreg!("scr_el3", block.realm.scr_el3 | SCR_ON_DEMAND);
    }
    *block.on_demand = 1;
}

/// Saves the system registers of the Realm world and loads those of the normal world.
pub(super) fn to_normal(block: &mut OwnBlock<'_>) {
    // SAFETY: as in `to_realm`.
    unsafe {
        el3_save(block.realm);
        if *block.on_demand != 0 {
            el3_save_on_demand(block.realm);
            el3_load_on_demand(block.normal);
        }
        el3_load(block.normal);
    }
    *block.on_demand = 0;
}

/// Saves the system registers of the Realm world if it runs, and loads those of a normal world that is new.
pub(super) fn to_new_normal(block: &mut OwnBlock<'_>) {
    // SAFETY: as in `to_realm`.
    unsafe {
        el3_save(block.realm);
        if *block.on_demand != 0 {
            el3_save_on_demand(block.realm);
        }
    }
    load_normal(block);
}

/// Loads the system registers of the normal world, all of them.
pub(super) fn load_normal(block: &mut OwnBlock<'_>) {
    // SAFETY: as in `load_realm`.
    unsafe {
        el3_load_on_demand(block.normal);
        el3_load(block.normal);
    }
    *block.on_demand = 0;
}

/// Leaves EL3 for the world whose system registers are loaded, with the general registers of `context`.
///
/// # Safety
///
/// `block` is the calling PE's, `context` one of its contexts. Nothing on the stack is used afterwards.
pub(super) unsafe fn enter(block: *mut PeBlock, context: *const Context) -> ! {
    // SAFETY: the caller's promise.
    unsafe { el3_enter(block, context) }
}

/// Checks that the processor has every register that is switched.
///
/// # Panics
///
/// If a feature is missing.
pub(super) fn assert_supported() {
    let isar1 = read_sysreg!("id_aa64isar1_el1");
    let isar2 = read_sysreg!("id_aa64isar2_el1");
    let mmfr0 = read_sysreg!("id_aa64mmfr0_el1");
    let mmfr1 = read_sysreg!("id_aa64mmfr1_el1");
    let mmfr2 = read_sysreg!("s3_0_c0_c7_2");
    let pfr0 = read_sysreg!("id_aa64pfr0_el1");
    let field = |register: u64, shift: u32| register >> shift & 0xF;
    for (name, present) in [
        ("RME", field(pfr0, 52) != 0),
        ("RAS", field(pfr0, 28) != 0),
        ("CSV2_2", field(pfr0, 56) >= 2),
        ("VHE", field(mmfr1, 8) != 0),
        ("HCX", field(mmfr1, 40) != 0),
        ("FGT", field(mmfr0, 56) != 0),
        ("ECV with CNTPOFF", field(mmfr0, 60) >= 2),
        ("NV2", field(mmfr2, 24) >= 2),
        ("PAuth", isar1 & 0xFF00_0FF0 != 0 || isar2 & 0xFF00 != 0),
    ] {
        assert!(
            present,
            "the processor does not implement {name}; the root monitor is made for -cpu max,x-rme=on"
        );
    }
}

/// Checks that the registers of EL2 which are not switched hold no state.
///
/// # Panics
///
/// If one does: a world could then see or change what belongs to the other.
pub(super) fn assert_stateless() {
    type Register = (&'static str, fn() -> u64, fn(u64));
    macro_rules! registers {
        ($($name:literal),*) => {
            [$((
                $name,
                || read_sysreg!($name),
                |value| {
                    // SAFETY: EL2 does not run yet; the register gets its value back.
                    unsafe { write_sysreg!($name, value) }
                },
            )),*]
        };
    }
    let registers: [Register; 5] = registers!(
        "actlr_el2",
        "afsr0_el2",
        "afsr1_el2",
        "amair_el2",
        "hacr_el2"
    );
    for (name, read, write) in registers {
        let before = read();
        write(!before);
        isb();
        let after = read();
        write(before);
        assert!(
            before == after,
            "{name} holds state that the world switch does not keep"
        );
    }
    assert!(
        read_sysreg!("s3_4_c12_c9_5") & 0xF == 0xF,
        "ICC_SRE_EL2 can be turned off"
    );
}
