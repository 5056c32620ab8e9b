//! The rows of PSCI for realms and for the normal world.

/// Calls a macro with the rows of the PSCI functions of a realm (RMM specification 1.0-rel0, chapter B6).
#[macro_export]
macro_rules! realm_psci_functions {
    ($callback:ident) => {
        $callback! {
            /// Says which PSCI version there is.
            Version version 0x8400_0000 "PSCI_VERSION" {
                input {}
                output {}
                conditions {}
            }
            /// Waits for an interrupt.
            CpuSuspend cpu_suspend 0xC400_0001 "PSCI_CPU_SUSPEND" {
                input {
                    power_state: u64 = "Ignored.",
                    entry_point: u64 = "Ignored.",
                    context_id: u64 = "Ignored.",
                }
                output {}
                conditions {}
            }
            /// Turns the calling vCPU off.
            CpuOff cpu_off 0x8400_0002 "PSCI_CPU_OFF" {
                input {}
                output {}
                conditions {}
            }
            /// Turns a vCPU on.
            CpuOn cpu_on 0xC400_0003 "PSCI_CPU_ON" {
                input {
                    target_cpu: u64 = "MPIDR of the vCPU.",
                    entry_point: u64 = "IPA at which it starts.",
                    context_id: u64 = "Its X0.",
                }
                output {}
                conditions {
                    Entry "entry" [InvalidAddress],
                    Mpidr "mpidr" [InvalidParameters],
                    Runnable "runnable" [AlreadyOn],
                    HostDenied "host_denied" [Denied],
                }
            }
            /// Asks whether a vCPU is on.
            AffinityInfo affinity_info 0xC400_0004 "PSCI_AFFINITY_INFO" {
                input {
                    target_affinity: u64 = "MPIDR of the vCPU.",
                    lowest_affinity_level: u64 = "Must be zero.",
                }
                output {}
                conditions {
                    Level "level" [InvalidParameters],
                    Target "target" [InvalidParameters],
                }
            }
            /// Turns the realm off.
            SystemOff system_off 0x8400_0008 "PSCI_SYSTEM_OFF" {
                input {}
                output {}
                conditions {}
            }
            /// Asks for a reset; the realm ends.
            SystemReset system_reset 0x8400_0009 "PSCI_SYSTEM_RESET" {
                input {}
                output {}
                conditions {}
            }
            /// Asks whether there is a function.
            Features features 0x8400_000A "PSCI_FEATURES" {
                input { function_id: u64 = "Function identifier.", }
                output {}
                conditions { Unknown "unknown" [NotSupported], }
            }
        }
    };
}

/// Calls a macro with the rows of the PSCI functions of the normal world.
#[macro_export]
macro_rules! normal_world_psci_functions {
    ($callback:ident) => {
        $callback! {
            /// Says which PSCI version there is.
            Version version 0x8400_0000 "PSCI_VERSION" {
                input {}
                output {}
                conditions {}
            }
            /// Waits for an interrupt in a standby state.
            CpuSuspend cpu_suspend 0xC400_0001 "PSCI_CPU_SUSPEND" {
                input {
                    power_state: u64 = "Bit 16 is clear for a standby state.",
                    entry_point: u64 = "Ignored for a standby state.",
                    context_id: u64 = "Ignored for a standby state.",
                }
                output {}
                conditions { PowerState "power_state" [InvalidParameters], }
            }
            /// Turns the calling PE off.
            CpuOff cpu_off 0x8400_0002 "PSCI_CPU_OFF" {
                input {}
                output {}
                conditions { Denied "denied" [Denied], }
            }
            /// Turns a PE on.
            CpuOn cpu_on 0xC400_0003 "PSCI_CPU_ON" {
                input {
                    target_cpu: u64 = "MPIDR of the PE.",
                    entry_point: u64 = "PA at which it starts at NS-EL2.",
                    context_id: u64 = "Its X0.",
                }
                output {}
                conditions {
                    Mpidr "mpidr" [InvalidParameters],
                    Entry "entry" [InvalidAddress],
                    On "on" [AlreadyOn],
                    Pending "pending" [OnPending],
                }
            }
            /// Asks whether a PE is on.
            AffinityInfo affinity_info 0xC400_0004 "PSCI_AFFINITY_INFO" {
                input {
                    target_affinity: u64 = "MPIDR of the PE.",
                    lowest_affinity_level: u64 = "Must be zero.",
                }
                output {}
                conditions {
                    Level "level" [InvalidParameters],
                    Target "target" [InvalidParameters],
                }
            }
            /// Asks whether a trusted OS has to be migrated.
            MigrateInfoType migrate_info_type 0x8400_0006 "PSCI_MIGRATE_INFO_TYPE" {
                input {}
                output {}
                conditions {}
            }
            /// Turns the machine off.
            SystemOff system_off 0x8400_0008 "PSCI_SYSTEM_OFF" {
                input {}
                output {}
                conditions {}
            }
            /// Resets the machine.
            SystemReset system_reset 0x8400_0009 "PSCI_SYSTEM_RESET" {
                input {}
                output {}
                conditions {}
            }
            /// Asks whether there is a function.
            Features features 0x8400_000A "PSCI_FEATURES" {
                input { function_id: u64 = "Function identifier.", }
                output {}
                conditions { Unknown "unknown" [NotSupported], }
            }
        }
    };
}
