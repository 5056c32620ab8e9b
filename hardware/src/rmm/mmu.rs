//! The RMM's view of memory: one window per physical address space, mapped once at cold boot.
//!
//! * Realm window, TTBR0: virtual address = physical address. The image with what each section needs, every DRAM bank
//!   of the manifest, and the shared buffer.
//! * Non-secure window, TTBR1: virtual address = [`NON_SECURE`] + physical address, descriptors with NS = 1. The DRAM
//!   banks and the console devices.
//!
//! A granule that belongs to another world is mapped in both windows: granule protection is what keeps the RMM out, and
//! a fault in the Non-secure window is an answer (see [`crate::rmm::non_secure`]).

use crate::common::assembly::symbol;
use crate::rmm::STACKS;
use crate::rmm::entry::STACK;
use aarch64_formats::stage1::{Pool, PoolExhausted};
use core::cell::UnsafeCell;

/// Where the Non-secure window starts.
pub const NON_SECURE: u64 = 0xFFFF_0000_0000_0000;

/// Physical addresses that the windows can reach have this many bits.
pub const ADDRESS_BITS: u32 = 48;

// Memory types of MAIR_EL2, by index.
const NORMAL: u64 = 0;
const DEVICE: u64 = 1 << 2;
/// Attribute 0: Normal write-back, read and write allocate; attribute 1: Device-nGnRE.
const MAIR: u64 = 0xFF | 0x04 << 8;

const NS: u64 = 1 << 5;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const PXN: u64 = 1 << 53;
const UXN: u64 = 1 << 54;

const DATA: u64 = NORMAL | INNER_SHAREABLE | ACCESSED | PXN | UXN;
const CONSTANTS: u64 = DATA | READ_ONLY;
const CODE: u64 = NORMAL | INNER_SHAREABLE | ACCESSED | READ_ONLY | UXN;
const NON_SECURE_DATA: u64 = DATA | NS;
const NON_SECURE_DEVICE: u64 = DEVICE | ACCESSED | PXN | UXN | NS;

/// TCR_EL2 (layout with E2H): 48 bits and 4 KiB granules on both sides, walks cacheable and inner shareable.
const TCR: u64 = (64 - ADDRESS_BITS as u64)
    | 1 << 8
    | 1 << 10
    | 3 << 12
    | (64 - ADDRESS_BITS as u64) << 16
    | 1 << 24
    | 1 << 26
    | 3 << 28
    | 2 << 30;

/// What [`crate::rmm::entry`] loads into MAIR_EL2, TCR_EL2, TTBR0_EL2 and TTBR1_EL2.
#[repr(C)]
#[derive(Debug)]
pub struct Translation(UnsafeCell<[u64; 4]>);

// SAFETY: written by the first PE at cold boot, before any other PE can enter the image; constant afterwards.
unsafe impl Sync for Translation {}

/// The translation of this image.
#[unsafe(no_mangle)]
pub static RMM_TRANSLATION: Translation = Translation(UnsafeCell::new([0; 4]));

/// Tables for both windows: enough for 16 banks with odd borders.
const TABLES_IN_POOL: usize = 96;

struct Tables(UnsafeCell<Pool<TABLES_IN_POOL>>);

// SAFETY: as for `Translation`; afterwards only the table walkers read it.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables(UnsafeCell::new(Pool::new()));

/// A range of physical addresses, both ends multiples of 4 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub base: u64,
    /// Number of bytes.
    pub size: u64,
}

/// Builds the translation of the image.
///
/// # Safety
///
/// The MMU is off, this is the only PE in the image, and it is called once: at cold boot.
///
/// # Errors
///
/// [`PoolExhausted`].
pub unsafe fn build(
    banks: impl Iterator<Item = Range> + Clone,
    devices: impl Iterator<Item = Range>,
    shared_buffer: u64,
) -> Result<(), PoolExhausted> {
    // SAFETY: the caller is alone, and calls once.
    let pool = unsafe { &mut *TABLES.0.get() };
    let realm = pool.take()?;
    let non_secure = pool.take()?;
    for bank in banks {
        pool.map(realm, bank.base, bank.base, bank.size, DATA)?;
        pool.map(non_secure, bank.base, bank.base, bank.size, NON_SECURE_DATA)?;
    }
    for device in devices {
        pool.map(
            non_secure,
            device.base,
            device.base,
            device.size,
            NON_SECURE_DEVICE,
        )?;
    }

    let [text, text_end, constants_end, image_end, stacks] = [
        symbol!(rmm_text_begin),
        symbol!(rmm_text_end),
        symbol!(rmm_rodata_end),
        symbol!(rmm_image_end),
        symbol!(rmm_stacks),
    ];
    let mut section =
        |from: u64, to: u64, attributes| pool.map(realm, from, from, to - from, attributes);
    section(text, text_end, CODE)?;
    section(text_end, constants_end, CONSTANTS)?;
    section(constants_end, image_end, DATA)?;
    section(shared_buffer, shared_buffer + 4096, DATA)?;
    for n in 0..STACKS {
        pool.unmap(realm, stacks + (n * STACK) as u64, 4096)?;
    }

    // A size that the PE does not implement is not allowed: 48 bits at most, since the descriptors hold no more.
    let physical_range = (crate::read_sysreg!("id_aa64mmfr0_el1") & 0xF).min(5);
    let registers = [
        MAIR,
        TCR | physical_range << 32,
        pool.address(realm),
        pool.address(non_secure),
    ];
    // SAFETY: the caller is alone.
    unsafe { *RMM_TRANSLATION.0.get() = registers };
    Ok(())
}
