//! Barriers and hints: instructions without an operand, all of them safe to execute anywhere.

macro_rules! instruction {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        #[cfg(target_os = "none")]
        #[inline(always)]
        pub fn $name() {
            // SAFETY: a barrier or hint changes no register and no memory; as it is not marked `nomem`, the compiler
            // keeps its place among memory accesses too.
            unsafe { core::arch::asm!($text, options(nostack, preserves_flags)) }
        }

        $(#[$doc])*
        #[cfg(not(target_os = "none"))]
        #[track_caller]
        pub fn $name() {
            let place = core::panic::Location::caller();
            crate::common::fake::instruction($text, (place.file(), place.line()));
        }
    };
}

instruction!(
    /// Makes every earlier change of context (system registers, completed TLB maintenance) visible to what follows.
    isb, "isb"
);
instruction!(
    /// Completes every earlier access and maintenance operation, full system.
    dsb_sy, "dsb sy"
);
instruction!(
    /// Completes every earlier access and maintenance operation, inner shareable domain.
    dsb_ish, "dsb ish"
);
instruction!(
    /// Completes every earlier store, inner shareable domain: page table writes before they are walked.
    dsb_ishst, "dsb ishst"
);
instruction!(
    /// Completes every earlier access and maintenance operation, outer shareable domain.
    dsb_osh, "dsb osh"
);
instruction!(
    /// Completes every earlier store, outer shareable domain.
    dsb_oshst, "dsb oshst"
);
instruction!(
    /// Completes every earlier access and maintenance operation of this PE, non-shareable.
    dsb_nsh, "dsb nsh"
);
instruction!(
    /// Orders earlier accesses before later ones, full system.
    dmb_sy, "dmb sy"
);
instruction!(
    /// Waits until errors of earlier accesses are known as SError interrupts, and defers one that is pending and masked to
    /// DISR_EL1. Does nothing without FEAT_RAS.
    esb, "hint #16"
);
instruction!(
    /// Waits for an event.
    wfe, "wfe"
);
instruction!(
    /// Waits for an interrupt.
    wfi, "wfi"
);
instruction!(
    /// Sends an event to all PEs.
    sev, "sev"
);

/// Stops this PE for good.
pub fn halt() -> ! {
    loop {
        wfi();
    }
}
