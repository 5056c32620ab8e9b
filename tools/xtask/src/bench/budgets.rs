//! What a call may cost, and what it costs elsewhere.

/// The budget of one figure, in instructions.
pub(super) struct Budget {
    /// Name of the figure.
    pub(super) name: &'static str,
    /// At most this.
    pub(super) most: u64,
    /// What TF-A 2.13 with TF-RMM 0.7 takes on the same emulator (release builds).
    pub(super) c_stack: u64,
}

const fn budget(name: &'static str, most: u64, c_stack: u64) -> Budget {
    Budget {
        name,
        most,
        c_stack,
    }
}

/// All budgets.
#[rustfmt::skip]
pub(super) const BUDGETS: &[Budget] = &[
    budget("RMI_VERSION", 450, 1_195),
    budget("RMI_FEATURES", 450, 1_277),
    budget("RMI_GRANULE_DELEGATE", 1_200, 2_782),
    budget("RMI_GRANULE_UNDELEGATE", 1_000, 2_227),
    budget("RMI_REALM_CREATE", 12_000, 187_063),
    budget("RMI_REC_AUX_COUNT", 600, 1_497),
    budget("RMI_RTT_CREATE", 1_500, 3_061),
    budget("RMI_RTT_INIT_RIPAS", 12_000, 7_807_003),
    budget("RMI_DATA_CREATE_MEASURED", 12_000, 202_125),
    budget("RMI_DATA_CREATE_UNMEASURED", 3_500, 21_006),
    budget("RMI_DATA_CREATE_UNKNOWN", 1_300, 2_652),
    budget("RMI_RTT_READ_ENTRY", 900, 2_611),
    budget("RMI_RTT_MAP_UNPROTECTED", 1_000, 2_622),
    budget("RMI_RTT_UNMAP_UNPROTECTED", 1_300, 8_746),
    budget("RMI_REC_CREATE", 10_000, 214_635),
    budget("RMI_REC_DESTROY", 1_500, 11_377),
    budget("RMI_REALM_ACTIVATE", 600, 1_504),
    budget("REC_ENTER_TO_WFI", 3_000, 9_913),
    budget("REC_ENTER_TO_MMIO_LOAD", 3_000, 10_002),
    budget("REC_ENTER_TO_MMIO_STORE", 3_000, 10_002),
    budget("REC_ENTER_TO_HOST_CALL", 3_500, 13_017),
    budget("RMI_DATA_DESTROY", 1_400, 3_378),
    budget("RMI_RTT_DESTROY", 1_500, 10_214),
    budget("RMI_REALM_DESTROY", 1_500, 2_721),
    budget("RSI_VERSION", 230, 277),
    budget("RSI_IPA_STATE_GET", 500, 1_356),
    budget("RSI_MEASUREMENT_READ", 350, 569),
];

/// Most instructions for which the firmware may keep an interrupt waiting, whatever it is asked to do. A SHA-512 RMI_DATA_CREATE takes
/// most of them, and RMM 1.0 has no way to stop it half way.
pub(super) const STRETCH: u64 = 25_000;

/// What is counted for other reasons: sums, and an entry that an interrupt ends when the benchmark chooses, where
/// INTERRUPT_WHILE_SIGNING is how long that one waits.
const NO_STRETCHES: &[&str] = &[
    "REALM_FIRMWARE",
    "REALM_FIRMWARE_SHA512",
    "REALM_HOST",
    "REALM_HOST_SHA512",
    "REC_ENTER_WITH_TOKEN",
];

/// Whether interrupts wait while what has this name is counted.
pub(super) fn is_stretch(name: &str) -> bool {
    !NO_STRETCHES.contains(&name)
}

/// The budget of a call on the in-process machine, in nanoseconds.
pub(super) struct CallBudget {
    /// Name of the figure.
    pub(super) name: &'static str,
    /// At most this.
    pub(super) most: u64,
    /// What TF-RMM 0.7 takes in its own build for the host.
    pub(super) c_stack: u64,
}

/// All of them.
pub(super) const CALL_BUDGETS: &[CallBudget] = &[
    CallBudget {
        name: "VERSION",
        most: 30,
        c_stack: 90,
    },
    CallBudget {
        name: "DELEGATE_UNDELEGATE",
        most: 200,
        c_stack: 1415,
    },
    CallBudget {
        name: "DELEGATE_UNDELEGATE_WRITTEN",
        most: 200,
        c_stack: 1415,
    },
];
