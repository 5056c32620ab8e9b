//! What the root monitor needs from the machine.

use crate::attestation::{Signed, Signing};
use aarch64_formats::gpt::AddressSpace;
use cca_abi::GRANULE_WORDS;
use core::sync::atomic::AtomicU64;

/// The machine under the root monitor, shared by all PEs.
///
/// Implemented by `hardware` with instructions, and by the in-process machine with nothing much: a machine without
/// caches that checks the protection table on each access needs no maintenance.
pub trait Platform: Sync {
    /// Cleans and invalidates all cached data of the granule at `address` in the alias of one physical address space,
    /// up to the point of physical aliasing, for all PEs. Complete on return.
    fn clean_to_aliasing_point(&self, alias: AddressSpace, address: u64);

    /// Makes earlier stores to the protection table visible and invalidates what any PE has cached of the protection
    /// of the granule at `address`. Complete on return.
    fn invalidate_protection(&self, address: u64);

    /// Notes, where it survives a reset if memory does, that memory may hold what belongs to the Realm world. Called before a
    /// granule goes there. Complete on return.
    fn note_delegation(&self);

    /// Wakes the PE with linear index `pe` from where powered-off PEs wait. That PE then calls
    /// [`RootMonitor::power_up`](crate::RootMonitor::power_up). Everything stored before the call is visible to it.
    /// Is called once for each time that the PE is turned on, perhaps before it has reached its waiting place.
    fn wake(&self, pe: usize);

    /// Rings for whoever started the machine, if somebody is there. Does not wait for him.
    fn ring(&self);

    /// The page that the root monitor shares with the RMM, at the PA that
    /// [`RootMonitor::new`](crate::RootMonitor::new) got. Called only if there is one.
    fn shared_buffer(&self) -> &[AtomicU64; GRANULE_WORDS];

    /// Makes a signature, until it is done (then this gives it) or an interrupt of any world is pending on this PE. What is suspended
    /// is kept for [`Platform::resume_signing`]; what was kept before is forgotten. One PE at a time signs.
    ///
    /// A platform that nothing interrupts goes on to the end.
    fn start_signing(&self, signing: Signing) -> Option<Signed> {
        Some(signing.sign())
    }

    /// Goes on with the signature that was suspended last, by this PE or by another one.
    fn resume_signing(&self) -> Option<Signed> {
        unreachable!("nothing is suspended where nothing interrupts")
    }
}
