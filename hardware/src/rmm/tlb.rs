//! Invalidation of what the PEs cache of a realm's translations.
//!
//! The stage 2 instructions work on the VMID in VTTBR_EL2, so the realm's VMID is put there for their duration. An entry
//! that combines stage 1 with stage 2 is not found by its intermediate physical address: after stage 2 by address, all
//! of stage 1 of the VMID goes. That instruction means the RMM's own regime while HCR_EL2.TGE is set, so TGE is off for
//! it; the RMM runs at EL2 with interrupts masked (but for jobs, which invalidate nothing), where TGE changes nothing else.

use crate::common::assembly::operation;
use crate::common::barrier::{dsb_ish, dsb_ishst, isb};
use crate::rmm::entry::HCR_MONITOR;
use crate::{read_sysreg, write_sysreg};
use realm_monitor::platform::TlbScope;

const TGE: u64 = 1 << 27;

/// From how many pages on a range is not worth a loop.
const WHOLE_VMID_FROM: u64 = 64;

/// Runs `invalidate` with `vmid` in VTTBR_EL2, after earlier descriptor stores are visible to the table walkers.
fn with_vmid(vmid: u16, invalidate: impl FnOnce()) {
    // A realm may still be loaded: its stage 2 must be off before the VMID is another one's.
    let (hcr, vttbr) = (read_sysreg!("hcr_el2"), read_sysreg!("vttbr_el2"));
    dsb_ishst();
    // SAFETY: neither register affects what EL2 itself sees; with VM = 0 only TLB instructions look at the VMID.
    unsafe {
        write_sysreg!("hcr_el2", HCR_MONITOR);
        isb();
        write_sysreg!("vttbr_el2", u64::from(vmid) << 48);
        isb();
    }
    invalidate();
    // SAFETY: as above.
    unsafe {
        write_sysreg!("vttbr_el2", vttbr);
        isb();
        write_sysreg!("hcr_el2", hcr);
        isb();
    }
}

/// Stage 2 entries of one address, last level only or with the table descriptors on the way.
fn stage_2(ipa: u64, last_level: bool) {
    let operand = (ipa >> 12) & 0xFF_FFFF_FFFF;
    // SAFETY: dropping cached translations of another regime does not change what this program sees.
    unsafe {
        if last_level {
            operation!("tlbi ipas2le1is", operand);
        } else {
            operation!("tlbi ipas2e1is", operand);
        }
    }
}

/// All stage 1 and combined entries of the VMID.
fn stage_1() {
    // SAFETY: see the module's documentation.
    unsafe {
        write_sysreg!("hcr_el2", HCR_MONITOR & !TGE);
        isb();
        operation!("tlbi vmalle1is");
        dsb_ish();
        write_sysreg!("hcr_el2", HCR_MONITOR);
        isb();
    }
}

fn everything() {
    // SAFETY: as in `stage_2`.
    unsafe { operation!("tlbi vmalls12e1is") };
    dsb_ish();
}

/// Invalidates `scope` on all PEs and waits for it.
pub fn invalidate(scope: TlbScope) {
    match scope {
        TlbScope::Page { vmid, ipa } | TlbScope::Block { vmid, ipa, .. } => with_vmid(vmid, || {
            stage_2(ipa, true);
            dsb_ish();
            stage_1();
        }),
        TlbScope::Table { vmid, ipa } => with_vmid(vmid, || {
            stage_2(ipa, false);
            dsb_ish();
        }),
        TlbScope::Range { vmid, ipa, size } => with_vmid(vmid, || {
            let pages = size / 4096;
            if pages > WHOLE_VMID_FROM {
                everything();
            } else {
                for page in 0..pages {
                    stage_2(ipa + page * 4096, false);
                }
                dsb_ish();
                stage_1();
            }
        }),
        TlbScope::Vmid(vmid) => with_vmid(vmid, everything),
    }
}
