//! The interrupts that EL3 keeps for itself: those of group 0.
//!
//! SCR_EL3.FIQ brings them to EL3 from every world. At EL3 they stay pending: a PE that is off asks for them itself.

use super::bell;
use super::gic::{self, BELL, CALL};

/// Serves every interrupt of EL3 that is signalled to this PE. There may be none.
///
/// # Panics
///
/// If it is one that was never enabled.
pub(super) fn serve() {
    while let Some(intid) = gic::acknowledge() {
        match intid {
            // Who is called looks at what the caller left. A PE that was on already has nothing to look at.
            CALL => {}
            BELL => {
                bell::take();
                gic::pend_channel();
            }
            other => panic!("interrupt {other} is not EL3's"),
        }
        gic::end(intid);
    }
}
