//! The GICv3 as the normal world sees it: what the hypervisor needs for the interrupts of each PE and those
//! of devices.

use super::translation;
use crate::common::{barrier, device};
use crate::{read_sysreg, write_sysreg};

/// INTID of the interrupt by which PEs of the hypervisor call each other.
pub(super) const KICK: u32 = 0;
/// INTIDs of the interrupts of a realm's EL1 (Arm Base System Architecture): its PMU, its list registers that want attention, its
/// virtual and its physical timer. They are levels that are high only while the realm runs, so they make the realm leave and are
/// gone then.
pub(super) const OF_REALMS: [u32; 4] = [23, 25, 27, 30];
/// INTID of the non-secure EL2 physical timer (Arm Base System Architecture).
pub(super) const TIMER: u32 = 26;
/// From here on an INTID means that there is no interrupt.
const SPECIAL: u32 = 1020;

/// Distributor and redistributor registers (GIC architecture, IHI 0069).
const GICD_CTLR: u64 = 0x0;
const GICD_ARE_NS: u32 = 1 << 4;
const GICD_ENABLE_GROUP_1: u32 = 1 << 1;
const GICD_TYPER: u64 = 0x4;
const GICD_TYPER_LPIS: u32 = 1 << 17;
const GICD_RWP: u32 = 1 << 31;
const GICR_TYPER: u64 = 0x8;
const GICR_TYPER_LAST: u64 = 1 << 4;
const GICR_TYPER_VLPIS: u64 = 1 << 1;
const GICR_WAKER: u64 = 0x14;
const GICR_WAKER_SLEEP: u32 = 1 << 1;
const GICR_WAKER_ASLEEP: u32 = 1 << 2;
const SGI_FRAME: u64 = 0x1_0000;
const IGROUPR0: u64 = 0x80;
const ISENABLER0: u64 = 0x100;
const ICENABLER0: u64 = 0x180;
const IPRIORITYR: u64 = 0x400;
const GICD_ICFGR: u64 = 0xC00;
const GICD_IROUTER: u64 = 0x6000;
/// The first interrupt of a device, and the first after the last.
const SHARED: core::ops::Range<u32> = 32..1020;
/// GICR_CTLR.RWP, in the first register.
const GICR_RWP: u32 = 1 << 3;
/// Bytes of a redistributor's frames.
const FRAMES: u64 = 0x2_0000;
/// Priority of all of them, in the half that the normal world has.
const PRIORITY: u8 = 0xA0;

/// The interrupt controller.
#[derive(Clone, Debug)]
pub struct Gic {
    distributor: u64,
    redistributors: (u64, u64),
}

impl Gic {
    /// The controller with its distributor at `distributor` and redistributors in `size` bytes from `redistributors`
    /// on. `None` if that is not where the machine has its devices.
    pub fn new(distributor: u64, redistributors: u64, size: u64) -> Option<Self> {
        let inside = |base: u64, size: u64| {
            let end = base.checked_add(size)?;
            (translation::DEVICES.contains(&base) && end <= translation::DEVICES.end)
                .then_some((base, end))
        };
        inside(distributor, 0x1_0000)?;
        Some(Self {
            distributor,
            redistributors: inside(redistributors, size)?,
        })
    }

    /// Whether the controller has interrupts whose tables are in memory (LPIs).
    pub(super) fn has_lpis(&self) -> bool {
        self.read(self.distributor + GICD_TYPER) & GICD_TYPER_LPIS != 0
    }

    /// Turns the distributor on for the normal world.
    pub fn enable(&self) {
        let wait = || while self.read(self.distributor + GICD_CTLR) & GICD_RWP != 0 {};
        // Affinity routing first; without it the enable bit is another one.
        let control = self.read(self.distributor + GICD_CTLR) | GICD_ARE_NS;
        self.write(self.distributor + GICD_CTLR, control);
        wait();
        self.write(self.distributor + GICD_CTLR, control | GICD_ENABLE_GROUP_1);
        wait();
    }

    /// Lets the interrupt of a device, an edge, reach this PE. Without effect for a number that no device has.
    pub(super) fn enable_shared(&self, intid: u32) {
        if !SHARED.contains(&intid) {
            return;
        }
        let number = u64::from(intid);
        self.write_byte(self.distributor + IPRIORITYR + number, PRIORITY);
        let (trigger, bit) = (number / 16 * 4, 1 << (number % 16 * 2 + 1));
        let triggers = self.read(self.distributor + GICD_ICFGR + trigger);
        self.write(self.distributor + GICD_ICFGR + trigger, triggers | bit);
        let route = self.distributor + GICD_IROUTER + 8 * number;
        let affinity = super::affinity();
        self.write(route, affinity as u32);
        self.write(route + 4, (affinity >> 32) as u32);
        self.write(
            self.distributor + ISENABLER0 + number / 32 * 4,
            1 << (intid % 32),
        );
    }

