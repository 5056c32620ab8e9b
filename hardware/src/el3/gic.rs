//! GICv3 as EL3 leaves it: every interrupt belongs to the normal world (Group 1 Non-secure), but for those of [`super::interrupt`],
//! which are in Group 0 and of the highest priority. The normal world can neither see those nor change or send them.

use super::boot::affinity_of;
use super::layout::{GICD, GICR, SECURE_UART_INTID};
use crate::common::barrier::{dsb_sy, isb};
use crate::common::device;
use crate::{read_sysreg, write_sysreg};
use cca_abi::firmware::CHANNEL_INTID;

const GICD_CTLR: usize = 0x0;
const GICD_TYPER: usize = 0x4;
const GICD_IGROUPR: usize = 0x80;
const GICD_ISENABLER: usize = 0x100;
const GICD_ISPENDR: usize = 0x200;
const GICD_IPRIORITYR: usize = 0x400;
const GICD_ICFGR: usize = 0xC00;
const GICD_IGRPMODR: usize = 0xD00;
const GICD_NSACR: usize = 0xE00;
const GICD_IROUTER: usize = 0x6000;

/// Bit of GICD_CTLR that is set once the distributor is set up, and clear after a reset: EnableGrp0, which is EL3's.
pub(super) const DISTRIBUTOR_READY: u32 = 0;

const CTLR_ENABLES: u32 = 0b111;
const CTLR_ENABLE_GROUP0: u32 = 1 << DISTRIBUTOR_READY;
const CTLR_ENABLE_GROUP1_NS: u32 = 1 << 1;
const CTLR_ARE: u32 = 1 << 4 | 1 << 5;
const CTLR_RWP: u32 = 1 << 31;

const GICR_STRIDE: usize = 0x2_0000;
const GICR_CTLR: usize = 0x0;
const GICR_TYPER: usize = 0x8;
const GICR_WAKER: usize = 0x14;
const GICR_SGI: usize = 0x1_0000;
const GICR_ICENABLER0: usize = GICR_SGI + 0x180;

const TYPER_LAST: u64 = 1 << 4;
const GICR_CTLR_RWP: u32 = 1 << 3;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;

/// The interrupt by which one PE at EL3 calls another. It must be below 16; the normal world's software uses the first eight.
pub(super) const CALL: u32 = 15;
/// The interrupt of the UART that is the bell ([`super::bell`]). A level.
pub(super) const BELL: u32 = SECURE_UART_INTID;
/// From here on an INTID means that there is no interrupt.
const SPECIAL: u32 = 1020;
/// SCR_EL3.NS and FIQ.
const SCR_NS: u64 = 1 << 0;
const SCR_FIQ: u64 = 1 << 2;

/// ICC_SRE_EL1: system registers, no bypass.
const SRE_EL1: u64 = 0b111;

/// Middle priority, which the normal world can use and change.
const PRIORITIES: u32 = 0x8080_8080;

fn read(address: usize) -> u32 {
    // SAFETY: called with addresses of GIC registers only, mapped as device memory.
    unsafe { device::load_32(address) }
}

fn write(address: usize, value: u32) {
    // SAFETY: as in `read`. No interrupt is taken at EL3 itself, so the program's memory is not concerned.
    unsafe { device::store_32(address, value) }
}

fn wait_while(address: usize, bits: u32) {
    while read(address) & bits != 0 {
        core::hint::spin_loop();
    }
}

/// Sets up the distributor; once, on the primary PE.
pub(super) fn set_up_distributor() {
    let control = GICD + GICD_CTLR;
    write(control, read(control) & !CTLR_ENABLES);
    wait_while(control, CTLR_RWP);
    write(control, read(control) | CTLR_ARE);
    wait_while(control, CTLR_RWP);
    let lines = 32 * ((read(GICD + GICD_TYPER) as usize & 0x1F) + 1);
    for n in 1..lines / 32 {
        write(GICD + GICD_IGROUPR + 4 * n, u32::MAX);
        write(GICD + GICD_IGRPMODR + 4 * n, 0);
    }
    for n in 8..lines / 4 {
        write(GICD + GICD_IPRIORITYR + 4 * n, PRIORITIES);
    }
    for n in 2..lines / 16 {
        let edge = (n == CHANNEL_INTID as usize / 16).then_some(0b10 << (CHANNEL_INTID % 16 * 2));
        write(GICD + GICD_ICFGR + 4 * n, edge.unwrap_or(0));
    }
    keep_bell();
    write(
        control,
        read(control) | CTLR_ENABLE_GROUP0 | CTLR_ENABLE_GROUP1_NS,
    );
    wait_while(control, CTLR_RWP);
}

/// Makes [`BELL`] an interrupt of EL3, which the primary PE takes.
fn keep_bell() {
    let (word, bit) = (BELL as usize / 32 * 4, 1 << (BELL % 32));
    let group = GICD + GICD_IGROUPR + word;
    write(group, read(group) & !bit);
    let priority = GICD + GICD_IPRIORITYR + BELL as usize / 4 * 4;
    write(priority, read(priority) & !(0xFF << (BELL % 4 * 8)));
    let route = GICD + GICD_IROUTER + 8 * BELL as usize;
    write(route, 0);
    write(route + 4, 0);
    write(GICD + GICD_ISENABLER + word, bit);
}

