//! A use of each feature that the identification registers of a realm show.
//!
//! A feature that works only half is worse than one that is not there. So whatever the RMM shows has a row here, and the scenarios
//! fail on a field without one: by its encoding (CRm, op2, lowest bit), instructions that need the feature, and what they leave in
//! X0. They find 5 in X0 and V0, and 3 in X1 and V1. Instead, an undefined instruction or an abort ends the realm.

use realm_guest::puppet::Use;

use crate::read_sysreg;

/// The identification register with this CRm and op2.
pub(super) fn identify(crm: u64, op2: u64) -> u64 {
    macro_rules! registers {
        ($($crm:literal $op2:literal $name:literal)*) => {
            match (crm, op2) {
                $(($crm, $op2) => read_sysreg!($name),)*
                _ => 0,
            }
        };
    }
    registers! {
            1 0 "s3_0_c0_c1_0" 1 1 "s3_0_c0_c1_1" 1 2 "s3_0_c0_c1_2" 1 3 "s3_0_c0_c1_3" 1 4 "s3_0_c0_c1_4" 1 5 "s3_0_c0_c1_5" 1 6 "s3_0_c0_c1_6" 1 7 "s3_0_c0_c1_7"
            2 0 "s3_0_c0_c2_0" 2 1 "s3_0_c0_c2_1" 2 2 "s3_0_c0_c2_2" 2 3 "s3_0_c0_c2_3" 2 4 "s3_0_c0_c2_4" 2 5 "s3_0_c0_c2_5" 2 6 "s3_0_c0_c2_6" 2 7 "s3_0_c0_c2_7"
            3 0 "s3_0_c0_c3_0" 3 1 "s3_0_c0_c3_1" 3 2 "s3_0_c0_c3_2" 3 3 "s3_0_c0_c3_3" 3 4 "s3_0_c0_c3_4" 3 5 "s3_0_c0_c3_5" 3 6 "s3_0_c0_c3_6" 3 7 "s3_0_c0_c3_7"
            4 0 "s3_0_c0_c4_0" 4 1 "s3_0_c0_c4_1" 4 2 "s3_0_c0_c4_2" 4 3 "s3_0_c0_c4_3" 4 4 "s3_0_c0_c4_4" 4 5 "s3_0_c0_c4_5" 4 6 "s3_0_c0_c4_6" 4 7 "s3_0_c0_c4_7"
            5 0 "s3_0_c0_c5_0" 5 1 "s3_0_c0_c5_1" 5 2 "s3_0_c0_c5_2" 5 3 "s3_0_c0_c5_3" 5 4 "s3_0_c0_c5_4" 5 5 "s3_0_c0_c5_5" 5 6 "s3_0_c0_c5_6" 5 7 "s3_0_c0_c5_7"
            6 0 "s3_0_c0_c6_0" 6 1 "s3_0_c0_c6_1" 6 2 "s3_0_c0_c6_2" 6 3 "s3_0_c0_c6_3" 6 4 "s3_0_c0_c6_4" 6 5 "s3_0_c0_c6_5" 6 6 "s3_0_c0_c6_6" 6 7 "s3_0_c0_c6_7"
            7 0 "s3_0_c0_c7_0" 7 1 "s3_0_c0_c7_1" 7 2 "s3_0_c0_c7_2" 7 3 "s3_0_c0_c7_3" 7 4 "s3_0_c0_c7_4" 7 5 "s3_0_c0_c7_5" 7 6 "s3_0_c0_c7_6" 7 7 "s3_0_c0_c7_7"
    }
}

