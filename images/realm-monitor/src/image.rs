//! The parts of the image, put together: the monitor on the machine, with storage for its granule table.

use cca_abi::el3::boot_code;
use cca_abi::smccc::Registers;
use core::panic::PanicInfo;
use core::sync::atomic::AtomicU16;
use hardware::rmm::boot::{ColdBoot, Image};
use hardware::rmm::machine::{El3, Machine};
use hardware::rmm::pe::Pe;
use hardware::rmm::{cpu, per_pe};
use realm_monitor::Monitor;
use realm_monitor::attestation::Attestation;
use realm_monitor::granule::{Bank, Banks};
use spin::Once;

/// As much DRAM as is tracked: 32 GiB, at two bytes for each granule of 4 KiB.
const GRANULES: usize = 8 << 20;

static GRANULE_STATES: [AtomicU16; GRANULES] = [const { AtomicU16::new(0) }; GRANULES];

static ATTESTATION: Once<Attestation> = Once::new();

static MONITOR: Once<Monitor<Machine>> = Once::new();

struct RealmMonitor;

impl Image for RealmMonitor {
    fn start(boot: &ColdBoot) -> Result<(), i64> {
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
                hardware::println!("realm-monitor: realms cannot be attested: {why:?}");
                None
            }
        };
        let machine = Machine::new(cpu::features(), &GRANULE_STATES, attestation);
        let monitor = Banks::new(&list[..banks.len()])
            .and_then(|banks| Monitor::new(machine, banks))
            .ok_or(boot_code::MANIFEST_DATA_ERROR)?;
        let size: u64 = banks.iter().map(|bank| bank.size >> 20).sum();
        hardware::println!(
            "realm-monitor: {} PEs, {size} MiB can be delegated",
            boot.pes
        );
        MONITOR.call_once(|| monitor);
        Ok(())
    }

    fn call(pe: &mut Pe, registers: &mut Registers) {
        match MONITOR.get() {
            Some(monitor) => {
                monitor.handle_rmi(pe, registers);
            }
            None => unreachable!("a call before the monitor was started"),
        }
    }
}

hardware::rmm_image!(RealmMonitor);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hardware::common::panic::stop("realm-monitor", per_pe::index(), info)
}
