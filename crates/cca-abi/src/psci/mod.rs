//! PSCI: power control of a realm's vCPUs by the RMM and the host, and of the machine's PEs by the root monitor
//! (PSCI 1.1; RMM specification 1.0-rel0, chapter B6).

#[macro_use]
mod table;

/// PSCI return codes, as 64-bit values.
pub mod code {
    /// The call was carried out; for AFFINITY_INFO: on.
    pub const SUCCESS: i64 = 0;
    /// AFFINITY_INFO: off.
    pub const OFF: i64 = 1;
    /// AFFINITY_INFO: going on.
    pub const AFFINITY_ON_PENDING: i64 = 2;
    /// No such function.
    pub const NOT_SUPPORTED: i64 = -1;
    /// An argument is not valid.
    pub const INVALID_PARAMETERS: i64 = -2;
    /// Not permitted.
    pub const DENIED: i64 = -3;
    /// The target is on.
    pub const ALREADY_ON: i64 = -4;
    /// The target is going on.
    pub const ON_PENDING: i64 = -5;
    /// It failed for a reason of the implementation.
    pub const INTERNAL_FAILURE: i64 = -6;
    /// There is no such target.
    pub const NOT_PRESENT: i64 = -7;
    /// The target may not be used.
    pub const DISABLED: i64 = -8;
    /// The entry point is not valid.
    pub const INVALID_ADDRESS: i64 = -9;
}

/// What a failure condition of PSCI reports: X0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// INVALID_PARAMETERS.
    InvalidParameters,
    /// DENIED.
    Denied,
    /// ALREADY_ON.
    AlreadyOn,
    /// ON_PENDING.
    OnPending,
    /// INVALID_ADDRESS.
    InvalidAddress,
    /// NOT_SUPPORTED.
    NotSupported,
}

impl FailureKind {
    /// The return code.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::InvalidParameters => code::INVALID_PARAMETERS,
            Self::Denied => code::DENIED,
            Self::AlreadyOn => code::ALREADY_ON,
            Self::OnPending => code::ON_PENDING,
            Self::InvalidAddress => code::INVALID_ADDRESS,
            Self::NotSupported => code::NOT_SUPPORTED,
        }
    }
}

/// PSCI 1.1, the version that realms and the normal world are told.
pub const VERSION_1_1: u64 = 0x0001_0001;
/// Answer of MIGRATE_INFO_TYPE: there is no trusted OS to migrate.
pub const MIGRATE_NOT_REQUIRED: u64 = 2;

/// A PSCI function, whichever of its two identifiers a caller uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// PSCI_VERSION.
    Version,
    /// CPU_SUSPEND.
    CpuSuspend,
    /// CPU_OFF.
    CpuOff,
    /// CPU_ON.
    CpuOn,
    /// AFFINITY_INFO.
    AffinityInfo,
    /// MIGRATE_INFO_TYPE; of the normal world only.
    MigrateInfoType,
    /// SYSTEM_OFF.
    SystemOff,
    /// SYSTEM_RESET.
    SystemReset,
    /// PSCI_FEATURES.
    Features,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 9] = [
        Self::Version,
        Self::CpuSuspend,
        Self::CpuOff,
        Self::CpuOn,
        Self::AffinityInfo,
        Self::MigrateInfoType,
        Self::SystemOff,
        Self::SystemReset,
        Self::Features,
    ];

    /// The function with this identifier, in its SMC32 or SMC64 form.
    #[must_use]
    pub const fn from_function_id(function_id: u32) -> Option<Function> {
        Some(match function_id {
            0x8400_0000 => Self::Version,
            0x8400_0001 | 0xC400_0001 => Self::CpuSuspend,
            0x8400_0002 => Self::CpuOff,
            0x8400_0003 | 0xC400_0003 => Self::CpuOn,
            0x8400_0004 | 0xC400_0004 => Self::AffinityInfo,
            0x8400_0006 => Self::MigrateInfoType,
            0x8400_0008 => Self::SystemOff,
            0x8400_0009 => Self::SystemReset,
            0x8400_000A => Self::Features,
            _ => return None,
        })
    }

    /// The identifier to call: SMC64 where there is one.
    #[must_use]
    pub const fn function_id(self) -> u32 {
        match self {
            Self::Version => 0x8400_0000,
            Self::CpuSuspend => 0xC400_0001,
            Self::CpuOff => 0x8400_0002,
            Self::CpuOn => 0xC400_0003,
            Self::AffinityInfo => 0xC400_0004,
            Self::MigrateInfoType => 0x8400_0006,
            Self::SystemOff => 0x8400_0008,
            Self::SystemReset => 0x8400_0009,
            Self::Features => 0x8400_000A,
        }
    }

    /// The specification's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "PSCI_VERSION",
            Self::CpuSuspend => "PSCI_CPU_SUSPEND",
            Self::CpuOff => "PSCI_CPU_OFF",
            Self::CpuOn => "PSCI_CPU_ON",
            Self::AffinityInfo => "PSCI_AFFINITY_INFO",
            Self::MigrateInfoType => "PSCI_MIGRATE_INFO_TYPE",
            Self::SystemOff => "PSCI_SYSTEM_OFF",
            Self::SystemReset => "PSCI_SYSTEM_RESET",
            Self::Features => "PSCI_FEATURES",
        }
    }

    /// Whether a realm has this function.
    #[must_use]
    pub const fn is_for_realms(self) -> bool {
        !matches!(self, Self::MigrateInfoType)
    }
}

/// Whether an identifier lies in PSCI's range, known or not.
#[must_use]
pub const fn is_psci(function_id: u32) -> bool {
    matches!(function_id, 0x8400_0000..=0x8400_001F | 0xC400_0000..=0xC400_001F)
}

/// Whether an identifier is the SMC32 form, whose arguments are 32 bits wide.
#[must_use]
pub const fn is_smc32(function_id: u32) -> bool {
    function_id & 0x4000_0000 == 0
}

/// PSCI as the RMM gives it to realms: operands, results and failure conditions by name.
pub mod realm {
    use super::FailureKind;
    realm_psci_functions!(define_commands);
}

/// PSCI as the root monitor gives it to the normal world: operands, results and failure conditions by name.
pub mod normal_world {
    use super::FailureKind;
    normal_world_psci_functions!(define_commands);
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn identifiers_lead_back_to_their_function() {
        for function in Function::ALL {
            assert_eq!(
                Function::from_function_id(function.function_id()),
                Some(function)
            );
        }
        for command in super::realm::Command::ALL {
            let function = Function::from_function_id(command.function_id()).unwrap();
            assert!(function.is_for_realms());
            assert_eq!(function.name(), command.name());
        }
        for command in super::normal_world::Command::ALL {
            let function = Function::from_function_id(command.function_id()).unwrap();
            assert_eq!(function.name(), command.name());
        }
    }
}
