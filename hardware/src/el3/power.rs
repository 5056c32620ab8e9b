//! Turning PEs and the machine on and off.

use super::layout::{MAX_PES, SECURE_GPIO};
use super::{gic, interrupt};
use crate::common::per_pe::{Padded, PerPe};
use crate::common::{barrier, device, memory};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Not zero once the primary PE has built what the others go on with. They read it without a cache, and believe it only if the
/// distributor is set up too: it may be left from before a reset.
#[unsafe(no_mangle)]
static EL3_BUILT: Padded<AtomicU64> = Padded(AtomicU64::new(0));

/// For each PE whether it is to be on.
static WANTED: PerPe<AtomicBool, MAX_PES> =
    PerPe::new([const { Padded(AtomicBool::new(false)) }; MAX_PES]);

/// Lets the other PEs go on from their first instructions. Translation, protection table and distributor are set up.
pub(super) fn admit_secondaries() {
    EL3_BUILT.0.store(1, Ordering::Release);
    memory::clean_and_invalidate(&raw const EL3_BUILT as usize, size_of::<u64>());
    barrier::sev();
}

/// Turns on a PE that is off, or is on its way there.
pub(super) fn wake(pe: usize) {
    WANTED.of(pe).store(true, Ordering::Release);
    gic::call(pe as u64);
}

/// Waits, as PE `pe` and off, until it is to be on.
///
/// It sleeps, and serves EL3's interrupts. None is taken before it looks whether it is wanted, and who wants it says so before
/// the call: a call that comes after the look ends the sleep that follows, at once if need be.
pub(super) fn sleep_until_on(pe: usize) {
    loop {
        interrupt::serve();
        if WANTED.of(pe).swap(false, Ordering::Acquire) {
            return;
        }
        barrier::dsb_sy();
        barrier::wfi();
    }
}

/// Pins of the secure GPIO.
const PIN_POWER_OFF: u32 = 0;
const PIN_RESET: u32 = 1;
/// GPIODIR of a PL061.
const DIRECTION: usize = 0x400;

/// Turns the machine off.
pub(super) fn system_off() -> ! {
    raise(PIN_POWER_OFF)
}

/// Resets the machine: every PE starts again at its first instruction.
pub(super) fn system_reset() -> ! {
    raise(PIN_RESET)
}

/// Produces a rising edge on a pin of the secure GPIO.
fn raise(pin: u32) -> ! {
    let mask = 1u32 << pin;
    let data = SECURE_GPIO + ((mask as usize) << 2);
    for (address, value) in [(SECURE_GPIO + DIRECTION, mask), (data, 0), (data, mask)] {
        // SAFETY: registers of the PL061, mapped as device memory; they do not reach memory.
        unsafe { device::store_32(address, value) };
        barrier::dsb_sy();
    }
    barrier::halt()
}
