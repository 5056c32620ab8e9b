//! The 16 bits of one granule: bit 15 lock, bits 14:11 state, bits 10:0 count.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::GranuleState;
use crate::atomic::AtomicWord;

const LOCK: u16 = 1 << 15;
const STATE_SHIFT: u32 = 11;
const COUNT: u16 = (1 << STATE_SHIFT) - 1;

/// Waits for the lock, calling `pause` in every turn, and keeps it if the granule is in `state`. Whether it does.
#[inline]
pub fn lock_in(
    word: &impl AtomicWord<Value = u16>,
    expected: GranuleState,
    mut pause: impl FnMut(),
) -> bool {
    loop {
        let old = word.fetch_or(LOCK, Acquire);
        if old & LOCK == 0 {
            if old >> STATE_SHIFT == expected as u16 {
                return true;
            }
            unlock(word);
            return false;
        }
        while word.load(Relaxed) & LOCK != 0 {
            pause();
        }
    }
}

/// Gives the lock back. A read-modify-write because counts change without the lock too.
#[inline]
pub fn unlock(word: &impl AtomicWord<Value = u16>) {
    word.fetch_and(!LOCK, Release);
}

/// The state, whoever holds the lock. `None` cannot happen: only states are ever stored.
#[inline]
pub fn state(word: &impl AtomicWord<Value = u16>) -> Option<GranuleState> {
    Some(match (word.load(Relaxed) & !LOCK) >> STATE_SHIFT {
        0 => GranuleState::Undelegated,
        1 => GranuleState::Delegated,
        2 => GranuleState::Rd,
        3 => GranuleState::Rec,
        4 => GranuleState::RecAux,
        5 => GranuleState::Data,
        6 => GranuleState::Rtt,
        _ => return None,
    })
}

/// Sets the state of a locked granule and its count to zero. Nobody counts on a granule that changes state.
#[inline]
pub fn set_state(word: &impl AtomicWord<Value = u16>, state: GranuleState) {
    word.store(LOCK | (state as u16) << STATE_SHIFT, Relaxed);
}

/// The count. Whoever sees the end of a use also sees what the user did to the granule.
#[inline]
pub fn count(word: &impl AtomicWord<Value = u16>) -> u16 {
    word.load(Acquire) & COUNT
}

/// Adds to the count.
///
/// # Panics
/// If it overflows.
#[inline]
pub fn add(word: &impl AtomicWord<Value = u16>, n: u16) {
    let old = word.fetch_add(n, Relaxed);
    assert!((old & COUNT) + n <= COUNT, "granule count overflows");
}

/// Subtracts from the count, and releases what the caller did to the granule to whoever sees the count gone.
///
/// # Panics
/// If it underflows.
#[inline]
pub fn subtract(word: &impl AtomicWord<Value = u16>, n: u16) {
    let old = word.fetch_sub(n, Release);
    assert!(old & COUNT >= n, "granule count underflows");
}
