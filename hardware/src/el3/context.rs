//! The registers of a world on one PE.

use crate::read_sysreg;
use cca_abi::smccc::Registers;
use core::mem::offset_of;
use root_monitor::World;
use root_monitor::psci::Start;

/// PSTATE of EL2 with its own stack pointer, all exceptions masked.
pub(super) const EL2H_MASKED: u64 = 0x3C9;
/// SCTLR_EL2 with everything off.
const SCTLR_RES1: u64 = 0x30C5_0830;

/// SCR_EL3 of the normal world: RES1, NS, FIQ, HCE, SIF, RW, APK, API, EnSCXT, FGTEn, ECVEn, HXEn, EnTP2.
///
/// FIQ: the interrupts of group 0 are EL3's, and the priorities of the normal world are the lower half.
const SCR_NORMAL: u64 = 0x0000_0240_1A03_0735;
/// SCR_EL3 bits without which the registers on demand trap to EL3: APK, API, EnSCXT, FGTEn, ECVEn, HXEn.
pub(super) const SCR_ON_DEMAND: u64 = 1 << 16 | 1 << 17 | 1 << 25 | 1 << 27 | 1 << 28 | 1 << 38;
/// SCR_EL3.NSE.
const SCR_NSE: u64 = 1 << 62;

/// CPTR_EL3.EZ and ESM: neither SVE nor SME traps to EL3.
pub(super) const CPTR_VECTORS: u64 = 1 << 8 | 1 << 12;
/// CPTR_EL3.TTA and TAM: no trace and activity monitor registers for the Realm world.
const CPTR_REALM: u64 = 1 << 20 | 1 << 30;

/// MDCR_EL3 of both worlds. SDD, SPD32 = 0b10: no debug exceptions of the Secure state. SCCD, MCCD, and SPME and MPMX zero:
/// no cycles and no events are counted at EL3. TTRF: trace filters are not switched, so nobody has them. NSPB, NSTB and SBRBE
/// zero: no profiling, no trace buffer, no branch records.
pub(super) const MDCR: u64 = 1 << 16 | 0b10 << 14 | 1 << 23 | 1 << 34 | 1 << 19;

/// HFGRTR_EL2, HFGWTR_EL2 bits whose zero would trap: nTPIDR2_EL0, nSMPRI_EL1, nACCDATA_EL1.
const FGT_NO_TRAP: u64 = 1 << 55 | 1 << 54 | 1 << 50;
/// HFGITR_EL2 bits whose zero would trap: nBRBIALL, nBRBINJ.
const FGT_NO_INSTRUCTION_TRAP: u64 = 1 << 56 | 1 << 55;
/// HDFGRTR_EL2 bits whose zero would trap: nPMSNEVFR_EL1, nBRBDATA, nBRBCTL, nBRBIDR.
const FGT_NO_DEBUG_READ_TRAP: u64 = 0b1111 << 59;
/// HDFGWTR_EL2 bits whose zero would trap: nPMSNEVFR_EL1, nBRBDATA, nBRBCTL.
const FGT_NO_DEBUG_WRITE_TRAP: u64 = 0b111 << 60;

macro_rules! context {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The registers that each world has for itself. The order is known to the assembly code of [`super::switch`].
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C, align(64))]
        pub(super) struct Context {
            $($(#[$doc])* pub(super) $field: $type,)*
        }
    };
}

context! {
    /// X0 to X17.
    call: Registers,
    /// X18 to X30.
    general: [u64; 13],
    sp_el0: u64,
    elr_el3: u64,
    /// SCR_EL3 while this world runs.
    scr_el3: u64,
    /// The exception vectors of EL3 while this world runs.
    vbar_el3: u64,
    /// CPTR_EL3 while this world runs.
    cptr_el3: u64,
    spare: u64,
    spare_2: u64,
    spsr_el3: u64,
    sctlr_el2: u64,
    hcr_el2: u64,
    mdcr_el2: u64,
    cptr_el2: u64,
    hstr_el2: u64,
    vbar_el2: u64,
    ttbr0_el2: u64,
    ttbr1_el2: u64,
    tcr_el2: u64,
    mair_el2: u64,
    sp_el2: u64,
    tpidr_el2: u64,
    elr_el2: u64,
    spsr_el2: u64,
    esr_el2: u64,
    far_el2: u64,
    hpfar_el2: u64,
    contextidr_el2: u64,
    cnthctl_el2: u64,
    cntvoff_el2: u64,
    vmpidr_el2: u64,
    vpidr_el2: u64,
    vtcr_el2: u64,
    vttbr_el2: u64,
    vdisr_el2: u64,
    vsesr_el2: u64,
    vncr_el2: u64,
    ich_hcr_el2: u64,
    ich_vmcr_el2: u64,
    hfgrtr_el2: u64,
    hfgwtr_el2: u64,
    hfgitr_el2: u64,
    hdfgrtr_el2: u64,
    hdfgwtr_el2: u64,
    hcrx_el2: u64,
    cntpoff_el2: u64,
    scxtnum_el2: u64,
    /// APIA, APIB, APDA, APDB, APGA; low half first.
    pointer_keys: [u64; 10],
}

