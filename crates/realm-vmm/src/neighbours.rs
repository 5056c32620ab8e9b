//! Who else wants the PE that a vCPU has.

use crate::pe::HostPe;

/// What a vCPU's loop asks of the world around its realm.
pub(crate) trait Neighbours {
    /// Whether somebody else wants to run at this time: the vCPU leaves at the end of its slice.
    fn want(&self, now: u64) -> bool;

    /// When somebody else wants to run.
    fn deadline(&self) -> Option<u64>;

    /// Called after each exit. Whether the vCPU is to leave its PE at once.
    fn is_urgent(&self, pe: &mut impl HostPe) -> bool;
}

/// Nobody: the realm has the machine for itself.
#[derive(Debug)]
pub(crate) struct Alone;

impl Neighbours for Alone {
    fn want(&self, _now: u64) -> bool {
        false
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn is_urgent(&self, _pe: &mut impl HostPe) -> bool {
        false
    }
}
