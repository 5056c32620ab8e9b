//! From the first instructions to the program: stage 1, exceptions and interrupts of a vCPU.

use core::sync::atomic::{AtomicU64, Ordering};

use realm_guest::{GRANULE_SIZE, IpaWidth, RealmConfig, Rsi};

use super::vcpu::{Conduit, Vcpu};
use super::{panic, translation, vectors};
use crate::common::barrier;

/// What the host passes to the program of vCPU 0.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    /// First address of the realm's memory.
    pub memory_base: u64,
    /// Bytes of it.
    pub memory_size: u64,
    /// Address of the PL011 in the protected half; it answers at the shared alias.
    pub uart: u64,
    /// Address of the GICv3's distributor, likewise.
    pub distributor: u64,
    /// Address of the redistributor of vCPU 0, likewise.
    pub redistributors: u64,
}

#[cfg(target_os = "none")]
unsafe extern "Rust" {
    /// The program of vCPU 0.
    safe fn realm_program_primary(vcpu: &Vcpu, arguments: Arguments);
    /// The program of every other vCPU.
    safe fn realm_program_secondary(vcpu: &Vcpu, context: u64);
}

/// There is no image.
#[cfg(not(target_os = "none"))]
fn realm_program_primary(_: &Vcpu, _: Arguments) {}

/// There is no image.
#[cfg(not(target_os = "none"))]
fn realm_program_secondary(_: &Vcpu, _: u64) {}

/// The granule for `RSI_REALM_CONFIG`.
#[repr(C, align(4096))]
struct Page([AtomicU64; GRANULE_SIZE as usize / 8]);

static CONFIG: Page = Page([const { AtomicU64::new(0) }; GRANULE_SIZE as usize / 8]);

/// Where vCPU 0 goes from its first instructions, MMU off.
pub(super) extern "C" fn primary(
    memory_base: u64,
    memory_size: u64,
    uart: u64,
    distributor: u64,
    redistributors: u64,
    index: u64,
) -> ! {
    let arguments = Arguments {
        memory_base,
        memory_size,
        uart,
        distributor,
        redistributors,
    };
    vectors::install();
    let width = ipa_width().expect("RSI_REALM_CONFIG gave no configuration");
    panic::set_console(width.shared(uart));
    translation::build(memory_base..memory_base.saturating_add(memory_size), width);
    translation::enable();
    let vcpu = Vcpu::start(index as usize);
    realm_program_primary(&vcpu, arguments);
    barrier::halt()
}

/// Where every other vCPU goes from its first instructions, MMU off.
pub(super) extern "C" fn secondary(
    context: u64,
    _x1: u64,
    _x2: u64,
    _x3: u64,
    _x4: u64,
    index: u64,
) -> ! {
    vectors::install();
    translation::enable();
    let vcpu = Vcpu::start(index as usize);
    realm_program_secondary(&vcpu, context);
    barrier::halt()
}

/// How wide the realm's addresses are; `None` outside of a realm.
fn ipa_width() -> Option<IpaWidth> {
    let page = CONFIG.0.as_ptr() as u64;
    Rsi::new(&Conduit).realm_config(page).ok()?;
    let config = RealmConfig::read(|offset| CONFIG.0[offset as usize / 8].load(Ordering::Relaxed))?;
    Some(config.ipa_width)
}
