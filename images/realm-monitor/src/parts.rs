//! The parts of the image, put together: the monitor on the machine, with storage for its granule table.

use cca_abi::el3::boot_code;
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU16;
use hardware::rmm::boot::ColdBoot;
use hardware::rmm::machine::{El3, Machine};
use hardware::rmm::{cpu, per_pe};
use realm_monitor::Monitor;
use realm_monitor::attestation::Attestation;
use realm_monitor::granule::{Bank, Banks};
use realm_monitor::platform::Platform;
use spin::Once;

/// As much DRAM as is tracked: 32 GiB, at two bytes for each granule of 4 KiB.
const GRANULES: usize = 8 << 20;

static GRANULE_STATES: [AtomicU16; GRANULES] = [const { AtomicU16::new(0) }; GRANULES];

static ATTESTATION: Once<Attestation> = Once::new();

/// Puts a monitor into `place`, on the machine as `view` shows it.
///
/// # Errors
///
/// The code for EL3 if its manifest is of no use.
pub fn start<P: Platform>(
    name: &str,
    boot: &ColdBoot,
    place: &Once<Monitor<P>>,
    view: fn(Machine) -> P,
) -> Result<(), i64> {
    let mut list = [Bank::default(); cca_abi::el3::manifest::MAX_BANKS];
    let banks = boot.manifest.banks();
    for (slot, bank) in list.iter_mut().zip(banks) {
        *slot = Bank {
            base: bank.base,
            size: bank.size,
        };
    }
    let el3 = El3 {
        shared_buffer: boot.shared_buffer,
    };
    let attestation = match Attestation::fetch(&el3) {
        Ok(attestation) => Some(ATTESTATION.call_once(|| attestation)),
        Err(why) => {
            hardware::println!("{name}: realms cannot be attested: {why:?}");
            None
        }
    };
    let machine = Machine::new(cpu::features(), &GRANULE_STATES, attestation);
    let monitor = Banks::new(&list[..banks.len()])
        .and_then(|banks| Monitor::new(view(machine), banks))
        .ok_or(boot_code::MANIFEST_DATA_ERROR)?;
    let size: u64 = banks.iter().map(|bank| bank.size >> 20).sum();
    hardware::println!("{name}: {} PEs, {size} MiB can be delegated", boot.pes);
    place.call_once(|| monitor);
    Ok(())
}

/// What a panic of the image leads to.
pub fn stop(name: &str, info: &PanicInfo<'_>) -> ! {
    hardware::common::panic::stop(name, per_pe::index(), info)
}
