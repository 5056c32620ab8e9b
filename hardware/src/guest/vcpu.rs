//! The vCPU that the program runs on.

use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::smccc::Registers;
use realm_guest::demo::GuestPe;
use realm_guest::puppet::Access;

use super::entry::{self, MAX_VCPUS};
use super::{system, translation, vectors};
use crate::common::assembly::operation;
use crate::common::vectors::{self as registers, Kind};
use crate::common::{barrier, device, points, smc};
use crate::{read_sysreg, write_sysreg};

/// No interrupt: the INTID that the GIC answers when nothing is signalled.
const NONE: u64 = 1023;

/// The interrupt that each vCPU has taken and the program has not yet asked for.
static TAKEN: [AtomicU64; MAX_VCPUS] = [const { AtomicU64::new(NONE) }; MAX_VCPUS];

/// `SMC #0` at EL1 of a realm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conduit;

impl realm_guest::Conduit for Conduit {
    fn smc(&self, registers: &mut Registers) {
        smc::smc(registers);
    }
}

/// One vCPU, of use only on itself.
#[derive(Debug)]
pub struct Vcpu {
    taken: &'static AtomicU64,
    /// Not for other vCPUs: all it does concerns the one that it was made on.
    here: core::marker::PhantomData<*const ()>,
}

impl Vcpu {
    /// Prepares this vCPU, whose index is below [`MAX_VCPUS`], for interrupts; they stay masked.
    pub(super) fn start(index: usize) -> Self {
        let taken = &TAKEN[index];
        // SAFETY: the registers let the GIC's CPU interface signal group 1 interrupts of any priority, with one
        // write for priority drop and deactivation; all interrupts are still masked in PSTATE.
        unsafe {
            write_sysreg!("s3_0_c12_c12_5", 0b111); // ICC_SRE_EL1
            barrier::isb();
            write_sysreg!("s3_0_c4_c6_0", 0xF0); // ICC_PMR_EL1
            write_sysreg!("s3_0_c12_c12_4", 0); // ICC_CTLR_EL1
            write_sysreg!("s3_0_c12_c12_3", 0); // ICC_BPR1_EL1
            write_sysreg!("s3_0_c12_c12_7", 1); // ICC_IGRPEN1_EL1
        }
        barrier::isb();
        Self {
            taken,
            here: core::marker::PhantomData,
        }
    }
}

impl realm_guest::Conduit for Vcpu {
    fn smc(&self, registers: &mut Registers) {
        smc::smc(registers);
    }
}

impl GuestPe for Vcpu {
    fn read(&self, ipa: u64) -> u64 {
        // SAFETY: a load changes nothing. An address that is not memory is an exception, which ends the realm.
        unsafe { device::load_64(ipa as usize) }
    }

    fn write(&self, ipa: u64, value: u64) {
        assert!(
            !entry::image().contains(&ipa),
            "the program stores over itself at {ipa:#x}"
        );
        // SAFETY: the address is outside of the image, its data and its stacks (checked above): no Rust object is there.
        unsafe { device::store_64(ipa as usize, value) }
    }

    fn load_device(&self, ipa: u64) -> u32 {
        // SAFETY: a load changes no memory of this program.
        unsafe { device::load_32(ipa as usize) }
    }

    fn store_device(&self, ipa: u64, value: u32) {
        assert!(
            !entry::image().contains(&ipa),
            "the program stores over itself at {ipa:#x}"
        );
        // SAFETY: as in `write`.
        unsafe { device::store_32(ipa as usize, value) }
    }

    fn mpidr(&self) -> u64 {
        read_sysreg!("mpidr_el1")
    }

    fn counter(&self) -> u64 {
        barrier::isb();
        read_sysreg!("cntvct_el0")
    }

    fn frequency(&self) -> u64 {
        read_sysreg!("cntfrq_el0")
    }

    fn arm_timer(&self, deadline: u64) {
        // SAFETY: the virtual timer can only raise its interrupt, which is masked outside of `wait_for_interrupt`.
        unsafe {
            write_sysreg!("cntv_cval_el0", deadline);
            write_sysreg!("cntv_ctl_el0", 1);
        }
        barrier::isb();
    }

    fn disarm_timer(&self) {
        // SAFETY: turns the virtual timer off.
        unsafe { write_sysreg!("cntv_ctl_el0", 0) };
        barrier::isb();
    }

