//! The SMC calling convention: the registers of a call and the queries that every world answers.

/// Registers X0 to X17 of a call or of its results (SMCCC 1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Registers(pub [u64; 18]);

impl Registers {
    /// The registers of a call: the function identifier in X0 and up to 17 arguments.
    ///
    /// # Panics
    /// If there are more than 17 arguments.
    #[must_use]
    #[inline]
    pub fn call(function_id: u32, arguments: &[u64]) -> Self {
        let mut registers = Self::default();
        registers.0[0] = u64::from(function_id);
        registers.0[1..=arguments.len()].copy_from_slice(arguments);
        registers
    }
}

/// X0 of a call that is not implemented.
pub const NOT_SUPPORTED: u64 = u64::MAX;

/// Bit of the function identifier by which a caller says that it has no live SVE state (SMCCC 1.3). Not part of
/// the identifier.
pub const SVE_HINT: u32 = 1 << 16;

/// SMCCC_VERSION.
pub const VERSION: u32 = 0x8000_0000;
/// SMCCC_ARCH_FEATURES.
pub const ARCH_FEATURES: u32 = 0x8000_0001;
/// The version of the convention that is implemented: 1.3, which adds the SVE hint bit.
pub const VERSION_1_3: u64 = 0x0001_0003;

/// The function identifier in X0: its low half, without the SVE hint.
#[must_use]
#[inline]
pub const fn function_id(x0: u64) -> u32 {
    (x0 as u32) & !SVE_HINT
}

/// Whether an identifier is a fast SMC64 call to the standard secure service, where RMI, RSI and the RMM-EL3
/// interface live.
#[must_use]
#[inline]
pub const fn is_standard_fast64(function_id: u32) -> bool {
    function_id & 0xFFFE_0000 == 0xC400_0000
}

/// First and last function number of RMI.
pub const RMI_RANGE: (u32, u32) = (0xC400_0150, 0xC400_018F);
/// First and last function number of RSI.
pub const RSI_RANGE: (u32, u32) = (0xC400_0190, 0xC400_01AF);
/// First and last function number of the RMM-EL3 interface.
pub const RMM_EL3_RANGE: (u32, u32) = (0xC400_01B0, 0xC400_01CF);
