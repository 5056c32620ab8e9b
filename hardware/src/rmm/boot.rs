//! Cold boot, warm boot and the service loop of a PE.
//!
//! Cold boot has two halves. Before translation is on, `rmm_cold_boot` checks what EL3 passed, in the order of the
//! boot interface, and builds the tables. Afterwards [`start`] runs on every PE alike; on the first one it also starts
//! the image.

use crate::common::uart::Uart;
use crate::common::{barrier, console};
use crate::rmm::cpu::{self, Optional};
use crate::rmm::mmu::{self, ADDRESS_BITS, NON_SECURE, Range};
use crate::rmm::pe::Pe;
use crate::rmm::{MAX_PES, hash, pmu, smc};
use crate::{read_sysreg, write_sysreg};
use cca_abi::el3::manifest::{Manifest, ManifestError};
use cca_abi::el3::{
    BOOT_COMPLETE, REQ_COMPLETE_RESULTS, RMI_REQ_COMPLETE, SWITCH_ON_DEMAND, boot_code,
    version_major, version_minor,
};
use cca_abi::smccc::Registers;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Least minor version of interface 0.x that has everything used: 0.3 cut the platform token into hunks.
const LEAST_MINOR: u64 = 3;

/// What the RMM learned at cold boot.
#[derive(Clone, Copy, Debug)]
pub struct ColdBoot {
    /// Number of PEs that may come up.
    pub pes: usize,
    /// Physical address of the page shared with EL3.
    pub shared_buffer: u64,
    /// The boot manifest.
    pub manifest: Manifest,
}

/// An RMM image: what is done with the machine.
pub trait Image {
    /// Called once, on the first PE, with translation on, before any call.
    ///
    /// # Errors
    ///
    /// A code of [`boot_code`] if the image cannot work on this machine.
    fn start(boot: &ColdBoot) -> Result<(), i64>;

    /// Serves one call of the host: `registers` holds X0 to X7, and receives the results.
    fn call(pe: &mut Pe, registers: &mut Registers);
}

struct Boot(UnsafeCell<Option<ColdBoot>>);

// SAFETY: written at cold boot while no other PE is in the image, read-only afterwards.
unsafe impl Sync for Boot {}

static BOOT: Boot = Boot(UnsafeCell::new(None));

/// Set by the first half of the cold boot, taken by its second half.
static IMAGE_TO_BE_STARTED: AtomicBool = AtomicBool::new(false);

/// First half of the cold boot: MMU off, one PE in the image. Does not return if the boot fails.
///
/// No read-modify-write atomics and no unaligned access here: memory has the Device type while the MMU is off.
#[unsafe(no_mangle)]
extern "C" fn rmm_cold_boot(index: u64, version: u64, pes: u64, shared_buffer: u64) {
    match check(index, version, pes, shared_buffer) {
        Ok(boot) => {
            // SAFETY: the only PE in the image.
            unsafe { *BOOT.0.get() = Some(boot) };
            IMAGE_TO_BE_STARTED.store(true, Ordering::Relaxed);
        }
        Err(code) => fail(code),
    }
}

/// The checks of the boot interface in their order, and the tables.
fn check(index: u64, version: u64, pes: u64, shared_buffer: u64) -> Result<ColdBoot, i64> {
    if version_major(version) != 0 || version_minor(version) < LEAST_MINOR {
        return Err(boot_code::VERSION_NOT_VALID);
    }
    if pes > MAX_PES as u64 {
        return Err(boot_code::CPUS_OUT_OF_RANGE);
    }
    if index >= pes {
        return Err(boot_code::CPU_ID_OUT_OF_RANGE);
    }
    if shared_buffer == 0
        || !shared_buffer.is_multiple_of(4096)
        || shared_buffer >> ADDRESS_BITS != 0
    {
        return Err(boot_code::INVALID_SHARED_BUFFER);
    }
    let mut words = [0; 512];
    for (n, word) in words.iter_mut().enumerate() {
        // SAFETY: EL3 promises a page of Realm memory with the manifest, cleaned to memory. It may write to it only
        // when asked, but nothing depends on that: the page is copied once.
        *word = unsafe { AtomicU64::from_ptr((shared_buffer as *mut u64).add(n)) }
            .load(Ordering::Relaxed);
    }
    let manifest = Manifest::read(&words, shared_buffer).map_err(|error| match error {
        ManifestError::Version => boot_code::MANIFEST_VERSION_NOT_SUPPORTED,
        ManifestError::Data => boot_code::MANIFEST_DATA_ERROR,
    })?;
    let banks = manifest.banks().iter().map(|bank| Range {
        base: bank.base,
        size: bank.size,
    });
    let consoles = manifest.consoles().iter().map(|console| Range {
        base: console.base & !0xFFF,
        size: console.map_pages.saturating_mul(4096),
    });
    let reachable = |range: Range| {
        range
            .base
            .checked_add(range.size)
            .is_some_and(|end| end <= 1 << ADDRESS_BITS)
    };
    if !banks.clone().chain(consoles.clone()).all(reachable) {
        return Err(boot_code::MANIFEST_DATA_ERROR);
    }
    // SAFETY: cold boot: the MMU is off, nobody else is here, and this happens once.
    unsafe { mmu::build(banks, consoles, shared_buffer) }
        .map_err(|_| boot_code::MANIFEST_DATA_ERROR)?;
    Ok(ColdBoot {
        pes: pes as usize,
        shared_buffer,
        manifest,
    })
}

