//! The other ends of a realm's virtio devices, for tests: drivers of the crate `virtio-drivers`, which nobody here wrote.
//!
//! Their interface to memory is unsafe, because it gives buffers as raw pointers; that is why this stands in the hardware's ring. As
//! a realm does, it copies each buffer to shared memory and back.

mod memory;
mod wire;

use std::cell::RefCell;
use std::ptr::NonNull;

use realm_vmm::bus::SharedMemory;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

pub use crate::memory::Memory;
use crate::memory::{ALIAS, BASE, PAGE, Page};
pub use crate::wire::Wire;

/// Pages that the drivers of a test have.
const PAGES: usize = 512;

struct Arena {
    pages: &'static [Page],
    used: [bool; PAGES],
}

thread_local! {
    static ARENA: RefCell<Arena> = RefCell::new(Arena {
        pages: Vec::leak((0..PAGES).map(|_| Page::new()).collect()),
        used: [false; PAGES],
    });
}

/// The memory of this thread's drivers.
#[must_use]
pub fn memory() -> Memory {
    ARENA.with_borrow(|arena| Memory(arena.pages))
}

/// Pages of this thread's memory that are in use.
#[must_use]
pub fn in_use() -> usize {
    ARENA.with_borrow(|arena| arena.used.iter().filter(|&&used| used).count())
}

/// Takes zeroed pages.
fn take(pages: usize) -> (u64, NonNull<u8>) {
    ARENA.with_borrow_mut(|arena| {
        let first = (0..=PAGES - pages)
            .find(|&first| !arena.used[first..first + pages].contains(&true))
            .expect("room");
        arena.used[first..first + pages].fill(true);
        let taken = &arena.pages[first..first + pages];
        taken.iter().for_each(Page::clear);
        (BASE + first as u64 * PAGE, NonNull::from(taken).cast())
    })
}

fn give_back(ipa: u64, bytes: usize) {
    let first = ((ipa & !ALIAS) - BASE) / PAGE;
    ARENA.with_borrow_mut(|arena| {
        let given = &mut arena.used[first as usize..][..bytes.div_ceil(PAGE as usize)];
        assert!(given.iter().all(|&used| used));
        given.fill(false);
    });
}

/// A realm that hands out shared memory and copies buffers.
#[derive(Debug)]
pub struct Realm;

// SAFETY: the pages are atomics of a leaked allocation, aligned to a page, whose pointers nobody else of this thread has until they are
// given back; other threads have arenas of their own, and drivers and devices of one test are on one thread.
unsafe impl Hal for Realm {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let (ipa, pointer) = take(pages);
        (ipa | ALIAS, pointer)
    }

    unsafe fn dma_dealloc(paddr: PhysAddr, _vaddr: NonNull<u8>, pages: usize) -> i32 {
        give_back(paddr, pages * PAGE as usize);
        0
    }

    unsafe fn mmio_phys_to_virt(_paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        unreachable!("only devices on PCI have registers in memory that is named by them")
    }

    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        let (ipa, pointer) = take(buffer.len().div_ceil(PAGE as usize));
        if direction != BufferDirection::DeviceToDriver {
            // SAFETY: the caller's buffer is valid, the pages are ours and at least as long.
            unsafe { pointer.copy_from_nonoverlapping(buffer.cast(), buffer.len()) };
        }
        ipa
    }

    unsafe fn unshare(paddr: PhysAddr, buffer: NonNull<[u8]>, direction: BufferDirection) {
        if direction != BufferDirection::DriverToDevice {
            let mut bytes = vec![0; buffer.len()];
            memory().read(paddr, &mut bytes).expect("shared");
            let from = NonNull::from(&bytes[..]).cast();
            // SAFETY: the caller's buffer is valid and as long as this copy.
            unsafe {
                buffer
                    .cast::<u8>()
                    .copy_from_nonoverlapping(from, bytes.len())
            };
        }
        give_back(paddr, buffer.len());
    }
}
