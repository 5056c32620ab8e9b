//! The granule table: two bytes per granule, and the only way to lock one.

use core::sync::atomic::AtomicU16;

use super::guard::{Locked, State};
use super::{Banks, GranuleState};
use crate::platform::Platform;

/// Operations on the 16 bits of one granule: bit 15 lock, bits 14:11 state, bits 10:0 count.
pub(super) mod word {
    use core::sync::atomic::AtomicU16;
    use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

    use super::GranuleState;

    const LOCK: u16 = 1 << 15;
    const STATE_SHIFT: u32 = 11;
    const COUNT: u16 = (1 << STATE_SHIFT) - 1;

    /// Tries to take the lock. On success, the value as it was.
    #[inline]
    pub(in crate::granule) fn try_lock(word: &AtomicU16) -> Option<u16> {
        let old = word.fetch_or(LOCK, Acquire);
        (old & LOCK == 0).then_some(old)
    }

    #[inline]
    pub(in crate::granule) fn is_locked(word: &AtomicU16) -> bool {
        word.load(Relaxed) & LOCK != 0
    }

    /// Gives the lock back. A read-modify-write because counts change without the lock too.
    #[inline]
    pub(in crate::granule) fn unlock(word: &AtomicU16) {
        word.fetch_and(!LOCK, Release);
    }

    #[inline]
    pub(in crate::granule) const fn has_state(value: u16, state: GranuleState) -> bool {
        (value & !LOCK) >> STATE_SHIFT == state as u16
    }

    /// The state in a value. `None` cannot happen: only states are ever stored.
    #[inline]
    pub(in crate::granule) const fn state(value: u16) -> Option<GranuleState> {
        Some(match (value & !LOCK) >> STATE_SHIFT {
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
    pub(in crate::granule) fn set_state(word: &AtomicU16, state: GranuleState) {
        word.store(LOCK | (state as u16) << STATE_SHIFT, Relaxed);
    }

    #[inline]
    pub(in crate::granule) fn count(word: &AtomicU16) -> u16 {
        word.load(Acquire) & COUNT
    }

    #[inline]
    pub(in crate::granule) fn add(word: &AtomicU16, n: u16) {
        let old = word.fetch_add(n, Relaxed);
        assert!((old & COUNT) + n <= COUNT, "granule count overflows");
    }

    /// Releases what the caller did to the granule to whoever sees the count gone.
    #[inline]
    pub(in crate::granule) fn subtract(word: &AtomicU16, n: u16) {
        let old = word.fetch_sub(n, Release);
        assert!(old & COUNT >= n, "granule count underflows");
    }
}

/// Why a granule could not be locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The address is not granule aligned.
    Unaligned,
    /// The address is not delegable memory.
    OutOfBounds,
    /// The granule is not in the expected state.
    WrongState,
}

/// The granules of the machine. The words themselves are the platform's
/// ([`Platform::granule_states`]); this is the map from addresses to them.
#[derive(Debug)]
pub struct GranuleTable {
    banks: Banks,
}

impl GranuleTable {
    /// A table for these banks.
    #[must_use]
    pub const fn new(banks: Banks) -> Self {
        Self { banks }
    }

    /// The delegable memory.
    #[must_use]
    pub const fn banks(&self) -> &Banks {
        &self.banks
    }

    #[inline]
    fn word<'t>(&self, platform: &'t impl Platform, address: u64) -> Option<&'t AtomicU16> {
        platform.granule_states().get(self.banks.index(address)?)
    }

    /// The state of a granule right now, without its lock: for traces and for tests. `None` if it is not delegable.
    #[must_use]
    pub fn state(&self, platform: &impl Platform, address: u64) -> Option<GranuleState> {
        word::state(
            self.word(platform, address)?
                .load(core::sync::atomic::Ordering::Relaxed),
        )
    }

    /// The count of a granule right now, without its lock.
    #[must_use]
    pub fn count(&self, platform: &impl Platform, address: u64) -> Option<u16> {
        Some(word::count(self.word(platform, address)?))
    }

    /// Waits for the lock of the granule at `address` and keeps it if the granule is in state `S`.
    ///
    /// # Errors
    /// [`Refused`], with the granule not locked.
    #[inline]
    pub fn lock<'t, S: State>(
        &self,
        platform: &'t impl Platform,
        address: u64,
    ) -> Result<Locked<'t, S>, Refused> {
        if !super::is_aligned(address) {
            return Err(Refused::Unaligned);
        }
        let word = self.word(platform, address).ok_or(Refused::OutOfBounds)?;
        loop {
            if let Some(value) = word::try_lock(word) {
                if word::has_state(value, S::STATE) {
                    return Ok(Locked::new(word, address));
                }
                word::unlock(word);
                return Err(Refused::WrongState);
            }
            while word::is_locked(word) {
                platform.pause();
            }
        }
    }

    /// Locks a granule whose state is known because something that holds a pointer to it is locked or counted.
    ///
    /// # Panics
    /// If the granule is not in state `S`: the pointer was wrong, which is a bug of this program.
    #[inline]
    pub fn lock_owned<'t, S: State>(
        &self,
        platform: &'t impl Platform,
        address: u64,
    ) -> Locked<'t, S> {
        match self.lock(platform, address) {
            Ok(locked) => locked,
            Err(refused) => panic!(
                "granule {address:#x} is not in state {}: {refused:?}",
                S::STATE.name()
            ),
        }
    }

    /// Locks two granules that the host named, in ascending address order, whatever the order of the operands.
    ///
    /// The two results are in operand order. If both addresses are equal, the granule can be in one state only: if
    /// it fits `A`, then `B` is refused (for two different states; `A` and `B` must differ or the addresses must).
    #[inline]
    pub fn lock_pair<'t, A: State, B: State>(
        &self,
        platform: &'t impl Platform,
        a: u64,
        b: u64,
    ) -> (
        Result<Locked<'t, A>, Refused>,
        Result<Locked<'t, B>, Refused>,
    ) {
        debug_assert!(
            a != b || A::STATE != B::STATE,
            "a granule cannot be locked twice"
        );
        if a <= b {
            let first = self.lock(platform, a);
            if a == b && first.is_ok() {
                return (first, Err(Refused::WrongState));
            }
            let second = self.lock(platform, b);
            (first, second)
        } else {
            let second = self.lock(platform, b);
            (self.lock(platform, a), second)
        }
    }

    /// Adds to the count of a granule that something keeps in its state, without its lock.
    ///
    /// # Panics
    /// If the address is no granule or the count overflows.
    #[inline]
    pub fn add(&self, platform: &impl Platform, address: u64, n: u16) {
        word::add(self.known(platform, address), n);
    }

    /// Subtracts from the count of a granule that something keeps in its state, without its lock.
    ///
    /// # Panics
    /// If the address is no granule or the count underflows.
    #[inline]
    pub fn subtract(&self, platform: &impl Platform, address: u64, n: u16) {
        word::subtract(self.known(platform, address), n);
    }

    #[inline]
    fn known<'t>(&self, platform: &'t impl Platform, address: u64) -> &'t AtomicU16 {
        match self.word(platform, address) {
            Some(word) => word,
            None => panic!("no granule at {address:#x}"),
        }
    }
}
