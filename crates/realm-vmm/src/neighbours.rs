//! Who else wants the PE that a vCPU has.

use crate::pe::HostPe;

/// What a vCPU's loop asks of the world around its realm.
pub(crate) trait Neighbours {
    /// Called at the end of each slice. Whether somebody else wants to run at this time: the vCPU leaves then.
    fn want(&self, now: u64, pe: &mut impl HostPe) -> bool;

    /// When somebody else wants to run.
    fn deadline(&self) -> Option<u64>;

    /// Called after each exit. Whether the vCPU is to leave its PE at once.
    fn is_urgent(&self, pe: &mut impl HostPe) -> bool;
}

/// Nobody: the realm has the machine for itself.
#[derive(Debug)]
pub(crate) struct Alone;

impl Neighbours for Alone {
    fn want(&self, _now: u64, _pe: &mut impl HostPe) -> bool {
        false
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn is_urgent(&self, _pe: &mut impl HostPe) -> bool {
        false
    }
}
