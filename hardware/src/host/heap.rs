//! The hypervisor's heap.

use core::ops::Range;

use buddy_system_allocator::LockedHeap;

/// Blocks of up to 2^30 bytes.
#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: LockedHeap<31> = LockedHeap::empty();

/// Gives memory to the heap.
///
/// # Safety
///
/// The range must be mapped for loads and stores, and nobody else's for the rest of the program.
pub(super) unsafe fn add(range: Range<u64>) {
    // SAFETY: the caller's promise.
    unsafe {
        HEAP.lock()
            .add_to_heap(range.start as usize, range.end as usize)
    }
}