/// Makes [`CHANNEL_INTID`] pending, which is the normal world's.
pub(super) fn pend_channel() {
    let word = CHANNEL_INTID as usize / 32 * 4;
    write(GICD + GICD_ISPENDR + word, 1 << (CHANNEL_INTID % 32));
}

/// The redistributor of this PE, found by its affinity.
fn redistributor() -> usize {
    let mpidr = read_sysreg!("mpidr_el1");
    let affinity = (mpidr & 0xFF_FFFF) | (mpidr >> 32 & 0xFF) << 24;
    let mut frame = GICR;
    loop {
        let typer =
            u64::from(read(frame + GICR_TYPER)) | u64::from(read(frame + GICR_TYPER + 4)) << 32;
        if typer >> 32 == affinity {
            return frame;
        }
        assert!(typer & TYPER_LAST == 0, "this PE has no GIC redistributor");
        frame += GICR_STRIDE;
    }
}

/// Sets up the redistributor and the CPU interface of this PE. EL3's interrupts stay as they are if they were set up before.
pub(super) fn set_up_pe() {
    let frame = redistributor();
    write(frame + GICR_WAKER, read(frame + GICR_WAKER) & !WAKER_SLEEP);
    wait_while(frame + GICR_WAKER, WAKER_ASLEEP);
    write(frame + GICR_ICENABLER0, !(1 << CALL));
    wait_while(frame + GICR_CTLR, GICR_CTLR_RWP);
    let private = frame + GICR_SGI;
    write(private + GICD_IGROUPR, !(1 << CALL));
    write(private + GICD_IGRPMODR, 0);
    write(private + GICD_NSACR, 0);
    for n in 0..8 {
        let own = (n == CALL / 4).then_some(0xFF << (CALL % 4 * 8));
        let priorities = PRIORITIES & !own.unwrap_or(0);
        write(private + GICD_IPRIORITYR + 4 * n as usize, priorities);
    }
    write(private + GICD_ISENABLER, 1 << CALL);
    let scr = read_sysreg!("scr_el3");
    let sre_el3 = read_sysreg!("s3_6_c12_c12_5");
    // SAFETY: registers of the interrupt controller's CPU interface; no interrupt is taken at EL3 itself. SCR_EL3.NS selects
    // which of the banked registers is meant, and FIQ lets EL3's interrupts end a wait; EL3 itself is not affected by them.
    unsafe {
        write_sysreg!("s3_6_c12_c12_5", sre_el3 | 0xF); // ICC_SRE_EL3
        isb();
        write_sysreg!("s3_0_c12_c12_5", SRE_EL1); // ICC_SRE_EL1, Secure
        write_sysreg!("scr_el3", scr | SCR_NS);
        isb();
        write_sysreg!("s3_4_c12_c9_5", 0xFu64); // ICC_SRE_EL2
        write_sysreg!("s3_0_c12_c12_5", SRE_EL1); // ICC_SRE_EL1, Non-secure
        isb();
        write_sysreg!("scr_el3", scr | SCR_FIQ);
        isb();
        write_sysreg!("s3_6_c12_c12_4", 0u64); // ICC_CTLR_EL3
        write_sysreg!("s3_0_c12_c8_3", 0u64); // ICC_BPR0_EL1
        write_sysreg!("s3_6_c12_c12_7", 0u64); // ICC_IGRPEN1_EL3
        write_sysreg!("s3_0_c4_c6_0", 0xFFu64); // ICC_PMR_EL1
        write_sysreg!("s3_0_c12_c12_6", 1u64); // ICC_IGRPEN0_EL1
        isb();
    }
}

/// Takes this PE, which is turned off, out of the distribution of interrupts, but for EL3's. What the normal world has left
/// in its virtual interrupts does not keep the PE awake either.
pub(super) fn leave() {
    // SAFETY: as in `set_up_pe`; the registers of EL2 are written again before it runs.
    unsafe {
        write_sysreg!("s3_6_c12_c12_7", 0u64); // ICC_IGRPEN1_EL3
        write_sysreg!("s3_4_c12_c11_0", 0u64); // ICH_HCR_EL2
        write_sysreg!("hcr_el2", 0u64);
    }
    isb();
}

/// Makes [`CALL`] pending on the PE with this linear index, after everything that this PE has stored.
pub(super) fn call(index: u64) {
    let (aff1, aff0) = affinity_of(index);
    let target = aff1 << 16 | 1 << aff0;
    dsb_sy();
    // SAFETY: makes an interrupt pending elsewhere.
    unsafe { write_sysreg!("s3_0_c12_c11_7", target | u64::from(CALL) << 24) }; // ICC_SGI0R_EL1
    isb();
}

/// Takes the interrupt of EL3 that is signalled to this PE, if any. What its sender stored is seen from then on.
pub(super) fn acknowledge() -> Option<u32> {
    let intid = read_sysreg!("s3_0_c12_c8_0") as u32 & 0xFF_FFFF; // ICC_IAR0_EL1
    dsb_sy();
    (intid < SPECIAL).then_some(intid)
}

/// Ends the handling of an interrupt that was taken.
pub(super) fn end(intid: u32) {
    // SAFETY: concerns only the interrupt that this PE has acknowledged.
    unsafe { write_sysreg!("s3_0_c12_c8_1", u64::from(intid)) }; // ICC_EOIR0_EL1
    isb();
}