/// Uses the feature of the field that begins with bit `low`.
///
/// # Safety
///
/// FP, Advanced SIMD and, where it is shown, SVE are open; no compiled code of the program uses them, the breakpoints, the watchpoints
/// or the PMU.
pub(super) unsafe fn try_out(crm: u64, op2: u64, low: u64) -> Use {
    macro_rules! features {
        ($($crm:literal $op2:literal $low:literal $name:literal $text:literal $expected:expr;)*) => {
            match (crm, op2, low) {
                $(($crm, $op2, $low) => {
                    // SAFETY: the instructions change registers that are named here, or that the caller says nobody uses, and memory
                    // below the stack pointer. Controls of translation get their values back, and none of them changes what the
                    // tables say.
                    let is = unsafe { executed!($text) };
                    judge(is, $expected)
                })*
                _ if DESCRIPTIONS.iter().any(|&(row, _)| row == (crm, op2, low)) => Use::Description,
                _ => Use::Unknown,
            }
        };
    }
    features! {
        4 0 4 "AArch64 at EL1"
            "mrs x0, currentel" 4;
        4 0 16 "FP, half precision"
            "fmov h0, #1.0; fadd h0, h0, h0; fmov w0, h0" 0x4000;
        4 0 20 "AdvSIMD, half precision"
            "fmov v0.8h, #1.0; fadd v0.8h, v0.8h, v0.8h; umov w0, v0.h[7]" 0x4000;
        4 0 24 "GIC registers"
            "mrs x0, s3_0_c12_c12_5; and x0, x0, #1" 1;
        4 0 28 "RAS"
            "hint #16; mrs x0, s3_0_c12_c1_1" 0;
        4 0 32 "SVE"
            "rdvl x0, #1; and x0, x0, #15" 0;
        4 0 48 "DIT"
            "msr dit, #1; mrs x0, dit; msr dit, #0" 1 << 24;
        4 1 0 "BT"
            "hint #34" 5;
        4 1 4 "SSBS"
            "msr ssbs, #1; mrs x0, ssbs; msr ssbs, #0" 1 << 12;
        4 4 0 "SVE2"
            "mov z0.b, #3; mov z1.b, #7; pmul z0.b, z0.b, z1.b; umov w0, v0.b[0]" 9;
        4 4 4 "SVE AES"
            "pmullb z0.q, z0.d, z1.d; fmov x0, d0" 15;
        4 4 16 "SVE BitPerm"
            "bext z0.d, z0.d, z1.d; fmov x0, d0" 1;
        4 4 20 "SVE BF16"
            "ptrue p0.b; fmov z0.s, #1.0; bfcvt z0.h, p0/m, z0.s; umov w0, v0.h[0]" 0x3F80;
        4 4 32 "SVE SHA3"
            "rax1 z0.d, z0.d, z1.d; fmov x0, d0" 3;
        4 4 40 "SVE SM4"
            "sm4e z0.s, z0.s, z1.s" 5;
        4 4 44 "SVE I8MM"
            "mov z0.s, #0; mov z1.b, #1; ummla z0.s, z1.b, z1.b; umov w0, v0.s[0]" 8;
        4 4 52 "SVE F32MM"
            "mov z0.s, #0; fmov z1.s, #1.0; fmmla z0.s, z1.s, z1.s; umov w0, v0.s[0]" 0x4000_0000;
        4 4 56 "SVE F64MM"
            "zip1 z0.q, z0.q, z1.q; fmov x0, d0" 5;
        5 0 0 "self-hosted debug"
            "mov x2, #1 << 12; msr mdscr_el1, x2; mrs x0, mdscr_el1; msr mdscr_el1, xzr" 1 << 12;
        5 0 8 "PMU"
            "mov x2, #31; msr pmselr_el0, x2; mrs x0, pmselr_el0; msr pmselr_el0, xzr" 31;
        5 0 12 "breakpoints"
            "mov x2, #64; msr dbgbvr1_el1, x2; mrs x0, dbgbvr1_el1; msr dbgbvr1_el1, xzr" 64;
        5 0 20 "watchpoints"
            "mov x2, #64; msr dbgwvr1_el1, x2; mrs x0, dbgwvr1_el1; msr dbgwvr1_el1, xzr" 64;
        6 0 4 "AES, PMULL"
            "aese v2.16b, v2.16b; pmull v0.1q, v0.1d, v1.1d; fmov x0, d0" 15;
        6 0 8 "SHA1"
            "sha1h s0, s0; fmov w0, s0" 0x4000_0001;
        6 0 12 "SHA256, SHA512"
            "movi v0.2d, #0; movi v1.2d, #0; sha512su0 v0.2d, v1.2d; sha256su0 v0.4s, v1.4s; fmov x0, d0" 0;
        6 0 16 "CRC32"
            "mov w0, #0; mov w1, #1; crc32b w0, w0, w1" 0x7707_3096;
        6 0 20 "atomics"
            "str x0, [sp, #-16]!; ldadd x1, x0, [sp]; ldr x0, [sp], #16" 8;
        6 0 28 "RDM"
            "movi v0.4s, #1; movi v1.4s, #0; sqrdmlah v0.4s, v1.4s, v1.4s; umov w0, v0.s[0]" 1;
        6 0 32 "SHA3"
            "movi v2.2d, #0; eor3 v0.16b, v0.16b, v1.16b, v2.16b; fmov x0, d0" 6;
        6 0 36 "SM3"
            "movi v0.2d, #0; movi v1.2d, #0; movi v2.2d, #0; sm3partw1 v0.4s, v1.4s, v2.4s; fmov x0, d0" 0;
        6 0 40 "SM4"
            "sm4e v0.4s, v1.4s" 5;
        6 0 44 "dot products"
            "movi v0.4s, #0; movi v1.16b, #2; udot v0.4s, v1.16b, v1.16b; umov w0, v0.s[0]" 16;
        6 0 48 "FHM"
            "movi v0.4s, #0; fmov v1.8h, #1.0; fmlal v0.4s, v1.4h, v1.4h; umov w0, v0.s[0]" 0x3F80_0000;
        6 0 52 "flags"
            "cfinv; axflag; rmif xzr, #0, #15; mrs x0, nzcv" 0;
        6 0 56 "TLBI, outer shareable and ranges"
            "tlbi vmalle1os; sys #0, c8, c2, #1, xzr; dsb sy; isb" 5;
        6 0 60 "RNDR"
            "mrs x0, s3_3_c2_c4_0; cset x0, ne" 1;
        6 1 0 "DC CVAP, CVADP"
            "mov x2, sp; sys #3, c7, c12, #1, x2; sys #3, c7, c13, #1, x2" 5;
        6 1 4 "APA"
            "mrs x2, sctlr_el1; orr x3, x2, #0x80000000; msr sctlr_el1, x3; isb; mov x0, #64; pacia x0, x1; autia x0, x1; msr sctlr_el1, x2; isb" 64;
        6 1 8 "API"
            "mrs x2, sctlr_el1; orr x3, x2, #0x80000000; msr sctlr_el1, x3; isb; mov x0, #64; pacia x0, x1; autia x0, x1; msr sctlr_el1, x2; isb" 64;
        6 1 12 "JSCVT"
            "fmov d0, #3.0; fjcvtzs w0, d0" 3;
        6 1 16 "FCMA"
            "fmov v0.4s, #1.0; movi v1.4s, #0; fcmla v0.4s, v1.4s, v1.4s, #0; umov w0, v0.s[0]" 0x3F80_0000;
        6 1 20 "LRCPC"
            "str x0, [sp, #-16]!; mov x0, #0; mov x2, sp; ldapr x0, [x2]; stlur x1, [x2]; ldapur x1, [x2]; add x0, x0, x1; add sp, sp, #16" 8;
        6 1 24 "GPA"
            "pacga x0, x0, x1; and x0, x0, #0xffffffff" 0;
        6 1 28 "GPI"
            "pacga x0, x0, x1; and x0, x0, #0xffffffff" 0;
        6 1 32 "FRINTTS"
            "fmov d0, #2.5; frint32z d0, d0; fcvtzs x0, d0" 2;
        6 1 36 "SB"
            "sb" 5;
        6 1 40 "SPECRES"
            "sys #3, c7, c3, #4, xzr; sys #3, c7, c3, #5, xzr; sys #3, c7, c3, #7, xzr; dsb sy; isb" 5;
        6 1 44 "BF16"
            "fmov s0, #1.0; bfcvt h0, s0; fmov w0, s0" 0x3F80;
        6 1 48 "DGH"
            "hint #6" 5;
        6 1 52 "I8MM"
            "movi v0.4s, #0; movi v1.16b, #1; ummla v0.4s, v1.16b, v1.16b; umov w0, v0.s[0]" 8;
        6 1 56 "XS"
            "sys #0, c9, c7, #0, xzr; dsb sy; isb" 5;
        6 2 0 "WFIT"
            "mrs x2, cntvct_el0; add x2, x2, #0x400, lsl #12; .inst 0xd5031022; mrs x3, cntvct_el0; cmp x3, x2; cset x0, hs" 1;
        6 2 4 "RPRES"
            "fmov s0, #1.0; frecpe s0, s0; fmov w0, s0" 0x3F7F_8000;
        6 2 20 "BC"
            "cmp x0, x0; .inst 0x54000050; mov x0, #0" 5;
        7 1 0 "HAFDBS"
            "mrs x2, tcr_el1; orr x3, x2, #549755813888; msr tcr_el1, x3; isb; mrs x0, tcr_el1; msr tcr_el1, x2; isb; ubfx x0, x0, #39, #1" 1;
        7 1 12 "HPDS"
            "mrs x2, tcr_el1; orr x3, x2, #2199023255552; msr tcr_el1, x3; isb; mrs x0, tcr_el1; msr tcr_el1, x2; isb; ubfx x0, x0, #41, #1" 1;
        7 1 20 "PAN"
            "msr pan, #1; mov x2, sp; at s1e1rp, x2; mrs x0, pan; msr pan, #0" 1 << 22;
        7 1 44 "AFP"
            "mov x2, #2; msr fpcr, x2; mrs x0, fpcr; msr fpcr, xzr" 2;
        7 1 52 "TIDCP1"
            "mrs x2, sctlr_el1; orr x3, x2, #9223372036854775808; msr sctlr_el1, x3; isb; mrs x0, sctlr_el1; msr sctlr_el1, x2; isb; ubfx x0, x0, #63, #1" 1;
        7 2 0 "CnP"
            "mrs x2, ttbr0_el1; orr x3, x2, #1; msr ttbr0_el1, x3; isb; mrs x0, ttbr0_el1; msr ttbr0_el1, x2; isb; ubfx x0, x0, #0, #1" 1;
        7 2 4 "UAO"
            "msr uao, #1; mrs x0, uao; msr uao, #0" 1 << 23;
        7 2 12 "IESB"
            "mrs x2, sctlr_el1; orr x3, x2, #2097152; msr sctlr_el1, x3; isb; mrs x0, sctlr_el1; msr sctlr_el1, x2; isb; ubfx x0, x0, #21, #1" 1;
        7 2 32 "LSE2"
            "sub sp, sp, #16; add x2, sp, #1; str x0, [x2]; ldadd x1, x3, [x2]; ldr x0, [x2]; add sp, sp, #16" 8;
        7 2 48 "TTL"
            "mov x2, #7 << 44; tlbi vae1, x2; dsb sy; isb" 5;
        7 2 60 "E0PD"
            "mrs x2, tcr_el1; orr x3, x2, #36028797018963968; msr tcr_el1, x3; isb; mrs x0, tcr_el1; msr tcr_el1, x2; isb; ubfx x0, x0, #55, #1" 1;
    }
}

