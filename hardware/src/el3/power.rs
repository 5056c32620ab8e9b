//! Turning PEs and the machine on and off.

use super::layout::{MAX_PES, SECURE_GPIO};
use crate::common::per_pe::Padded;
use crate::common::{barrier, device, memory};
use core::sync::atomic::{AtomicU64, Ordering};

/// One word for each PE on a cache line of its own; not zero wakes the PE.
#[unsafe(no_mangle)]
static EL3_WAKE: [Padded<AtomicU64>; MAX_PES] = [const { Padded(AtomicU64::new(0)) }; MAX_PES];

/// Wakes a PE that waits as powered off, or is on its way there. It reads the word without a cache.
pub(super) fn wake(pe: usize) {
    let word = &EL3_WAKE[pe].0;
    word.store(1, Ordering::Release);
    memory::clean_and_invalidate(word as *const AtomicU64 as usize, size_of::<u64>());
    barrier::sev();
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
    // Memory survives: no PE may find an old call to wake up.
    for word in &EL3_WAKE {
        word.0.store(0, Ordering::Relaxed);
        memory::clean_and_invalidate(&raw const word.0 as usize, size_of::<u64>());
    }
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
