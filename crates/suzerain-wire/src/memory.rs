//! Memory that two programs see at once.

use core::sync::atomic::{self, AtomicU64, Ordering};

/// Eight bytes of it, little-endian. The processor's atomic words are; a model checker brings its own.
pub trait Word {
    /// As [`AtomicU64::load`].
    fn load(&self, order: Ordering) -> u64;

    /// As [`AtomicU64::store`].
    fn store(&self, value: u64, order: Ordering);

    /// As [`atomic::fence`] with [`Ordering::SeqCst`].
    fn fence();
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, order: Ordering) -> u64 {
        u64::from_le(self.load(order))
    }

    #[inline]
    fn store(&self, value: u64, order: Ordering) {
        self.store(value.to_le(), order);
    }

    #[inline]
    fn fence() {
        atomic::fence(Ordering::SeqCst);
    }
}

/// A piece of it. Copies name the same memory.
pub trait Memory: Clone {
    /// What it consists of.
    type Word: Word;

    /// How many words it has. Always the same number.
    fn words(&self) -> usize;

    /// Word `index`, which is less than [`Self::words`].
    ///
    /// # Panics
    ///
    /// If there is none of that number.
    fn word(&self, index: usize) -> &Self::Word;
}

impl<W: Word> Memory for &[W] {
    type Word = W;

    fn words(&self) -> usize {
        self.len()
    }

    #[inline]
    fn word(&self, index: usize) -> &W {
        &self[index]
    }
}
