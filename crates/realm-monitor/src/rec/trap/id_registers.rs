//! What a realm reads from the identification registers (RMM specification 1.0-rel0, A5.2).
//!
//! A field is passed on if the feature needs no state that the monitor would have to switch and no control
//! above EL1; whatever is hidden here is trapped or undefined while a realm runs. Registers that are not
//! listed read as zero, which the architecture defines as "nothing of this is implemented".

use aarch64_formats::esr::SystemRegister;

use crate::platform::CpuFeatures;

/// What a realm's own parameters say about its processors.
#[derive(Clone, Copy, Debug)]
pub(in crate::rec) struct RealmFeatures {
    /// Number of breakpoints minus one.
    pub(in crate::rec) num_bps: u8,
    /// Number of watchpoints minus one.
    pub(in crate::rec) num_wps: u8,
    /// Whether it has SVE.
    pub(in crate::rec) sve: bool,
    /// Whether it has the PMU.
    pub(in crate::rec) pmu: bool,
}

/// Whether a register belongs to the group of identification registers that HCR_EL2.TID3 traps.
pub(super) const fn is_id_register(register: SystemRegister) -> bool {
    register.op0() == 3
        && register.op1() == 0
        && register.crn() == 0
        && register.crm() >= 1
        && register.crm() <= 7
}

/// The value that a realm reads.
pub(super) fn value(register: SystemRegister, cpu: &CpuFeatures, realm: RealmFeatures) -> u64 {
    let ids = &cpu.ids;
    match (register.crm(), register.op2()) {
        (4, 0) => pfr0(ids.pfr0, realm.sve),
        // BT, SSBS, RAS_frac. MTE, SME, NMI and the second CSV2 need switching or controls.
        (4, 1) => ids.pfr1 & (nibble(0) | nibble(4) | nibble(12)),
        (4, 4) if realm.sve => ids.zfr0,
        (5, 0) => dfr0(ids.dfr0, realm),
        (6, 0) => ids.isar0,
        // LS64 needs HCRX_EL2.
        (6, 1) => ids.isar1 & !nibble(60),
        // WFxT where it works, RPRES, GPA3, APA3, BC, PAC_frac. MOPS and others need HCRX_EL2.
        (6, 2) => {
            let wfxt = if WITHOUT_TIMEOUT.contains(&ids.midr) {
                0
            } else {
                nibble(0)
            };
            ids.isar2 & (wfxt | nibble(4) | nibble(8) | nibble(12) | nibble(20) | nibble(24))
        }
        // FGT and ECV are controls of EL2.
        (7, 0) => ids.mmfr0 & !(nibble(56) | nibble(60)),
        // VMIDBits, VH, LO, XNX, TWED, HCX and CMOW are about EL2 or need HCRX_EL2.
        (7, 1) => {
            ids.mmfr1
                & !(nibble(4)
                    | nibble(8)
                    | nibble(16)
                    | nibble(28)
                    | nibble(32)
                    | nibble(40)
                    | nibble(56))
        }
        // NV, FWB and EVT are about EL2.
        (7, 2) => ids.mmfr2 & !(nibble(24) | nibble(40) | nibble(56)),
        _ => 0,
    }
}

/// MIDR_EL1 of processors that say that they have WFIT and WFET, whose syndrome then is that of WFI and WFE when they are trapped: the
/// host does not learn that there is a timeout, and the realm waits for ever. QEMU's `max`, up to version 10 at least.
const WITHOUT_TIMEOUT: [u64; 1] = [0x000F_0510];

const fn nibble(low: u32) -> u64 {
    0xF << low
}

/// AArch64 only at EL1 and EL0, no higher exception levels; no MPAM, AMU, RME, Secure EL2, and SVE only for a
/// realm that has it; CSV2 without the registers of its second level, RAS without error records.
const fn pfr0(raw: u64, sve: bool) -> u64 {
    let hidden = if sve { 0 } else { nibble(32) }
        | nibble(0)
        | nibble(4)
        | nibble(8)
        | nibble(12)
        | nibble(36)
        | nibble(40)
        | nibble(44)
        | nibble(52);
    at_most(at_most(raw & !hidden, 56, 1), 28, 1) | 0x11
}

/// Self-hosted debug with the realm's number of breakpoints and watchpoints, and nothing else: no context-aware
/// breakpoints beyond the last one, no trace, no SPE, no BRBE, and the PMU only for a realm that has it, without the
/// registers that PMUv3p9 added.
fn dfr0(raw: u64, realm: RealmFeatures) -> u64 {
    let pmu = if realm.pmu {
        at_most(raw, 8, 8) & nibble(8)
    } else {
        0
    };
    // DebugVer and DoubleLock.
    raw & (nibble(0) | nibble(36))
        | pmu
        | u64::from(realm.num_bps & 0xF) << 12
        | u64::from(realm.num_wps & 0xF) << 20
}

