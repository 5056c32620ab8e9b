//! How a call leaves the realm.

use cca_abi::smccc::Registers;

/// The way from code at EL1 of a realm to its RMM: one `SMC #0`.
///
/// A realm has no other conduit: `HVC` is undefined in it (RMM specification 1.0-rel0, A4.4). On hardware this is the
/// instruction; in the in-process machine it is a call into the simulated processing element.
pub trait Conduit {
    /// Makes one call: X0-X17 go in as they stand in `registers` and come back as the RMM left them.
    ///
    /// Does not return for calls that end the calling vCPU (`CPU_OFF`, `SYSTEM_OFF`, `SYSTEM_RESET`) as long as the RMM
    /// keeps its promise.
    fn smc(&self, registers: &mut Registers);
}

impl<C: Conduit + ?Sized> Conduit for &C {
    fn smc(&self, registers: &mut Registers) {
        (**self).smc(registers);
    }
}
