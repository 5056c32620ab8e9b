//! What the PEs of this machine can do, from their identification registers.

use crate::read_sysreg;
use crate::rmm::simd;
use realm_monitor::platform::{CpuFeatures, IdRegisters};

/// Bits 4 * `field` to 4 * `field` + 3.
const fn field(register: u64, field: u32) -> u64 {
    (register >> (4 * field)) & 0xF
}

/// Physical address widths by ID_AA64MMFR0_EL1.PARange.
const PA_BITS: [u8; 7] = [32, 36, 40, 42, 44, 48, 52];

/// Reads the features of this PE. All PEs are taken to be alike.
pub fn features() -> CpuFeatures {
    let ids = IdRegisters {
        pfr0: read_sysreg!("id_aa64pfr0_el1"),
        pfr1: read_sysreg!("id_aa64pfr1_el1"),
        pfr2: read_sysreg!("s3_0_c0_c4_2"),
        zfr0: read_sysreg!("s3_0_c0_c4_4"),
        smfr0: read_sysreg!("s3_0_c0_c4_5"),
        dfr0: read_sysreg!("id_aa64dfr0_el1"),
        dfr1: read_sysreg!("id_aa64dfr1_el1"),
        isar0: read_sysreg!("id_aa64isar0_el1"),
        isar1: read_sysreg!("id_aa64isar1_el1"),
        isar2: read_sysreg!("s3_0_c0_c6_2"),
        isar3: read_sysreg!("s3_0_c0_c6_3"),
        mmfr0: read_sysreg!("id_aa64mmfr0_el1"),
        mmfr1: read_sysreg!("id_aa64mmfr1_el1"),
        mmfr2: read_sysreg!("s3_0_c0_c7_2"),
        mmfr3: read_sysreg!("s3_0_c0_c7_3"),
        mmfr4: read_sysreg!("s3_0_c0_c7_4"),
        midr: read_sysreg!("midr_el1"),
    };
    let optional = Optional::of(&ids);
    let range = (field(ids.mmfr0, 0) as usize).min(PA_BITS.len() - 1);
    CpuFeatures {
        pa_bits: PA_BITS[range],
        // TGran4_2: 3 is "supported, with 52-bit addresses"; 0 refers to TGran4, where that is 1.
        lpa2: match field(ids.mmfr0, 10) {
            0 => field(ids.mmfr0, 7) == 1,
            stage2 => stage2 == 3,
        },
        vmid16: field(ids.mmfr1, 1) == 2,
        num_bps: field(ids.dfr0, 3) as u8,
        num_wps: field(ids.dfr0, 5) as u8,
        sve_vl: optional.sve.then(simd::longest_vectors),
        // PMCR_EL0.N
        pmu_counters: optional
            .pmu
            .then(|| (read_sysreg!("pmcr_el0") >> 11 & 0x1F) as u8),
        ich_vtr: read_sysreg!("s3_4_c12_c11_1"),
        // ICC_CTLR_EL1.ExtRange
        gic_extended_ranges: read_sysreg!("s3_0_c12_c12_4") & 1 << 19 != 0,
        ids,
    }
}

/// Which optional state this code has to switch or to keep shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optional {
    /// Pointer authentication keys.
    pub pauth: bool,
    /// The Scalable Vector Extension, hence a host whose vectors are longer than V0 to V31.
    pub sve: bool,
    /// The Scalable Matrix Extension, hence a host that may be in streaming mode.
    pub sme: bool,
    /// VDISR_EL2 and VSESR_EL2.
    pub ras: bool,
    /// Fine-grained traps.
    pub fgt: bool,
    /// HCRX_EL2.
    pub hcx: bool,
    /// CNTPOFF_EL2.
    pub ecv_offset: bool,
    /// The Performance Monitors Extension.
    pub pmu: bool,
}

impl Optional {
    /// The optional features of PEs with these identification registers.
    pub const fn of(ids: &IdRegisters) -> Self {
        // ISAR1.{APA, API, GPA, GPI}, ISAR2.{GPA3, APA3}.
        let pauth = ids.isar1 & 0xFF00_0FF0 != 0 || ids.isar2 & 0xFF00 != 0;
        let pmu = field(ids.dfr0, 2);
        Self {
            pauth,
            sve: field(ids.pfr0, 8) != 0,
            sme: field(ids.pfr1, 6) != 0,
            ras: field(ids.pfr0, 7) != 0,
            fgt: field(ids.mmfr0, 14) != 0,
            hcx: field(ids.mmfr1, 10) != 0,
            ecv_offset: field(ids.mmfr0, 15) >= 2,
            pmu: pmu != 0 && pmu != 0xF,
        }
    }
}
