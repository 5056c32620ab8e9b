//! A heap that never takes back: it serves the device tree, once.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

const BYTES: usize = 4 << 20;

#[repr(C, align(4096))]
struct Heap {
    memory: UnsafeCell<[u8; BYTES]>,
    used: AtomicUsize,
}

// SAFETY: memory is given out once, by an atomic counter.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap {
    memory: UnsafeCell::new([0; BYTES]),
    used: AtomicUsize::new(0),
};

// SAFETY: each allocation is a part of `memory` that no other allocation has, aligned as asked.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get() as usize;
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let at = (start + used).next_multiple_of(layout.align()) - start;
            let Some(end) = at.checked_add(layout.size()).filter(|&end| end <= BYTES) else {
                return null_mut();
            };
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return (start + at) as *mut u8,
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
