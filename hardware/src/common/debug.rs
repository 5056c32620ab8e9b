//! The names of the breakpoint and watchpoint registers.

/// Lists DBGBVR<n>_EL1, DBGBCR<n>_EL1, DBGWVR<n>_EL1 and DBGWCR<n>_EL1.
macro_rules! debug_points {
    ($callback:ident) => {
        $callback! {
            0 "s2_0_c0_c0_4" "s2_0_c0_c0_5" "s2_0_c0_c0_6" "s2_0_c0_c0_7"
            1 "s2_0_c0_c1_4" "s2_0_c0_c1_5" "s2_0_c0_c1_6" "s2_0_c0_c1_7"
            2 "s2_0_c0_c2_4" "s2_0_c0_c2_5" "s2_0_c0_c2_6" "s2_0_c0_c2_7"
            3 "s2_0_c0_c3_4" "s2_0_c0_c3_5" "s2_0_c0_c3_6" "s2_0_c0_c3_7"
            4 "s2_0_c0_c4_4" "s2_0_c0_c4_5" "s2_0_c0_c4_6" "s2_0_c0_c4_7"
            5 "s2_0_c0_c5_4" "s2_0_c0_c5_5" "s2_0_c0_c5_6" "s2_0_c0_c5_7"
            6 "s2_0_c0_c6_4" "s2_0_c0_c6_5" "s2_0_c0_c6_6" "s2_0_c0_c6_7"
            7 "s2_0_c0_c7_4" "s2_0_c0_c7_5" "s2_0_c0_c7_6" "s2_0_c0_c7_7"
            8 "s2_0_c0_c8_4" "s2_0_c0_c8_5" "s2_0_c0_c8_6" "s2_0_c0_c8_7"
            9 "s2_0_c0_c9_4" "s2_0_c0_c9_5" "s2_0_c0_c9_6" "s2_0_c0_c9_7"
            10 "s2_0_c0_c10_4" "s2_0_c0_c10_5" "s2_0_c0_c10_6" "s2_0_c0_c10_7"
            11 "s2_0_c0_c11_4" "s2_0_c0_c11_5" "s2_0_c0_c11_6" "s2_0_c0_c11_7"
            12 "s2_0_c0_c12_4" "s2_0_c0_c12_5" "s2_0_c0_c12_6" "s2_0_c0_c12_7"
            13 "s2_0_c0_c13_4" "s2_0_c0_c13_5" "s2_0_c0_c13_6" "s2_0_c0_c13_7"
            14 "s2_0_c0_c14_4" "s2_0_c0_c14_5" "s2_0_c0_c14_6" "s2_0_c0_c14_7"
            15 "s2_0_c0_c15_4" "s2_0_c0_c15_5" "s2_0_c0_c15_6" "s2_0_c0_c15_7"
        }
    };
}
pub(crate) use debug_points;