/// Reports a failed boot. EL3 does not come back.
fn fail(code: i64) -> ! {
    smc::next_call(u64::from(BOOT_COMPLETE), &[code as u64, 0]);
    barrier::halt()
}

/// The EL2 registers of a PE that stay as they are: for a realm, everything optional trapped or off.
pub(super) fn configure(optional: Optional, counters: u64) {
    let midr = read_sysreg!("midr_el1");
    // SAFETY: traps and offsets for lower exception levels only.
    unsafe {
        // EL1PCTEN, EL1PTEN: the realm has counters and timers, with offset zero.
        write_sysreg!("cnthctl_el2", 1 << 10 | 1 << 11);
        write_sysreg!("cntvoff_el2", 0);
        write_sysreg!("vpidr_el2", midr);
        write_sysreg!("hstr_el2", 0);
        // All counters are EL1's, and those of the host do not count what the RMM does, whatever their filters say.
        write_sysreg!("mdcr_el2", pmu::mdcr_monitor(counters));
        write_sysreg!("s3_4_c12_c11_0", 0); // ICH_HCR_EL2
        if optional.ecv_offset {
            write_sysreg!("s3_4_c14_c0_6", 0); // CNTPOFF_EL2
        }
        if optional.hcx {
            write_sysreg!("s3_4_c1_c2_2", 0); // HCRX_EL2
        }
        if optional.fgt {
            // Zero is "no trap" for what every PE has, and "trap" for what came later and nothing here switches
            // (TPIDR2_EL0, SMPRI_EL1, branch records). HFGRTR, HFGWTR, HFGITR, HDFGRTR, HDFGWTR.
            write_sysreg!("s3_4_c1_c1_4", 0);
            write_sysreg!("s3_4_c1_c1_5", 0);
            write_sysreg!("s3_4_c1_c1_6", 0);
            write_sysreg!("s3_4_c3_c1_4", 0);
            write_sysreg!("s3_4_c3_c1_5", 0);
        }
    }
    barrier::isb();
}

/// Where every PE arrives with translation on: starts the image if that is still to be done, tells EL3 that this PE is
/// ready, and serves calls.
pub fn start<I: Image>() -> ! {
    let features = cpu::features();
    let optional = Optional::of(&features.ids);
    configure(optional, features.pmu_counters.unwrap_or(0).into());
    // SAFETY: written before this PE could come here, and never again.
    let boot = unsafe { &*BOOT.0.get() };
    if IMAGE_TO_BE_STARTED.load(Ordering::Acquire) {
        IMAGE_TO_BE_STARTED.store(false, Ordering::Release);
        if optional.pauth {
            // Every entry of a realm begins with loading its keys, which is what EL3 wants. Another EL3 that does not
            // know the call switches all registers each time; nothing here depends on the answer.
            smc::service(u64::from(SWITCH_ON_DEMAND), 0);
        }
        if let Some(boot) = boot {
            let console = boot
                .manifest
                .consoles()
                .iter()
                .find(|console| &console.name == b"pl011\0\0\0");
            if let Some(console) = console {
                // SAFETY: the manifest says that a PL011 is there, and it is mapped in the Non-secure window.
                console::set(unsafe { Uart::new((NON_SECURE + console.base) as usize) });
            }
            if let Err(code) = I::start(boot) {
                fail(code);
            }
        }
    }
    let mut pe = Pe::new(&features);
    let mut call = smc::next_call(u64::from(BOOT_COMPLETE), &[boot_code::SUCCESS as u64, 0]);
    loop {
        I::call(&mut pe, &mut call);
        hash::give_back();
        call = smc::next_call(u64::from(RMI_REQ_COMPLETE), &call.0[..REQ_COMPLETE_RESULTS]);
    }
}

/// Makes a type that implements [`Image`] the image that is linked: defines what the entry code continues with.
#[macro_export]
macro_rules! rmm_image {
    ($image:ty) => {
        /// Continuation of the entry code, with translation on.
        #[unsafe(no_mangle)]
        extern "C" fn rmm_start() -> ! {
            $crate::rmm::boot::start::<$image>()
        }
    };
}
