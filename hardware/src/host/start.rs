//! From the first instructions to the program.

use cca_abi::firmware::{DEVICE_TREE, DEVICE_TREE_SIZE, PAYLOAD_BASE, RMM_END};

use super::{power, translation, vectors};
use crate::common::console;
use crate::common::uart::{UART0, Uart};

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    /// The program of the first PE.
    safe fn hypervisor_program_primary(device_tree: Option<&'static [u8]>);
    /// The program of every other PE.
    safe fn hypervisor_program_secondary(index: usize);
}

/// There is no image.
#[cfg(not(target_os = "none"))]
fn hypervisor_program_primary(_: Option<&'static [u8]>) {}

/// There is no image.
#[cfg(not(target_os = "none"))]
fn hypervisor_program_secondary(_: usize) {}

/// Where the first PE goes from its first instructions, MMU off.
pub(super) extern "C" fn primary(x0: u64) -> ! {
    vectors::install();
    translation::start();
    // SAFETY: `translation::start` maps the machine's first UART, at its place in the layout, as device memory.
    let uart = unsafe { Uart::new(UART0) };
    uart.enable();
    console::set(uart);
    hypervisor_program_primary(device_tree(x0));
    power::system_off()
}

/// Where every other PE goes from its first instructions, MMU off.
pub(super) extern "C" fn secondary(index: u64) -> ! {
    vectors::install();
    translation::enable();
    hypervisor_program_secondary(index as usize);
    power::pe_off()
}

/// The device tree: at `x0` if the firmware passes one there, else at its place in the layout.
fn device_tree(x0: u64) -> Option<&'static [u8]> {
    let plausible =
        (RMM_END..PAYLOAD_BASE - DEVICE_TREE_SIZE).contains(&x0) && x0.is_multiple_of(8);
    if plausible {
        translation::map_memory(x0 & !0xFFF..x0 + DEVICE_TREE_SIZE);
        if let Some(tree) = device_tree_at(x0) {
            return Some(tree);
        }
    }
    device_tree_at(DEVICE_TREE)
}

/// The blob at an address with at least `DEVICE_TREE_SIZE` mapped bytes, if it is one.
fn device_tree_at(address: u64) -> Option<&'static [u8]> {
    const MAGIC: u32 = 0xD00D_FEED;
    // SAFETY: the bytes are mapped, normal memory outside of the image, and `Dram` never hands them out: nobody changes
    // them from here on.
    let all =
        unsafe { core::slice::from_raw_parts(address as *const u8, DEVICE_TREE_SIZE as usize) };
    let word = |offset: usize| {
        all[offset..]
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
    };
    if word(0)? == MAGIC {
        all.get(..word(4)? as usize)
    } else {
        None
    }
}
