//! The granule table: two bytes per granule, and the only way to lock one.

use core::sync::atomic::AtomicU16;

use super::guard::{Locked, State};
use super::{Banks, GranuleState, word};
use crate::platform::Platform;

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
        word::state(self.word(platform, address)?)
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
        if word::lock_in(word, S::STATE, || platform.pause()) {
            Ok(Locked::new(word, address))
        } else {
            Err(Refused::WrongState)
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
