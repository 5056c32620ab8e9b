//! SYSTEM_OFF and SYSTEM_RESET.

use super::Call;
use crate::granule::Rd;
use crate::platform::Platform;
use crate::realm::RealmState;
use crate::rec::{Next, RunningRec};

/// The realm ends: none of its RECs can be entered any more. Those that run go on until their next exit.
pub(super) fn off<P: Platform>(running: &RunningRec<'_, P>, call: &Call) -> Next {
    let rd = running.monitor().lock_owned::<Rd>(running.rd());
    rd.realm(running.platform())
        .set_state(RealmState::SystemOff);
    drop(rd);
    running.context.advance_pc();
    call.exit(0)
}
