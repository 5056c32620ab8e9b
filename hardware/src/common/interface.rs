//! The virtual CPU interface of the GIC: its list registers and active priorities registers.

/// How many registers of each kind the interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    list: usize,
    active: usize,
}

impl Registers {
    /// From ICH_VTR_EL2.
    pub(crate) const fn of(ich_vtr: u64) -> Self {
        let preemption_bits = (ich_vtr >> 26 & 7) + 1;
        Self {
            list: (ich_vtr & 0x1F) as usize + 1,
            active: match preemption_bits {
                7 => 4,
                6 => 2,
                _ => 1,
            },
        }
    }

    /// Whether there is list register `n`.
    pub(crate) fn has_list(self, n: usize) -> bool {
        n < self.list
    }

    /// Whether there is active priorities register `n` of each group.
    pub(crate) fn has_active(self, n: usize) -> bool {
        n < self.active
    }
}

/// Lists ICH_LR<n>_EL2: number and name.
macro_rules! list_registers {
    ($callback:ident) => {
        $callback! {
            0 "s3_4_c12_c12_0" 1 "s3_4_c12_c12_1" 2 "s3_4_c12_c12_2" 3 "s3_4_c12_c12_3"
            4 "s3_4_c12_c12_4" 5 "s3_4_c12_c12_5" 6 "s3_4_c12_c12_6" 7 "s3_4_c12_c12_7"
            8 "s3_4_c12_c13_0" 9 "s3_4_c12_c13_1" 10 "s3_4_c12_c13_2" 11 "s3_4_c12_c13_3"
            12 "s3_4_c12_c13_4" 13 "s3_4_c12_c13_5" 14 "s3_4_c12_c13_6" 15 "s3_4_c12_c13_7"
        }
    };
}
pub(crate) use list_registers;

/// Lists ICH_AP0R<n>_EL2 and ICH_AP1R<n>_EL2: number, and the name for each group.
macro_rules! active_registers {
    ($callback:ident) => {
        $callback! {
            0 "s3_4_c12_c8_0" "s3_4_c12_c9_0" 1 "s3_4_c12_c8_1" "s3_4_c12_c9_1"
            2 "s3_4_c12_c8_2" "s3_4_c12_c9_2" 3 "s3_4_c12_c8_3" "s3_4_c12_c9_3"
        }
    };
}
pub(crate) use active_registers;
