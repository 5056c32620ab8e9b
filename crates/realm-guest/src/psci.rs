//! PSCI as a realm calls it: the functions that the RMM passes on to the host or answers itself
//! (RMM specification 1.0-rel0, A4.5).

use cca_abi::psci::{Function, code, is_smc32};
use cca_abi::smccc::Registers;

use crate::Conduit;

/// Why a function failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciError {
    /// `NOT_SUPPORTED`.
    NotSupported,
    /// `INVALID_PARAMETERS`: for example, there is no such vCPU.
    InvalidParameters,
    /// `DENIED`: the host does not want it.
    Denied,
    /// `ALREADY_ON`.
    AlreadyOn,
    /// `INVALID_ADDRESS`: the entry point is not protected.
    InvalidAddress,
    /// Something else, with the code returned.
    Other(i64),
}

impl PsciError {
    const fn from_code(code: i64) -> Self {
        match code {
            code::NOT_SUPPORTED => Self::NotSupported,
            code::INVALID_PARAMETERS => Self::InvalidParameters,
            code::DENIED => Self::Denied,
            code::ALREADY_ON => Self::AlreadyOn,
            code::INVALID_ADDRESS => Self::InvalidAddress,
            other => Self::Other(other),
        }
    }

    /// The code that PSCI has for it.
    pub const fn code(self) -> i64 {
        match self {
            Self::NotSupported => code::NOT_SUPPORTED,
            Self::InvalidParameters => code::INVALID_PARAMETERS,
            Self::Denied => code::DENIED,
            Self::AlreadyOn => code::ALREADY_ON,
            Self::InvalidAddress => code::INVALID_ADDRESS,
            Self::Other(code) => code,
        }
    }
}

/// What `AFFINITY_INFO` says of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// It runs, or could.
    On,
    /// It is off.
    Off,
    /// It has been turned on and has not started yet.
    OnPending,
}

/// The client: one call for each method.
#[derive(Debug)]
pub struct Psci<'c, C: ?Sized> {
    conduit: &'c C,
}

impl<'c, C: Conduit + ?Sized> Psci<'c, C> {
    /// A client that calls through `conduit`.
    pub const fn new(conduit: &'c C) -> Self {
        Self { conduit }
    }

    fn call(&self, function: Function, arguments: &[u64]) -> i64 {
        let function_id = function.function_id();
        let mut registers = Registers::call(function_id, arguments);
        self.conduit.smc(&mut registers);
        // Functions of 32 bits leave the upper half open (SMC Calling Convention 1.2, 3.1).
        if is_smc32(function_id) {
            i64::from(registers.0[0] as i32)
        } else {
            registers.0[0] as i64
        }
    }

    /// The version: major in bits 30:16, minor in 15:0.
    pub fn version(&self) -> u32 {
        self.call(Function::Version, &[]) as u32
    }

    /// Whether the function with this identifier is there, of PSCI or `SMCCC_VERSION`.
    pub fn has(&self, function: u32) -> bool {
        self.call(Function::Features, &[u64::from(function)]) >= 0
    }

    /// Turns on the vCPU with this MPIDR: it starts at `entry`, a protected address, with `context` in X0.
    ///
    /// # Errors
    ///
    /// [`PsciError::InvalidParameters`] if there is no such vCPU, [`PsciError::AlreadyOn`], [`PsciError::Denied`],
    /// [`PsciError::InvalidAddress`].
    pub fn cpu_on(&self, mpidr: u64, entry: u64, context: u64) -> Result<(), PsciError> {
        match self.call(Function::CpuOn, &[mpidr, entry, context]) {
            code::SUCCESS => Ok(()),
            code => Err(PsciError::from_code(code)),
        }
    }

    /// Whether the vCPU with this MPIDR is on.
    ///
    /// # Errors
    ///
    /// [`PsciError::InvalidParameters`] if there is no such vCPU.
    pub fn affinity_info(&self, mpidr: u64) -> Result<Affinity, PsciError> {
        match self.call(Function::AffinityInfo, &[mpidr, 0]) {
            code::SUCCESS => Ok(Affinity::On),
            code::OFF => Ok(Affinity::Off),
            code::AFFINITY_ON_PENDING => Ok(Affinity::OnPending),
            code => Err(PsciError::from_code(code)),
        }
    }

    /// Turns this vCPU off. Returns only if that was refused.
    pub fn cpu_off(&self) {
        self.call(Function::CpuOff, &[]);
    }

    /// Gives the vCPU up until something happens, as `WFI` does.
    pub fn cpu_suspend(&self) {
        self.call(Function::CpuSuspend, &[0, 0, 0]);
    }

    /// Ends the realm. Returns only if that was refused.
    pub fn system_off(&self) {
        self.call(Function::SystemOff, &[]);
    }

    /// Ends the realm and asks the host to start it anew. Returns only if that was refused.
    pub fn system_reset(&self) {
        self.call(Function::SystemReset, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use std::vec;

    #[test]
    fn turning_on_passes_all_three_arguments() {
        let script = Script::new(vec![
            vec![0],
            vec![-2i64 as u64],
            vec![-4i64 as u64],
            vec![-6i64 as u64],
        ]);
        let psci = Psci::new(&script);
        let on = || psci.cpu_on(0x101, 0x4000_0000, 7);
        assert_eq!(on(), Ok(()));
        assert_eq!(script.calls()[0][..4], [0xC400_0003, 0x101, 0x4000_0000, 7]);
        assert_eq!(on(), Err(PsciError::InvalidParameters));
        assert_eq!(on(), Err(PsciError::AlreadyOn));
        assert_eq!(on(), Err(PsciError::Other(-6)));
        assert_eq!(PsciError::Other(-6).code(), -6);
    }

    #[test]
    fn affinity_is_asked_at_the_lowest_level() {
        let script = Script::new(vec![vec![0], vec![1], vec![2], vec![-2i64 as u64]]);
        let psci = Psci::new(&script);
        assert_eq!(psci.affinity_info(3), Ok(Affinity::On));
        assert_eq!(psci.affinity_info(3), Ok(Affinity::Off));
        assert_eq!(psci.affinity_info(3), Ok(Affinity::OnPending));
        assert_eq!(psci.affinity_info(3), Err(PsciError::InvalidParameters));
        assert_eq!(script.calls()[0][..3], [0xC400_0004, 3, 0]);
    }

    #[test]
    fn functions_of_32_bits_have_results_of_32_bits() {
        let script = Script::new(vec![vec![0xFFFF_FFFF], vec![0x1_0001]]);
        let psci = Psci::new(&script);
        assert!(!psci.has(0x8400_0006));
        assert_eq!(psci.version(), 0x1_0001);
        assert_eq!(script.calls()[0][..2], [0x8400_000A, 0x8400_0006]);
    }
}