/// The value with one field reduced to a maximum.
const fn at_most(value: u64, low: u32, maximum: u64) -> u64 {
    if value >> low & 0xF > maximum {
        value & !nibble(low) | maximum << low
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::IdRegisters;

    /// QEMU 10.0, `-cpu max,x-rme=on`.
    fn qemu() -> CpuFeatures {
        CpuFeatures {
            ids: IdRegisters {
                pfr0: 0x1311_0011_2111_2222,
                pfr1: 0x0000_0010_0100_0121,
                zfr0: u64::MAX,
                smfr0: u64::MAX,
                dfr0: 0x1000_0000_1030_560A,
                dfr1: u64::MAX,
                isar0: 0x1221_1111_1021_2120,
                isar1: 0x0111_2111_1021_1502,
                isar2: 0x0000_0000_0011_0012,
                mmfr0: 0x2100_0323_1020_1126,
                mmfr1: 0x0110_1120_1031_2122,
                mmfr2: 0x1221_0111_1201_1011,
                mmfr3: 0x1000_0000_0000_0000,
                midr: 0x000F_0510,
                ..IdRegisters::default()
            },
            ..CpuFeatures::default()
        }
    }

    const PLAIN: RealmFeatures = RealmFeatures {
        num_bps: 2,
        num_wps: 1,
        sve: false,
        pmu: false,
    };

    fn read(crm: u32, op2: u32) -> u64 {
        read_in(PLAIN, crm, op2)
    }

    fn read_in(realm: RealmFeatures, crm: u32, op2: u32) -> u64 {
        value(SystemRegister::new(3, 0, 0, crm, op2), &qemu(), realm)
    }

    #[test]
    fn a_realm_sees_what_it_can_use() {
        assert_eq!(read(4, 0), 0x1101_0000_1111_0011, "PFR0");
        assert_eq!(read(4, 1), 0x21, "PFR1");
        assert_eq!(read(5, 0), 0x10_200A, "DFR0");
        assert_eq!(read(6, 0), 0x1221_1111_1021_2120, "ISAR0");
        assert_eq!(read(6, 1), 0x0111_2111_1021_1502, "ISAR1");
        assert_eq!(read(6, 2), 0x0010_0010, "ISAR2");
        assert_eq!(read(7, 0), 0x0000_0323_1020_1126, "MMFR0");
        assert_eq!(read(7, 1), 0x0010_1020_0030_2002, "MMFR1");
        assert_eq!(read(7, 2), 0x1021_0011_1001_1011, "MMFR2");
    }

    #[test]
    fn a_realm_sees_waits_with_a_timeout_where_they_have_one() {
        let mut cpu = qemu();
        cpu.ids.midr = 0x410F_D490;
        let isar2 = SystemRegister::new(3, 0, 0, 6, 2);
        assert_eq!(value(isar2, &cpu, PLAIN), 0x0010_0012);
    }

    #[test]
    fn a_realm_sees_what_it_was_granted() {
        let sve = RealmFeatures { sve: true, ..PLAIN };
        assert_eq!(read_in(sve, 4, 0), 0x1101_0001_1111_0011, "PFR0");
        assert_eq!(read_in(sve, 4, 4), u64::MAX, "ZFR0");
        assert_eq!(read_in(sve, 5, 0), 0x10_200A, "DFR0");
        let pmu = RealmFeatures { pmu: true, ..PLAIN };
        assert_eq!(read_in(pmu, 5, 0), 0x10_260A, "DFR0");
        assert_eq!(read_in(pmu, 4, 0), 0x1101_0000_1111_0011, "PFR0");
        assert_eq!(read_in(pmu, 4, 4), 0, "ZFR0");
    }

    #[test]
    fn everything_else_in_the_group_reads_as_zero() {
        for crm in 1..=7 {
            for op2 in 0..8 {
                let listed = matches!((crm, op2), (4, 0 | 1) | (5, 0) | (6, 0..=2) | (7, 0..=2));
                assert_eq!(read(crm, op2) != 0, listed, "crm {crm} op2 {op2}");
            }
        }
    }

    #[test]
    fn the_group_is_what_tid3_traps() {
        assert!(is_id_register(SystemRegister::new(3, 0, 0, 7, 7)));
        assert!(
            !is_id_register(SystemRegister::new(3, 0, 0, 0, 5)),
            "MPIDR_EL1 is not in the group"
        );
        assert!(!is_id_register(SystemRegister::new(3, 1, 0, 4, 0)));
        assert!(!is_id_register(SystemRegister::new(2, 0, 0, 4, 0)));
    }
}
