//! Where things are: the physical memory of the machine, and the block of memory that each PE has for itself.

use super::context::Context;
use cca_abi::firmware;
use core::mem::{offset_of, size_of};
use core::sync::atomic::AtomicU64;
use root_monitor::memory::Range;

/// PEs that the root monitor has room for. More are left waiting.
pub const MAX_PES: usize = 64;

/// Flash 0, from which the machine starts.
pub(super) const FLASH: Range = Range::new(0, firmware::FLASH_SIZE);
/// RAM that only the Root and Secure worlds reach.
pub(super) const SECURE_RAM: Range = Range::new(0x0E00_0000, 0x0100_0000);
/// Memory that only the Root world reaches.
pub const ROOT_MEMORY: [Range; 2] = [FLASH, SECURE_RAM];
/// Device registers that the root monitor uses.
pub(super) const DEVICES: Range = Range::new(0x0800_0000, 0x0200_0000);
/// The device tree.
pub(super) const DEVICE_TREE: Range = Range::new(firmware::DEVICE_TREE, firmware::DEVICE_TREE_SIZE);
/// The memory of the RMM, its last granule being the shared buffer.
pub(super) const RMM: Range = Range::between(firmware::RMM_BASE, firmware::RMM_END);

/// GIC distributor.
pub(super) const GICD: usize = 0x0800_0000;
/// First GIC redistributor.
pub(super) const GICR: usize = 0x080A_0000;
/// The UART of the Secure world: its other end is the bell of whoever started the machine.
pub(super) const SECURE_UART: usize = 0x0904_0000;
/// Its interrupt.
pub(super) const SECURE_UART_INTID: u32 = 40;
/// The PL061 that powers off and resets the machine.
pub(super) const SECURE_GPIO: usize = 0x090B_0000;

/// What lies below each stack and is not mapped.
pub(super) const GUARD_BYTES: usize = 4096;
/// Stack of a PE in bytes.
pub(super) const STACK_BYTES: usize = (1 << PE_SHIFT) - GUARD_BYTES - size_of::<PeBlock>();
/// log2 of guard, stack and block of a PE together.
pub(super) const PE_SHIFT: usize = 15;

/// What a PE has for itself at EL3. SP_EL3 points here while a lower exception level runs; the stack ends here.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct PeBlock {
    /// The normal world's registers while the Realm world runs; part of them while it runs itself.
    pub(super) normal: Context,
    /// The same for the Realm world.
    pub(super) realm: Context,
    /// Not zero while RMI calls may be passed on without asking.
    pub(super) forward: AtomicU64,
    /// Not zero while the registers on demand are the Realm world's.
    pub(super) on_demand: u64,
    /// Linear index of the PE.
    pub(super) index: u64,
}

/// What of its block a PE uses alone, borrowed.
pub(super) struct OwnBlock<'a> {
    pub(super) normal: &'a mut Context,
    pub(super) realm: &'a mut Context,
    pub(super) on_demand: &'a mut u64,
    /// The one field that other PEs write.
    pub(super) forward: &'a AtomicU64,
    pub(super) pe: usize,
}

impl OwnBlock<'_> {
    /// Borrows the fields of a block.
    ///
    /// # Safety
    ///
    /// `block` is the calling PE's, initialised, and not borrowed by anything else that is still used.
    pub(super) unsafe fn of(block: *mut PeBlock) -> Self {
        // SAFETY: the caller's promise; of `forward`, which other PEs reach, only a shared reference is made.
        unsafe {
            Self {
                normal: &mut (*block).normal,
                realm: &mut (*block).realm,
                on_demand: &mut (*block).on_demand,
                forward: &(*block).forward,
                pe: (*block).index as usize,
            }
        }
    }
}

/// A stack with the block on top and a page below that nothing may touch.
#[repr(C, align(32768))]
pub(super) struct PeMemory {
    pub(super) guard: [u8; GUARD_BYTES],
    pub(super) stack: [u8; STACK_BYTES],
    pub(super) block: PeBlock,
}

pub(super) const NORMAL: usize = offset_of!(PeBlock, normal);
pub(super) const REALM: usize = offset_of!(PeBlock, realm);
pub(super) const FORWARD: usize = offset_of!(PeBlock, forward);
pub(super) const ON_DEMAND: usize = offset_of!(PeBlock, on_demand);
pub(super) const BLOCK: usize = offset_of!(PeMemory, block);

const _: () =
    assert!(size_of::<PeMemory>() == 1 << PE_SHIFT && size_of::<PeBlock>().is_multiple_of(64));
const _: () = assert!(
    NORMAL == 0,
    "the fast path finds the normal world's registers at the stack pointer"
);
