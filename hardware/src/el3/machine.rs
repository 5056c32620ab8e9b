//! The machine as the root monitor's decisions see it.

use super::layout::RMM;
use super::{bell, job, power, protection, remains};
use aarch64_formats::gpt::AddressSpace;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use core::sync::atomic::AtomicU64;
use root_monitor::attestation::{Signed, Signing};
use root_monitor::{Platform, RootMonitor};
use spin::once::Once;

/// The hardware below EL3.
#[derive(Clone, Copy, Debug)]
pub struct Hardware;

impl Platform for Hardware {
    #[inline]
    fn clean_to_aliasing_point(&self, alias: AddressSpace, address: u64) {
        protection::clean_granule(alias, address);
    }

    #[inline]
    fn invalidate_protection(&self, address: u64) {
        protection::invalidate_granule(address);
    }

    #[inline]
    fn note_delegation(&self) {
        remains::mark();
    }

    fn wake(&self, pe: usize) {
        power::wake(pe);
    }

    fn ring(&self) {
        bell::ring();
    }

    fn shared_buffer(&self) -> &[AtomicU64; GRANULE_WORDS] {
        let page = (RMM.end() - GRANULE_SIZE) as *const [AtomicU64; GRANULE_WORDS];
        // SAFETY: mapped for good in the Realm physical address space. The RMM owns the page and reaches it by atomic
        // accesses, like this program; any bit pattern is a value.
        unsafe { &*page }
    }

    fn start_signing(&self, signing: Signing) -> Option<Signed> {
        job::start(signing)
    }

    fn resume_signing(&self) -> Option<Signed> {
        job::resume()
    }
}

/// The root monitor, from the moment at which the primary PE has built it.
pub(super) static MONITOR: Once<RootMonitor<'static, Hardware>> = Once::new();

/// The root monitor.
///
/// # Panics
///
/// Before the primary PE has built it.
#[inline]
pub(super) fn monitor() -> &'static RootMonitor<'static, Hardware> {
    match MONITOR.get() {
        Some(monitor) => monitor,
        None => panic!("a PE runs before the root monitor is built"),
    }
}
