//! Contents of the SIMD registers that can be told from all others: what tests fill them with, and compare them to.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::common::simd;

/// Bytes of the longest vectors.
const LONGEST: usize = 256;

#[repr(C, align(16))]
struct Buffer {
    vectors: UnsafeCell<[u8; 32 * LONGEST]>,
    predicates: UnsafeCell<[u8; 17 * LONGEST / 8]>,
}

// SAFETY: accessed between `lock` and `unlock` only.
unsafe impl Sync for Buffer {}

/// Whether a PE uses the buffer.
static BUSY: AtomicBool = AtomicBool::new(false);

fn lock() {
    while BUSY.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
}

fn unlock() {
    BUSY.store(false, Ordering::Release);
}

static BUFFER: Buffer = Buffer {
    vectors: UnsafeCell::new([0; _]),
    predicates: UnsafeCell::new([0; _]),
};

/// Bytes of a vector of SVE, or in streaming mode of one of that; access to them is open at this exception level.
#[cfg(feature = "host")]
pub fn bytes() -> u64 {
    // SAFETY: reads the length, at worst with an exception that says that it is not open.
    unsafe { simd::vector_bytes() }
}

/// Byte `n` of the registers, in a set that `seed` tells from others.
fn byte(seed: u64, n: usize) -> u8 {
    let mixed = (seed << 32 | n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as u8
}

/// Byte `n` of the predicates, of `size` bytes each. What is in FFR, the last of them, has no one above a zero.
fn predicate_byte(seed: u64, n: usize, size: usize) -> u8 {
    let ones = seed as usize % (8 * size + 1);
    match n.checked_sub(16 * size) {
        None => byte(!seed, n),
        Some(at) if at < ones / 8 => 0xFF,
        Some(at) if at == ones / 8 => (1 << (ones % 8)) - 1,
        Some(_) => 0,
    }
}

/// Which registers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// V0 to V31.
    Simd,
    /// Z0 to Z31, P0 to P15 and FFR.
    Sve,
    /// Z0 to Z31 and P0 to P15: streaming mode, where it has no FFR.
    WithoutFfr,
}

impl Kind {
    /// Those of a CPU with SVE or without.
    pub fn of(sve: bool) -> Self {
        if sve { Self::Sve } else { Self::Simd }
    }

    fn predicates(self) -> usize {
        match self {
            Self::Simd => 0,
            Self::Sve => 17,
            Self::WithoutFfr => 16,
        }
    }
}

/// Fills the registers. Returns the bytes of a vector.
///
/// # Safety
/// The registers exist, and access to them is open at this exception level.
pub unsafe fn fill(kind: Kind, seed: u64) -> u64 {
    let (sve, ffr) = (kind != Kind::Simd, kind == Kind::Sve);
    lock();
    // SAFETY: the buffer is locked, and has room for the longest vectors and predicates.
    let size = unsafe {
        let size = if sve {
            simd::vector_bytes() as usize
        } else {
            16
        };
        let vectors = &mut *BUFFER.vectors.get();
        for (n, to) in vectors[..32 * size].iter_mut().enumerate() {
            *to = byte(seed, n);
        }
        if sve {
            let predicates = &mut *BUFFER.predicates.get();
            for (n, to) in predicates[..17 * size / 8].iter_mut().enumerate() {
                *to = predicate_byte(seed, n, size / 8);
            }
            simd::load_p(predicates.as_ptr(), ffr.into());
            let (lower, upper) = vectors.split_at(16 * size);
            simd::load_z(lower.as_ptr(), upper.as_ptr());
        } else {
            simd::load_v(vectors.as_ptr().cast());
        }
        size as u64
    };
    unlock();
    size
}

/// Number of bytes of the registers that are not what [`fill`] with this seed leaves in them. They stay as they are.
///
/// # Safety
/// As for [`fill`].
pub unsafe fn differences(kind: Kind, seed: u64) -> u64 {
    let (sve, ffr) = (kind != Kind::Simd, kind == Kind::Sve);
    lock();
    // SAFETY: as in `fill`.
    let count = unsafe {
        let size = if sve {
            simd::vector_bytes() as usize
        } else {
            16
        };
        let vectors = &mut *BUFFER.vectors.get();
        let predicates = &mut *BUFFER.predicates.get();
        let mut count = 0;
        if sve {
            let (lower, upper) = vectors.split_at_mut(16 * size);
            simd::store_z(lower.as_mut_ptr(), upper.as_mut_ptr());
            simd::store_p(predicates.as_mut_ptr(), ffr.into());
            simd::load_p(predicates.as_ptr(), 0);
            count += predicates[..kind.predicates() * size / 8]
                .iter()
                .enumerate()
                .filter(|&(n, &is)| is != predicate_byte(seed, n, size / 8))
                .count();
        } else {
            simd::store_v(vectors.as_mut_ptr().cast());
        }
        count += vectors[..32 * size]
            .iter()
            .enumerate()
            .filter(|&(n, &is)| is != byte(seed, n))
            .count();
        count as u64
    };
    unlock();
    count
}