/// Byte offset around which the assembly code addresses a context.
pub(super) const MIDDLE: usize = offset_of!(Context, spsr_el3);

const _: () = assert!(offset_of!(Context, sp_el0) == 31 * 8 && MIDDLE == 38 * 8);
const _: () = assert!(offset_of!(Context, hfgrtr_el2) == MIDDLE + 30 * 8);
const _: () = assert!(offset_of!(Context, pointer_keys) == MIDDLE + 38 * 8);

impl Context {
    /// A world as it is entered for the first time: at EL2 with the MMU off and exceptions masked.
    pub(super) fn at_entry(world: World, vectors: u64, entry: u64, arguments: [u64; 4]) -> Self {
        let mut call = Registers::default();
        call.0[..4].copy_from_slice(&arguments);
        let (scr_el3, cptr_el3) = match world {
            World::NonSecure => (SCR_NORMAL, CPTR_VECTORS),
            World::Realm => (SCR_NORMAL | SCR_NSE, CPTR_VECTORS | CPTR_REALM),
        };
        let counters = read_sysreg!("pmcr_el0") >> 11 & 0x1F;
        Self {
            call,
            elr_el3: entry,
            spsr_el3: EL2H_MASKED,
            scr_el3,
            vbar_el3: vectors,
            cptr_el3,
            sctlr_el2: SCTLR_RES1,
            spsr_el2: EL2H_MASKED,
            mdcr_el2: counters,
            vpidr_el2: read_sysreg!("midr_el1"),
            vmpidr_el2: read_sysreg!("mpidr_el1"),
            hfgrtr_el2: FGT_NO_TRAP,
            hfgwtr_el2: FGT_NO_TRAP,
            hfgitr_el2: FGT_NO_INSTRUCTION_TRAP,
            hdfgrtr_el2: FGT_NO_DEBUG_READ_TRAP,
            hdfgwtr_el2: FGT_NO_DEBUG_WRITE_TRAP,
            ..Self::default()
        }
    }

    /// The normal world at its beginning.
    pub(super) fn normal(vectors: u64, start: Start) -> Self {
        Self::at_entry(
            World::NonSecure,
            vectors,
            start.entry,
            [start.argument, 0, 0, 0],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn bits(positions: &[u32]) -> u64 {
        positions.iter().fold(0, |value, bit| value | 1 << bit)
    }

    /// The register of SCR_EL3 bits by the architecture: what each of the registers on demand is trapped by.
    fn trap_of(register: &str) -> u32 {
        match register {
            // HFGRTR_EL2, HFGWTR_EL2, HFGITR_EL2, HDFGRTR_EL2, HDFGWTR_EL2: FGTEn
            "s3_4_c1_c1_4" | "s3_4_c1_c1_5" | "s3_4_c1_c1_6" | "s3_4_c3_c1_4" | "s3_4_c3_c1_5" => {
                27
            }
            // HCRX_EL2: HXEn
            "s3_4_c1_c2_2" => 38,
            // CNTPOFF_EL2: ECVEn
            "s3_4_c14_c0_6" => 28,
            // SCXTNUM_EL2: EnSCXT
            "s3_4_c13_c0_7" => 25,
            // Keys: APK
            key if key.starts_with("s3_0_c2_c") => 16,
            other => panic!("what traps {other}?"),
        }
    }

    #[test]
    fn every_register_on_demand_has_its_trap() {
        let source = include_str!("switch.s");
        let (_, list) = source.split_once(".macro each_pair_on_demand").unwrap();
        let (list, _) = list.split_once(".endm").unwrap();
        let registers: Vec<&str> = list
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("s3_"))
            .collect();
        assert_eq!(registers.len(), 18, "{registers:?}");
        // The instructions of pointer authentication use keys, too: API.
        let mut traps = bits(&[17]);
        for register in registers {
            traps |= 1 << trap_of(register);
        }
        assert_eq!(SCR_ON_DEMAND, traps);
        assert_eq!(SCR_NORMAL & traps, traps, "the normal world has them");
    }

    #[test]
    fn what_no_world_has_is_trapped() {
        // TTA, TAM
        assert_eq!(CPTR_REALM, bits(&[20, 30]));
        // SPD32 = 0b10, SDD, TTRF, SCCD, MCCD; and neither SPME (17), MPMX (35) nor what gives away NSPB (12, 13), NSTB (24, 25)
        // and SBRBE (32, 33).
        assert_eq!(MDCR, bits(&[15, 16, 19, 23, 34]));
    }
}
