//! The hypervisor's heap: how large it is, how much of it is in use, and how much ever was.
//!
//! The allocator (TLSF) takes a bounded time for every call, however a realm has chequered the heap.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{NonNull, null_mut, slice_from_raw_parts_mut};

use realm_vmm::control::message::HeapUse;
use rlsf::{GRANULARITY, Tlsf};
use spin::mutex::SpinMutex;

/// Blocks of up to 2^33 bytes; sizes are told apart to a 32nd.
type Blocks = Tlsf<'static, u32, u32, 28, 32>;

struct State {
    blocks: Blocks,
    size: usize,
    used: usize,
    peak: usize,
}

struct Heap(SpinMutex<State>);

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: Heap = Heap(SpinMutex::new(State {
    blocks: Blocks::new(),
    size: 0,
    used: 0,
    peak: 0,
}));

/// Gives memory to the heap.
///
/// # Safety
///
/// The range must be mapped for loads and stores, and nobody else's for the rest of the program.
pub(super) unsafe fn add(range: Range<u64>) {
    let length = (range.end - range.start) as usize;
    let Some(block) = NonNull::new(slice_from_raw_parts_mut(range.start as *mut u8, length)) else {
        return;
    };
    let mut state = HEAP.0.lock();
    // SAFETY: the caller's promise.
    let added = unsafe { state.blocks.insert_free_block_ptr(block) };
    state.size += added.map_or(0, Into::into);
}

/// How much of the heap is in use.
pub fn heap_use() -> HeapUse {
    let state = HEAP.0.lock();
    HeapUse {
        size: state.size as u64,
        used: state.used as u64,
        peak: state.peak as u64,
    }
}

impl State {
    /// Counts a block more, after one that is no more.
    fn count(&mut self, new: usize, old: usize) {
        self.used = self.used + new - old;
        self.peak = self.peak.max(self.used);
    }
}

/// What a block takes, with its header and what aligns it.
fn taken(layout: Layout) -> usize {
    let header = GRANULARITY / 2;
    let padding = layout.align().saturating_sub(header);
    (layout.size() + header + padding).next_multiple_of(GRANULARITY)
}

// SAFETY: `Tlsf` hands out memory that it was given, each piece once until it is back; the lock is held for each call.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut state = self.0.lock();
        let Some(block) = state.blocks.allocate(layout) else {
            return null_mut();
        };
        state.count(taken(layout), 0);
        block.as_ptr()
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        let mut state = self.0.lock();
        // SAFETY: the caller's promise: `alloc` returned the block for this layout.
        unsafe { state.blocks.deallocate(block, layout.align()) };
        state.count(0, taken(layout));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = Layout::from_size_align(size, layout.align());
        let (Some(block), Ok(new)) = (NonNull::new(block), new) else {
            return null_mut();
        };
        let mut state = self.0.lock();
        // SAFETY: the caller's promise: `alloc` returned the block for `layout`; the alignment stays.
        let Some(block) = (unsafe { state.blocks.reallocate(block, new) }) else {
            return null_mut();
        };
        state.count(taken(new), taken(layout));
        block.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::boxed::Box;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn what_is_in_use_is_counted_and_the_most_of_it_remembered() {
        const SIZE: usize = 1 << 20;
        let memory = Box::leak(std::vec![0u128; SIZE / 16].into_boxed_slice());
        let start = memory.as_ptr() as u64;
        // SAFETY: the memory is leaked, so that nobody else has it.
        unsafe { add(start..start + SIZE as u64) };
        let whole = heap_use();
        assert!(whole.size > SIZE as u64 * 99 / 100 && whole.size <= SIZE as u64);
        assert_eq!((whole.used, whole.peak), (0, 0));
        let layout = Layout::from_size_align(100, 8).expect("a layout");
        // SAFETY: each block is given back once, with the layout that it has then.
        unsafe {
            let first = HEAP.alloc(layout);
            assert_eq!(heap_use().used, 128);
            let grown = HEAP.realloc(first, layout, 1000);
            assert_eq!(heap_use().used, 1024);
            HEAP.dealloc(grown, Layout::from_size_align(1000, 8).expect("a layout"));
            // Nothing is lost however it is chequered, and too much is refused.
            let blocks: Vec<_> = (0..4000).map(|_| HEAP.alloc(layout)).collect();
            assert!(blocks.iter().all(|block| !block.is_null()));
            let most = heap_use().used;
            let (even, odd): (Vec<_>, Vec<_>) =
                blocks.chunks(2).map(|two| (two[0], two[1])).unzip();
            even.iter().for_each(|&block| HEAP.dealloc(block, layout));
            let half = Layout::from_size_align(SIZE / 2, 8).expect("a layout");
            assert!(HEAP.alloc(half).is_null(), "it is chequered");
            odd.iter().for_each(|&block| HEAP.dealloc(block, layout));
            let block = HEAP.alloc(half);
            assert!(!block.is_null(), "it has grown together");
            HEAP.dealloc(block, half);
            let after = heap_use();
            assert_eq!(
                (after.used, after.peak),
                (0, most.max(1024).max(taken(half) as u64))
            );
        }
    }
}
