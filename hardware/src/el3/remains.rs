//! What an earlier life of the machine may have left in memory, which survives a reset.
//!
//! From the first delegation on a mark stands in secure RAM, beside the granule protection table, which survives too. A boot
//! that finds the mark wipes every granule that the table gives to the Realm world, the RMM's own memory among them, before
//! anybody else runs. A boot without it does nothing. Memory that had come back from realms needs no wiping: the RMM has
//! done it.

use super::protection;
use crate::common::barrier::dsb_sy;
use cca_abi::{GRANULE_SIZE, GRANULE_WORDS};
use core::sync::atomic::{AtomicU64, Ordering};
use root_monitor::gpt::{Damaged, Gpt};

/// Secure RAM holds anything when the machine is switched on, but not this.
const MARKED: u64 = u64::from_le_bytes(*b"SUZREALM");
/// What was marked could not be wiped.
const REFUSED: u64 = u64::from_le_bytes(*b"SUZSTUCK");

#[cfg_attr(target_os = "none", unsafe(link_section = ".kept"))]
static MARK: AtomicU64 = AtomicU64::new(0);

/// Leaves the mark. Complete on return: memory here is written through.
#[inline]
pub(super) fn mark() {
    if MARK.load(Ordering::Relaxed) != MARKED {
        MARK.store(MARKED, Ordering::Relaxed);
        dsb_sy();
    }
}

/// Wipes what the Realm world had before a reset, if there is a mark, and takes the mark away: the number of granules.
///
/// Called once, on the primary PE, before the table is built anew, with MMU and granule protection check off.
///
/// # Errors
///
/// [`Damaged`], from now on at each boot: there is a mark and the table is none of this monitor's, so nobody knows what the
/// Realm world had. The machine has to be switched off and on.
pub(super) fn wipe() -> Result<u64, Damaged> {
    match MARK.load(Ordering::Relaxed) {
        MARKED => {}
        REFUSED => return Err(Damaged),
        _ => return Ok(0),
    }
    let (l1, l1_address) = protection::l1();
    let mut wiped = 0;
    let told = Gpt::left_behind(protection::SPACE, protection::l0(), l1, l1_address)
        .map_err(|_| Damaged)
        .and_then(|table| {
            table.for_each_realm_granule(|address| {
                wipe_granule(address);
                wiped += 1;
            })
        });
    dsb_sy();
    MARK.store(if told.is_ok() { 0 } else { REFUSED }, Ordering::Relaxed);
    dsb_sy();
    told.map(|()| wiped)
}

fn wipe_granule(address: u64) {
    let granule = core::ptr::with_exposed_provenance::<AtomicU64>(address as usize);
    for n in 0..GRANULE_WORDS {
        // SAFETY: memory of a world that does not run: what the protection table gave to the Realm world is DRAM, none of it
        // this program's. With the MMU off every address is reached.
        unsafe { &*granule.add(n) }.store(0, Ordering::Relaxed);
    }
}

const _: () = assert!(GRANULE_WORDS as u64 * 8 == GRANULE_SIZE);
