//! The PE that the hypervisor's loop runs on.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use realm_vmm::HostPe;

use super::entry::MAX_PES;
use super::gic::{self, Gic, KICK, OF_REALMS, TIMER};
use crate::common::barrier;
use crate::{read_sysreg, write_sysreg};

/// `CNTHP_CTL_EL2.ENABLE`.
const ENABLE: u64 = 1;

/// An affinity that no PE has.
const UNKNOWN: u64 = u64::MAX;
/// The affinities of PEs that take interrupts.
static AFFINITIES: [AtomicU64; MAX_PES] = [const { AtomicU64::new(UNKNOWN) }; MAX_PES];

/// A device has interrupted: that of the control channel, as there is no other.
static DEVICE: AtomicBool = AtomicBool::new(false);

/// Whether a device has interrupted.
pub(super) fn device_interrupt() -> bool {
    DEVICE.load(Ordering::Acquire)
}

/// The device is about to be looked after.
pub(super) fn device_interrupt_taken() {
    DEVICE.store(false, Ordering::Release);
}

/// One PE, of use only on itself.
#[derive(Debug)]
pub struct Pe {
    index: usize,
    /// Not for other PEs: all it does concerns the one that it was made on.
    here: PhantomData<*const ()>,
}

impl Pe {
    /// Prepares this PE for the hypervisor's interrupts. `None` if the controller has nothing for it.
    pub fn start(gic: &Gic, index: usize) -> Option<Self> {
        set_timer(0, 0);
        let pe = gic.enable_pe().then_some(Self {
            index,
            here: PhantomData,
        })?;
        if let Some(own) = AFFINITIES.get(index) {
            own.store(affinity(), Ordering::Release);
        }
        Some(pe)
    }
}

/// The affinity of this PE: `MPIDR_EL1` without its other bits, as a device tree has it.
pub fn affinity() -> u64 {
    read_sysreg!("mpidr_el1") & 0xFF_00FF_FFFF
}

/// Sets the EL2 physical timer.
fn set_timer(deadline: u64, control: u64) {
    // SAFETY: the timer can only raise its interrupt, which stays masked.
    unsafe {
        write_sysreg!("cnthp_cval_el2", deadline);
        write_sysreg!("cnthp_ctl_el2", control);
    }
    barrier::isb();
}

impl HostPe for Pe {
    fn index(&self) -> usize {
        self.index
    }

    fn counter(&self) -> u64 {
        barrier::isb();
        read_sysreg!("cntpct_el0")
    }

    fn frequency(&self) -> u64 {
        read_sysreg!("cntfrq_el0")
    }

    fn arm_slice(&mut self, deadline: u64) {
        set_timer(deadline, ENABLE);
    }

    fn disarm_slice(&mut self) {
        set_timer(0, 0);
    }

    fn acknowledge_interrupts(&mut self) {
        while let Some(intid) = gic::acknowledge() {
            match intid {
                TIMER => set_timer(0, 0),
                KICK => {}
                of_realms if OF_REALMS.contains(&of_realms) => {}
                // An edge: nobody has to look after the device first.
                _ => DEVICE.store(true, Ordering::Release),
            }
            gic::end(intid);
        }
    }

    fn wait(&mut self, deadline: Option<u64>) {
        if let Some(deadline) = deadline {
            set_timer(deadline, ENABLE);
        }
        barrier::dsb_sy();
        barrier::wfi();
        if deadline.is_some() {
            set_timer(0, 0);
        }
    }

    fn kick(&mut self, index: usize) {
        let Some(affinity) = AFFINITIES.get(index) else {
            return;
        };
        let affinity = affinity.load(Ordering::Acquire);
        if index != self.index && affinity != UNKNOWN {
            gic::kick(affinity);
        }
    }

    fn kick_others(&mut self) {
        gic::kick_others();
    }
}
