//! How calls reach the monitor.

use cca_abi::smccc::Registers;

/// One SMC from Non-secure EL2, as the embedder issues it.
///
/// On hardware this is the `SMC #0` instruction with X0-X17 loaded from and stored to the registers; in
/// the in-process machine it is a call into the simulated EL3. `realm-host` calls it from all threads
/// at once and never while it holds a lock, when the call is `RMI_REC_ENTER`.
pub trait SmcTransport {
    /// Issues the call in `registers` and stores what came back there.
    ///
    /// The transport has to preserve SIMD state as the SMC Calling Convention says; it need not
    /// preserve X4 and up, which `realm-host` never relies on.
    fn smc(&self, registers: &mut Registers);
}

impl<T: SmcTransport + ?Sized> SmcTransport for &T {
    fn smc(&self, registers: &mut Registers) {
        (**self).smc(registers);
    }
}