    fn wait_for_interrupt(&self) {
        if self.taken.load(Ordering::Relaxed) != NONE {
            return;
        }
        // What the handler runs on may hold anything, as the host says: it is there for as long as it is needed. What it leaves in the others
        // is no more to be seen than the interrupt itself.
        let vbar = read_sysreg!("vbar_el1");
        let tpidr = read_sysreg!("tpidr_el1");
        let elr = read_sysreg!("elr_el1");
        let spsr = read_sysreg!("spsr_el1");
        vectors::install();
        // SAFETY: an interrupt is taken between the two changes of the mask, if at all; its handler changes registers
        // that get their contents back (its own two, ELR_EL1, SPSR_EL1), 16 bytes below SP, where this target has no red
        // zone, and the atomic `self.taken`, at which `TPIDR_EL1` points meanwhile.
        unsafe {
            write_sysreg!("tpidr_el1", self.taken.as_ptr() as u64);
            barrier::wfi();
            operation!("msr daifclr, #2");
            barrier::isb();
            operation!("msr daifset, #2");
            write_sysreg!("vbar_el1", vbar);
            write_sysreg!("tpidr_el1", tpidr);
            write_sysreg!("elr_el1", elr);
            write_sysreg!("spsr_el1", spsr);
        }
        barrier::isb();
    }

    fn acknowledge_interrupt(&self) -> Option<u32> {
        match self.taken.swap(NONE, Ordering::Relaxed) & 0xFF_FFFF {
            intid @ 0..NONE => Some(intid as u32),
            _ => None,
        }
    }

    fn end_of_interrupt(&self, intid: u32) {
        barrier::dsb_sy();
        // SAFETY: ends an interrupt in the GIC, nothing else.
        unsafe { write_sysreg!("s3_0_c12_c12_1", u64::from(intid)) }; // ICC_EOIR1_EL1
        barrier::isb();
    }

    fn secondary_entry(&self) -> u64 {
        entry::secondary_entry()
    }

    fn fill_vectors(&self, seed: u64) -> Option<u64> {
        let sve = open_vectors();
        // SAFETY: the registers are open.
        Some(unsafe { registers::fill(Kind::of(sve), seed) })
    }

    fn overflow_cycles(&self, asked: bool) -> Option<u64> {
        /// The cycle counter in PMCNTENSET_EL0 and its like.
        const CYCLES: u64 = 1 << 31;
        /// Enough for an overflow that is some cycles away.
        const PATIENCE: usize = 1_000_000;
        // ID_AA64DFR0_EL1.PMUVer
        if read_sysreg!("id_aa64dfr0_el1") >> 8 & 0xF == 0 {
            return None;
        }
        // SAFETY: the PMU counts, and can raise its interrupt, which is masked outside of `wait_for_interrupt`.
        unsafe {
            if asked {
                write_sysreg!("pmccfiltr_el0", 0);
                write_sysreg!("pmccntr_el0", u64::MAX - 100);
                write_sysreg!("pmintenset_el1", CYCLES);
                write_sysreg!("pmcntenset_el0", CYCLES);
                write_sysreg!("pmcr_el0", 1 << 6 | 1); // LC, E
            } else {
                write_sysreg!("pmcr_el0", 1 << 6);
                write_sysreg!("pmovsclr_el0", CYCLES);
                write_sysreg!("pmcr_el0", 1 << 6 | 1);
            }
        }
        barrier::isb();
        for _ in 0..PATIENCE {
            if !asked || read_sysreg!("pmovsset_el0") & CYCLES != 0 {
                break;
            }
        }
        Some(read_sysreg!("pmcr_el0") >> 11 & 0x1F)
    }

    fn vector_differences(&self, seed: u64) -> Option<u64> {
        let sve = open_vectors();
        // SAFETY: the registers are open.
        Some(unsafe { registers::differences(Kind::of(sve), seed) })
    }

    fn use_memory(&self, access: Access, ipa: u64) -> ! {
        assert!(
            !entry::image().contains(&ipa),
            "the program stores over itself at {ipa:#x}"
        );
        // SAFETY: as in `write`.
        unsafe { system::use_memory(access, ipa) }
    }

    fn places(&self, ipa: u64) -> Option<[u64; 2]> {
        Some([system::use_memory_code(), translation::last_table(ipa)])
    }

    fn fill_system(&self, seed: u64) -> Option<u64> {
        Some(system::fill_system(seed))
    }

    fn system_differences(&self) -> Option<u64> {
        Some(system::system_differences())
    }

    fn fill_registers(&self, seed: u64) -> Option<u64> {
        // SAFETY: this program uses neither breakpoints nor watchpoints nor the PMU.
        Some(unsafe { points::fill(seed, true) })
    }

    fn register_differences(&self, seed: u64) -> Option<u64> {
        Some(points::differences(seed, true))
    }
}

/// Opens FP, Advanced SIMD and, if the realm has it, SVE with the longest vectors that there are. Whether it has it.
pub(super) fn open_vectors() -> bool {
    let sve = read_sysreg!("id_aa64pfr0_el1") >> 32 & 0xF != 0;
    let zen = if sve { 3 << 16 } else { 0 };
    // SAFETY: compiled code uses none of the registers. CPACR_EL1.FPEN and ZEN.
    unsafe { write_sysreg!("cpacr_el1", 3 << 20 | zen) };
    barrier::isb();
    if sve {
        // SAFETY: as above. ZCR_EL1
        unsafe { write_sysreg!("s3_0_c1_c2_0", 0xF) };
        barrier::isb();
    }
    sve
}
