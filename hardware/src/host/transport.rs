//! The way to the RMM.

use cca_abi::smccc::Registers;
use realm_host::SmcTransport;

use crate::common::smc;

/// `SMC #0` at NS-EL2.
#[derive(Clone, Copy, Debug, Default)]
pub struct Transport;

impl SmcTransport for Transport {
    fn smc(&self, registers: &mut Registers) {
        smc::smc(registers);
    }
}
