//! Where the drivers of `virtio-drivers` have their shared memory: each test's own.
//!
//! The one file of the project outside the hardware's ring with unsafe code, because the interface for drivers is: it gives buffers
//! as raw pointers. As a realm does, it copies them to shared memory and back.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::memory::{ALIAS, BASE, Memory, PAGE, Page};

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
pub(crate) fn memory() -> Memory {
    ARENA.with_borrow(|arena| Memory::over(arena.pages))
}

/// Pages that are in use.
pub(crate) fn in_use() -> usize {
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
        for word in taken.iter().flat_map(|page| &page.0) {
            word.store(0, Ordering::Relaxed);
        }
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
pub(crate) struct Realm;

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
            let memory = memory();
            realm_vmm::bus::SharedMemory::read(&memory, paddr, &mut bytes).expect("shared");
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