    /// Lets the hypervisor's interrupts reach this PE. `false` if there is no redistributor for it.
    pub(super) fn enable_pe(&self) -> bool {
        let Some(frame) = self.redistributor() else {
            return false;
        };
        // Without effect where only the secure world may do it, which then has done it.
        self.write(
            frame + GICR_WAKER,
            self.read(frame + GICR_WAKER) & !GICR_WAKER_SLEEP,
        );
        while self.read(frame + GICR_WAKER) & GICR_WAKER_ASLEEP != 0 {}
        let private = frame + SGI_FRAME;
        self.write(private + IGROUPR0, u32::MAX);
        let mut enabled = 0;
        for intid in OF_REALMS.into_iter().chain([KICK, TIMER]) {
            self.write_byte(private + IPRIORITYR + u64::from(intid), PRIORITY);
            enabled |= 1 << intid;
        }
        self.write(private + ISENABLER0, enabled);

        let system_registers = read_sysreg!("s3_4_c12_c9_5") | 0xF; // ICC_SRE_EL2
        // SAFETY: lets the CPU interface signal group 1 interrupts of any priority, with one write for priority drop
        // and deactivation. They are masked in PSTATE for as long as this program runs.
        unsafe {
            write_sysreg!("s3_4_c12_c9_5", system_registers);
            barrier::isb();
            write_sysreg!("s3_0_c4_c6_0", 0xFF); // ICC_PMR_EL1
            write_sysreg!("s3_0_c12_c12_4", 0); // ICC_CTLR_EL1
            write_sysreg!("s3_0_c12_c12_3", 0); // ICC_BPR1_EL1
            write_sysreg!("s3_0_c12_c12_7", 1); // ICC_IGRPEN1_EL1
        }
        barrier::isb();
        true
    }

    /// Lets a private interrupt, INTID 16 to 31, reach this PE, or no more.
    pub fn set_private(&self, intid: u32, enabled: bool) {
        if let Some(frame) = self.redistributor() {
            let private = frame + SGI_FRAME;
            let bit = 1 << (intid % 32);
            if enabled {
                self.write_byte(private + IPRIORITYR + u64::from(intid % 32), PRIORITY);
                self.write(private + ISENABLER0, bit);
            } else {
                self.write(private + ICENABLER0, bit);
                while self.read(frame) & GICR_RWP != 0 {}
            }
        }
    }

    /// The first frame of this PE's redistributor.
    fn redistributor(&self) -> Option<u64> {
        let mpidr = read_sysreg!("mpidr_el1");
        let affinity = (mpidr >> 32 & 0xFF) << 24 | mpidr & 0xFF_FFFF;
        let (mut frame, end) = self.redistributors;
        while frame + FRAMES <= end {
            let low = u64::from(self.read(frame + GICR_TYPER));
            if u64::from(self.read(frame + GICR_TYPER + 4)) == affinity {
                return Some(frame);
            }
            if low & GICR_TYPER_LAST != 0 {
                return None;
            }
            frame += if low & GICR_TYPER_VLPIS != 0 {
                2 * FRAMES
            } else {
                FRAMES
            };
        }
        None
    }

    fn read(&self, address: u64) -> u32 {
        // SAFETY: the address is in a device that `new` has found to be mapped as one; a load there is no access to
        // memory.
        unsafe { device::load_32(address as usize) }
    }

    fn write(&self, address: u64, value: u32) {
        // SAFETY: as in `read`; none of the registers above makes the controller write to memory.
        unsafe { device::store_32(address as usize, value) }
    }

    fn write_byte(&self, address: u64, value: u8) {
        // SAFETY: as in `write`.
        unsafe { device::store_8(address as usize, value) }
    }
}

/// Takes the interrupt that is signalled to this PE, if any.
pub(super) fn acknowledge() -> Option<u32> {
    let intid = read_sysreg!("s3_0_c12_c12_0") as u32 & 0xFF_FFFF; // ICC_IAR1_EL1
    barrier::dsb_sy();
    (intid < SPECIAL).then_some(intid)
}

/// Ends the handling of an interrupt.
pub(super) fn end(intid: u32) {
    // SAFETY: concerns only the interrupt that this PE has acknowledged.
    unsafe { write_sysreg!("s3_0_c12_c12_1", u64::from(intid)) }; // ICC_EOIR1_EL1
    barrier::isb();
}

/// Makes [`KICK`] pending on all other PEs.
pub(super) fn kick_others() {
    const ALL_OTHERS: u64 = 1 << 40;
    send(ALL_OTHERS);
}

/// Makes [`KICK`] pending on the PE with this affinity, as `MPIDR_EL1` has it.
pub(super) fn kick(affinity: u64) {
    let [aff0, aff1, aff2, _, aff3, ..] = affinity.to_le_bytes();
    // Aff0 is a range of 16 PEs and a bit in it.
    let (range, target) = (u64::from(aff0 >> 4), 1 << (aff0 & 0xF));
    let above = u64::from(aff3) << 48 | u64::from(aff2) << 32 | u64::from(aff1) << 16;
    send(above | range << 44 | target);
}

/// Sends [`KICK`] to those targets, as ICC_SGI1R_EL1 has them.
fn send(targets: u64) {
    barrier::dsb_sy();
    // SAFETY: makes an interrupt pending elsewhere, which no PE of this program takes unasked.
    unsafe { write_sysreg!("s3_0_c12_c11_5", targets | u64::from(KICK) << 24) }; // ICC_SGI1R_EL1
    barrier::isb();
}
