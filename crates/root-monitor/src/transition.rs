//! One granule changes worlds: a compare-and-swap on the descriptor that it shares with fifteen neighbours.

use crate::platform::Platform;
use aarch64_formats::gpt::{AddressSpace, Gpi, Granules};
use core::sync::atomic::{AtomicU64, Ordering};

/// Why a granule cannot change worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionError {
    /// The address is not a granule, lies outside the protected space, or in a span that is protected as a whole.
    BadAddress,
    /// The granule is not in the physical address space that the transition starts from.
    BadAddressSpace,
}

/// A level 1 descriptor in memory. The processor's atomic words are; a model checker brings its own. The operations
/// are those of [`core::sync::atomic`].
pub trait Descriptor {
    /// Loads the descriptor.
    fn load(&self, order: Ordering) -> u64;

    /// Replaces the descriptor if it is `current`, and may fail for no reason.
    ///
    /// # Errors
    ///
    /// What the descriptor is.
    fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64>;
}

impl Descriptor for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }

    #[inline(always)]
    fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.compare_exchange_weak(current, new, success, failure)
    }
}

/// Moves the granule at `address`, which `entry` describes, from the Non-secure to the Realm physical address space.
///
/// # Errors
///
/// [`TransitionError::BadAddressSpace`]; nothing has changed then.
#[inline]
pub fn delegate(
    entry: &impl Descriptor,
    platform: &impl Platform,
    address: u64,
) -> Result<(), TransitionError> {
    let slot = Granules::slot(address);
    if Granules(entry.load(Ordering::Relaxed)).get(slot) != Some(Gpi::NonSecure) {
        return Err(TransitionError::BadAddressSpace);
    }
    platform.note_delegation();
    // Lines of the Realm alias that speculation brought in while it was forbidden must not outlive the change.
    platform.clean_to_aliasing_point(AddressSpace::Realm, address);
    swap(entry, slot, Gpi::NonSecure, Gpi::Realm)?;
    platform.invalidate_protection(address);
    platform.clean_to_aliasing_point(AddressSpace::NonSecure, address);
    Ok(())
}

/// Moves the granule at `address`, which `entry` describes, from the Realm to the Non-secure physical address space.
///
/// # Errors
///
/// [`TransitionError::BadAddressSpace`]; nothing has changed then.
#[inline]
pub fn undelegate(
    entry: &impl Descriptor,
    platform: &impl Platform,
    address: u64,
) -> Result<(), TransitionError> {
    let slot = Granules::slot(address);
    // While nobody has access the caches are emptied of both aliases.
    swap(entry, slot, Gpi::Realm, Gpi::None)?;
    platform.invalidate_protection(address);
    platform.clean_to_aliasing_point(AddressSpace::Realm, address);
    platform.clean_to_aliasing_point(AddressSpace::NonSecure, address);
    swap(entry, slot, Gpi::None, Gpi::NonSecure)?;
    platform.invalidate_protection(address);
    Ok(())
}

/// Changes one granule of an entry from `from` to `to`, whatever happens to its neighbours meanwhile.
#[inline]
fn swap(entry: &impl Descriptor, slot: u32, from: Gpi, to: Gpi) -> Result<(), TransitionError> {
    let mut old = entry.load(Ordering::Relaxed);
    loop {
        if Granules(old).get(slot) != Some(from) {
            return Err(TransitionError::BadAddressSpace);
        }
        let new = Granules(old).with(slot, to).0;
        match entry.compare_exchange_weak(old, new, Ordering::AcqRel, Ordering::Relaxed) {
            Ok(_) => return Ok(()),
            Err(current) => old = current,
        }
    }
}
