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

core::arch::global_asm!(
    r#"
    // A pair of registers to or from their place, base being the middle of a context. Uses x8 and x9.
    .macro save_pair base, first, second, offset
    mrs     x8, \first
    mrs     x9, \second
    stp     x8, x9, [\base, #\offset]
    .endm
    .macro load_pair base, first, second, offset
    ldp     x8, x9, [\base, #\offset]
    msr     \first, x8
    msr     \second, x9
    .endm

    // The registers of EL2 that change with each switch.
    .macro each_pair operation, base
    \operation \base, sp_el0, elr_el3, -56
    \operation \base, spsr_el3, sctlr_el2, 0
    \operation \base, hcr_el2, mdcr_el2, 16
    \operation \base, cptr_el2, hstr_el2, 32
    \operation \base, vbar_el2, ttbr0_el2, 48
    \operation \base, s3_4_c2_c0_1, tcr_el2, 64             // TTBR1_EL2
    \operation \base, mair_el2, sp_el2, 80
    \operation \base, tpidr_el2, elr_el2, 96
    \operation \base, spsr_el2, esr_el2, 112
    \operation \base, far_el2, hpfar_el2, 128
    \operation \base, s3_4_c13_c0_1, cnthctl_el2, 144       // CONTEXTIDR_EL2
    \operation \base, cntvoff_el2, vmpidr_el2, 160
    \operation \base, vpidr_el2, vtcr_el2, 176
    \operation \base, vttbr_el2, s3_4_c12_c1_1, 192         // VDISR_EL2
    \operation \base, s3_4_c5_c2_3, s3_4_c2_c2_0, 208       // VSESR_EL2, VNCR_EL2
    \operation \base, s3_4_c12_c11_0, s3_4_c12_c11_7, 224   // ICH_HCR_EL2, ICH_VMCR_EL2
    .endm

    // The registers that change with the first use by the RMM, if it has agreed to that.
    .macro each_pair_on_demand operation, base
    \operation \base, s3_4_c1_c1_4, s3_4_c1_c1_5, 240       // HFGRTR_EL2, HFGWTR_EL2
    \operation \base, s3_4_c1_c1_6, s3_4_c3_c1_4, 256       // HFGITR_EL2, HDFGRTR_EL2
    \operation \base, s3_4_c3_c1_5, s3_4_c1_c2_2, 272       // HDFGWTR_EL2, HCRX_EL2
    \operation \base, s3_4_c14_c0_6, s3_4_c13_c0_7, 288     // CNTPOFF_EL2, SCXTNUM_EL2
    \operation \base, s3_0_c2_c1_0, s3_0_c2_c1_1, 304       // APIAKey
    \operation \base, s3_0_c2_c1_2, s3_0_c2_c1_3, 320       // APIBKey
    \operation \base, s3_0_c2_c2_0, s3_0_c2_c2_1, 336       // APDAKey
    \operation \base, s3_0_c2_c2_2, s3_0_c2_c2_3, 352       // APDBKey
    \operation \base, s3_0_c2_c3_0, s3_0_c2_c3_1, 368       // APGAKey
    .endm

    // What EL3 itself needs to be different for each world.
    .macro load_constants base
    ldp     x8, x9, [\base, #-40]
    msr     scr_el3, x8
    msr     vbar_el3, x9
    ldr     x8, [\base, #-24]
    msr     cptr_el3, x8
    .endm

    // Back to a lower exception level, with no speculation past it.
    .macro leave
    eret
    dsb     nsh
    isb
    .endm

    .macro slot target
    .balign 0x80
    b       \target
    .endm

    .macro vectors name, synchronous, other
    .balign 0x800
    .global \name
\name:
    slot    el3_fatal_own               // from EL3 with SP_EL0
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    el3_fatal_own               // from EL3
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    el3_fatal_own
    slot    \synchronous                // from a lower level in AArch64
    slot    \other
    slot    \other
    slot    \other
    slot    \synchronous                // from a lower level in AArch32
    slot    \other
    slot    \other
    slot    \other
    .balign 0x80
    .endm

    .pushsection .text.vectors, "ax"
    vectors el3_vectors_boot, el3_fatal_own, el3_fatal_own
    vectors el3_vectors_normal, el3_from_normal, el3_fatal_below
    vectors el3_vectors_realm, el3_from_realm, el3_fatal_below

    // An exception from the normal world. Its context is at SP.
el3_from_normal:
    stp     x29, x30, [sp, #8 * 29]
    mrs     x30, esr_el3
    mov     w29, #{esr_smc64}
    cmp     x30, x29
    b.ne    1f
    bic     w29, w0, #{sve_hint}
    movz    w30, #{rmi_first_low}
    movk    w30, #{rmi_first_high}, lsl #16
    sub     w29, w29, w30
    cmp     w29, #{rmi_last}
    b.hi    1f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 1f

    // RMI: x0 to x7 stay, the rest changes worlds.
    stp     x5, x6, [sp, #8 * 5]
    stp     x7, x8, [sp, #8 * 7]
    stp     x9, x10, [sp, #8 * 9]
    stp     x11, x12, [sp, #8 * 11]
    stp     x13, x14, [sp, #8 * 13]
    stp     x15, x16, [sp, #8 * 15]
    stp     x17, x18, [sp, #8 * 17]
    stp     x19, x20, [sp, #8 * 19]
    stp     x21, x22, [sp, #8 * 21]
    stp     x23, x24, [sp, #8 * 23]
    stp     x25, x26, [sp, #8 * 25]
    stp     x27, x28, [sp, #8 * 27]
    add     x30, sp, #{middle}
    each_pair save_pair, x30
    add     x30, sp, #{realm} + {middle}
    load_constants x30
    each_pair load_pair, x30
    ldp     x8, x9, [x30, #8 * 8 - {middle}]
    ldp     x10, x11, [x30, #8 * 10 - {middle}]
    ldp     x12, x13, [x30, #8 * 12 - {middle}]
    ldp     x14, x15, [x30, #8 * 14 - {middle}]
    ldp     x16, x17, [x30, #8 * 16 - {middle}]
    ldp     x18, x19, [x30, #8 * 18 - {middle}]
    ldp     x20, x21, [x30, #8 * 20 - {middle}]
    ldp     x22, x23, [x30, #8 * 22 - {middle}]
    ldp     x24, x25, [x30, #8 * 24 - {middle}]
    ldp     x26, x27, [x30, #8 * 26 - {middle}]
    ldp     x28, x29, [x30, #8 * 28 - {middle}]
    ldr     x30, [x30, #8 * 30 - {middle}]
    leave

1:  stp     x0, x1, [sp]
    add     x29, sp, #0
    mov     w1, #0
    b       8f

    // An exception from the Realm world. Its context is behind the normal world's.
el3_from_realm:
    str     x29, [sp, #{realm} + 8 * 29]
    str     x30, [sp, #{realm} + 8 * 30]
    mrs     x30, esr_el3
    mov     w29, #{esr_smc64}
    cmp     x30, x29
    b.ne    2f
    movz    w29, #{complete_low}
    movk    w29, #{complete_high}, lsl #16
    sub     w29, w0, w29
    cbnz    w29, 3f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 6f

    // RMM_RMI_REQ_COMPLETE: x1 to x5 become x0 to x4 of the normal world.
    add     x30, sp, #{realm} + {middle}
    stp     x8, x9, [x30, #8 * 8 - {middle}]
    stp     x10, x11, [x30, #8 * 10 - {middle}]
    stp     x12, x13, [x30, #8 * 12 - {middle}]
    stp     x14, x15, [x30, #8 * 14 - {middle}]
    stp     x16, x17, [x30, #8 * 16 - {middle}]
    stp     x18, x19, [x30, #8 * 18 - {middle}]
    stp     x20, x21, [x30, #8 * 20 - {middle}]
    stp     x22, x23, [x30, #8 * 22 - {middle}]
    stp     x24, x25, [x30, #8 * 24 - {middle}]
    stp     x26, x27, [x30, #8 * 26 - {middle}]
    str     x28, [x30, #8 * 28 - {middle}]
    each_pair save_pair, x30
    ldr     x29, [sp, #{on_demand}]
    cbnz    x29, 5f
4:  mov     x0, x1
    mov     x1, x2
    mov     x2, x3
    mov     x3, x4
    mov     x4, x5
    add     x30, sp, #{middle}
    load_constants x30
    each_pair load_pair, x30
    ldp     x5, x6, [sp, #8 * 5]
    ldp     x7, x8, [sp, #8 * 7]
    ldp     x9, x10, [sp, #8 * 9]
    ldp     x11, x12, [sp, #8 * 11]
    ldp     x13, x14, [sp, #8 * 13]
    ldp     x15, x16, [sp, #8 * 15]
    ldp     x17, x18, [sp, #8 * 17]
    ldp     x19, x20, [sp, #8 * 19]
    ldp     x21, x22, [sp, #8 * 21]
    ldp     x23, x24, [sp, #8 * 23]
    ldp     x25, x26, [sp, #8 * 25]
    ldp     x27, x28, [sp, #8 * 27]
    ldp     x29, x30, [sp, #8 * 29]
    leave

    // RMM_GTSI_DELEGATE and RMM_GTSI_UNDELEGATE of an RMM that runs: only what Rust code may change is kept.
3:  sub     w29, w29, #{delegate} - {complete}
    cmp     w29, #{undelegate} - {delegate}
    b.hi    6f
    ldr     x30, [sp, #{forward}]
    cbz     x30, 6f
    add     x30, sp, #{realm}
    stp     x1, x2, [x30, #8 * 1]
    stp     x3, x4, [x30, #8 * 3]
    stp     x5, x6, [x30, #8 * 5]
    stp     x7, x8, [x30, #8 * 7]
    stp     x9, x10, [x30, #8 * 9]
    stp     x11, x12, [x30, #8 * 11]
    stp     x13, x14, [x30, #8 * 13]
    stp     x15, x16, [x30, #8 * 15]
    stp     x17, x18, [x30, #8 * 17]
    mov     x0, x1
    mov     w1, w29
    bl      el3_transition
    add     x30, sp, #{realm}
    ldp     x1, x2, [x30, #8 * 1]
    ldp     x3, x4, [x30, #8 * 3]
    ldp     x5, x6, [x30, #8 * 5]
    ldp     x7, x8, [x30, #8 * 7]
    ldp     x9, x10, [x30, #8 * 9]
    ldp     x11, x12, [x30, #8 * 11]
    ldp     x13, x14, [x30, #8 * 13]
    ldp     x15, x16, [x30, #8 * 15]
    ldp     x17, x18, [x30, #8 * 17]
    ldp     x29, x30, [x30, #8 * 29]
    leave

    // The registers on demand were used: they go back too.
5:  str     xzr, [sp, #{on_demand}]
    each_pair_on_demand save_pair, x30
    add     x30, sp, #{middle}
    each_pair_on_demand load_pair, x30
    b       4b

    // Not an SMC. The first use of a register on demand is trapped as a register access or pointer
    // authentication: fetch them all and repeat the instruction.
2:  ldr     x29, [sp, #{on_demand}]
    cbnz    x29, 6f
    lsr     x30, x30, #26
    cmp     x30, #{ec_system_register}
    ccmp    x30, #{ec_pointer_authentication}, #4, ne
    b.ne    6f
    add     x30, sp, #{realm} + {middle}
    stp     x8, x9, [x30, #8 * 8 - {middle}]
    add     x29, sp, #{middle}
    each_pair_on_demand save_pair, x29
    each_pair_on_demand load_pair, x30
    mov     x8, #1
    str     x8, [sp, #{on_demand}]
    mrs     x8, scr_el3
    ldr     x9, ={scr_on_demand}
    orr     x8, x8, x9
    msr     scr_el3, x8
    ldp     x8, x9, [x30, #8 * 8 - {middle}]
    ldp     x29, x30, [x30, #8 * 29 - {middle}]
    leave

6:  add     x29, sp, #{realm}
    stp     x0, x1, [x29]
    mov     w1, #1

    // Anything else: every general register into the context at x29, then ask.
8:  stp     x2, x3, [x29, #8 * 2]
    stp     x4, x5, [x29, #8 * 4]
    stp     x6, x7, [x29, #8 * 6]
    stp     x8, x9, [x29, #8 * 8]
    stp     x10, x11, [x29, #8 * 10]
    stp     x12, x13, [x29, #8 * 12]
    stp     x14, x15, [x29, #8 * 14]
    stp     x16, x17, [x29, #8 * 16]
    stp     x18, x19, [x29, #8 * 18]
    stp     x20, x21, [x29, #8 * 20]
    stp     x22, x23, [x29, #8 * 22]
    stp     x24, x25, [x29, #8 * 24]
    stp     x26, x27, [x29, #8 * 26]
    str     x28, [x29, #8 * 28]
    mov     x0, sp
    bl      el3_lower_synchronous

    // General registers from the context at x0, and off.
el3_resume:
    ldp     x2, x3, [x0, #8 * 2]
    ldp     x4, x5, [x0, #8 * 4]
    ldp     x6, x7, [x0, #8 * 6]
    ldp     x8, x9, [x0, #8 * 8]
    ldp     x10, x11, [x0, #8 * 10]
    ldp     x12, x13, [x0, #8 * 12]
    ldp     x14, x15, [x0, #8 * 14]
    ldp     x16, x17, [x0, #8 * 16]
    ldp     x18, x19, [x0, #8 * 18]
    ldp     x20, x21, [x0, #8 * 20]
    ldp     x22, x23, [x0, #8 * 22]
    ldp     x24, x25, [x0, #8 * 24]
    ldp     x26, x27, [x0, #8 * 26]
    ldp     x28, x29, [x0, #8 * 28]
    ldr     x30, [x0, #8 * 30]
    ldp     x0, x1, [x0]
    leave

    // x0: block, x1: context. Does not come back.
    .global el3_enter
el3_enter:
    mov     sp, x0
    mov     x0, x1
    b       el3_resume

    // x0: context, in all four.
    .global el3_save
el3_save:
    add     x0, x0, #{middle}
    each_pair save_pair, x0
    ret
    .global el3_load
el3_load:
    add     x0, x0, #{middle}
    load_constants x0
    each_pair load_pair, x0
    ret
    .global el3_save_on_demand
el3_save_on_demand:
    add     x0, x0, #{middle}
    each_pair_on_demand save_pair, x0
    ret
    .global el3_load_on_demand
el3_load_on_demand:
    add     x0, x0, #{middle}
    each_pair_on_demand load_pair, x0
    ret

el3_fatal_own:
    mov     x0, #0
    b       7f
el3_fatal_below:
    mov     x0, #1
7:  mrs     x1, esr_el3
    mrs     x2, elr_el3
    mrs     x3, far_el3
    bl      el3_fatal
    b       .
    .ltorg
    .popsection
    "#,
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

unsafe extern "C" {
    fn el3_enter(block: *mut PeBlock, context: *const Context) -> !;
    fn el3_save(context: *mut Context);
    fn el3_load(context: *const Context);
    fn el3_save_on_demand(context: *mut Context);
    fn el3_load_on_demand(context: *const Context);
    static el3_vectors_boot: u8;
    static el3_vectors_normal: u8;
    static el3_vectors_realm: u8;
}

/// Address of the vectors while the normal world runs.
pub(super) fn normal_vectors() -> u64 {
    &raw const el3_vectors_normal as u64
}

/// Address of the vectors while the Realm world runs.
pub(super) fn realm_vectors() -> u64 {
    &raw const el3_vectors_realm as u64
}

/// Reports any exception as fatal from now on, until a world is entered.
pub(super) fn use_boot_vectors() {
    // SAFETY: the vectors only report and stop.
    unsafe { write_sysreg!("vbar_el3", &raw const el3_vectors_boot as u64) };
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
    macro_rules! assert_fixed {
        ($($name:literal),*) => {$(
            let before = read_sysreg!($name);
            // SAFETY: EL2 does not run yet; the register gets its value back.
            unsafe { write_sysreg!($name, !before) };
            isb();
            let after = read_sysreg!($name);
            // SAFETY: as above.
            unsafe { write_sysreg!($name, before) };
            assert!(before == after, concat!($name, " holds state that the world switch does not keep"));
        )*};
    }
    assert_fixed!(
        "actlr_el2",
        "afsr0_el2",
        "afsr1_el2",
        "amair_el2",
        "hacr_el2"
    );
    assert!(
        read_sysreg!("s3_4_c12_c9_5") & 0xF == 0xF,
        "ICC_SRE_EL2 can be turned off"
    );
}
