//! Payloads other than the hypervisor on the emulated machine.

use xtask::workspace::Workspace;

use super::Case;

/// A raw payload above the firmware, in machines of many shapes.
pub(crate) fn firmware(_workspace: &Workspace) -> Vec<Case> {
    Vec::new()
}

/// The scenarios on the emulated machine.
pub(crate) fn scenarios(_workspace: &Workspace) -> Vec<Case> {
    Vec::new()
}