/// Fields that describe the processor: there is no instruction that needs them.
const DESCRIPTIONS: [((u64, u64, u64), &str); 18] = [
    ((4, 0, 0), "AArch64 at EL0; the program stays at EL1"),
    ((4, 0, 56), "CSV2"),
    ((4, 0, 60), "CSV3"),
    ((7, 0, 0), "PARange"),
    ((7, 0, 4), "ASIDBits"),
    ((7, 0, 8), "BigEnd"),
    ((7, 0, 12), "SNSMem"),
    ((7, 0, 20), "TGran16"),
    ((7, 0, 24), "TGran64"),
    ((7, 0, 28), "TGran4"),
    ((7, 0, 32), "TGran16_2"),
    ((7, 0, 36), "TGran64_2"),
    ((7, 0, 40), "TGran4_2"),
    ((7, 1, 36), "ETS"),
    ((7, 2, 16), "VARange"),
    ((7, 2, 28), "ST"),
    ((7, 2, 36), "IDS"),
    ((7, 2, 52), "BBM"),
];

fn judge(is: u64, expected: u64) -> Use {
    if is == expected {
        Use::Works
    } else {
        Use::Wrong
    }
}

/// Executes instructions with 5 in X0 and V0 and 3 in X1 and V1; the result is X0. They may change X2 and X3 too.
#[cfg(target_os = "none")]
macro_rules! executed {
    ($text:literal) => {{
        let mut x0 = 5u64;
        core::arch::asm!(
            ".arch armv8.7-a+crypto+sha3+sm4+fp16+fp16fml+rng+bf16+i8mm+sve2+sve2-aes+sve2-bitperm+sve2-sha3+sve2-sm4+f32mm+f64mm+ssbs",
            "fmov d0, x0",
            "fmov d1, x1",
            $text,
            inout("x0") x0,
            inout("x1") 3u64 => _,
            out("x2") _,
            out("x3") _,
        );
        x0
    }};
}
#[cfg(not(target_os = "none"))]
macro_rules! executed {
    ($text:literal) => {{
        crate::common::fake::maintain($text, None, (file!(), line!()));
        0u64
    }};
}
use executed;
