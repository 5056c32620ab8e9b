//! Puts the parts together: device tree, granule protection, RMM, normal world.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use cca_abi::{GRANULE_WORDS, firmware};
use core::panic::PanicInfo;
use hardware::el3::boot::{Firmware, Hardware, Primary, index_of};
use hardware::el3::{MAX_PES, ROOT_MEMORY};
use hardware::println;
use root_monitor::device_tree::{self, Channel, Machine};
use root_monitor::memory::Range;
use root_monitor::psci::{ProcessingElement, Start};
use root_monitor::{Identity, RootMonitor, layout, manifest};
use sha2::{Digest, Sha256};

hardware::root_monitor_main!(main);

/// UART0 and the rate that RMMs are told.
const CONSOLE: (u64, u64) = (0x0900_0000, 115_200);

fn main(mut primary: Primary) -> ! {
    let machine = match device_tree::read(primary.device_tree()) {
        Ok(machine) => machine,
        Err(error) => panic!(
            "the device tree at {:#x} is not usable: {error:?}",
            firmware::DEVICE_TREE
        ),
    };
    let pes = processing_elements(&machine);

    let rmm = Range::between(firmware::RMM_BASE, firmware::RMM_END);
    let channel = Channel {
        memory: Range::new(firmware::CHANNEL_BASE, firmware::CHANNEL_SIZE),
        intid: firmware::CHANNEL_INTID,
    };
    // Who started the machine sees the channel whatever the protection table says.
    let kept = [channel.memory];
    let protection = layout::protect(&primary.gpt, &machine.memory, rmm, &ROOT_MEMORY, &kept);
    let mut delegable = match protection {
        Ok(delegable) => delegable,
        Err(error) => panic!("granule protection: {error:?}"),
    };
    primary.apply_protection();
    let lost = manifest::limit_banks(&mut delegable.banks) + delegable.uncovered;
    if lost != 0 {
        println!("root-monitor: {lost:#x} bytes of memory cannot be delegated");
    }

    let Firmware {
        rmm: image,
        identity,
    } = primary.firmware();
    if let Some(image) = image {
        primary.load_rmm(image);
        let mut page = [0; GRANULE_WORDS];
        let console = manifest::pl011(CONSOLE.0, CONSOLE.1);
        if let Err(error) = manifest::write(
            &mut page,
            primary.shared_buffer(),
            delegable.banks.as_slice(),
            &[console],
        ) {
            panic!("boot manifest: {error:?}");
        }
        primary.write_shared_buffer(&page);
    } else {
        println!("root-monitor: the firmware contains no RMM");
    }

    match device_tree::patch(primary.device_tree(), rmm, channel) {
        Ok(patched) => primary.device_tree()[..patched.len()].copy_from_slice(&patched),
        Err(error) => panic!("the device tree cannot be extended: {error:?}"),
    }

    let shared_buffer = image.is_some().then_some(primary.shared_buffer());
    let payload = Start {
        entry: firmware::PAYLOAD_BASE,
        argument: firmware::DEVICE_TREE,
    };
    let identity = identity.zip(image).map(|(platform, image)| Identity {
        platform,
        rmm: Sha256::digest(image).into(),
        rmm_version: env!("CARGO_PKG_VERSION"),
    });
    primary.finish(|gpt| {
        match RootMonitor::new(Hardware, gpt, pes, Primary::INDEX, payload, shared_buffer) {
            Ok(monitor) => match identity {
                Some(identity) => monitor.with_identity(identity),
                None => monitor,
            },
            Err(error) => panic!("root monitor: {error:?}"),
        }
    })
}

/// A record for each PE that there is memory for, in the order of the linear index.
fn processing_elements(machine: &Machine) -> &'static [ProcessingElement] {
    let mut mpidrs = machine.mpidrs.clone();
    mpidrs.sort_unstable_by_key(|&mpidr| index_of(mpidr));
    if mpidrs
        .iter()
        .enumerate()
        .any(|(index, &mpidr)| index_of(mpidr) != index as u64)
    {
        panic!("the affinities of the PEs are not those of this machine");
    }
    if mpidrs.len() > MAX_PES {
        println!(
            "root-monitor: only {MAX_PES} of {} PEs are used",
            mpidrs.len()
        );
        mpidrs.truncate(MAX_PES);
    }
    let records: Vec<_> = mpidrs.into_iter().map(ProcessingElement::new).collect();
    Box::leak(records.into_boxed_slice())
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mpidr: u64 = hardware::read_sysreg!("mpidr_el1");
    hardware::common::panic::stop("root-monitor", index_of(mpidr) as usize, info)
}
