//! The operations of an atomic word that locks, counts and sets are made of.
//!
//! The monitor has the processor's words. A model checker that tries every order in which PEs can carry out these
//! operations brings its own, and checks the very functions that run on hardware.

use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// An atomic integer. The operations are those of [`core::sync::atomic`].
pub trait AtomicWord {
    /// What is in it.
    type Value;

    /// Loads the value.
    fn load(&self, order: Ordering) -> Self::Value;

    /// Stores a value.
    fn store(&self, value: Self::Value, order: Ordering);

    /// Sets bits; returns the value before.
    fn fetch_or(&self, bits: Self::Value, order: Ordering) -> Self::Value;

    /// Keeps bits; returns the value before.
    fn fetch_and(&self, bits: Self::Value, order: Ordering) -> Self::Value;

    /// Adds, wrapping; returns the value before.
    fn fetch_add(&self, n: Self::Value, order: Ordering) -> Self::Value;

    /// Subtracts, wrapping; returns the value before.
    fn fetch_sub(&self, n: Self::Value, order: Ordering) -> Self::Value;
}

macro_rules! words {
    ($($atomic:ty: $value:ty),*) => {$(
        impl AtomicWord for $atomic {
            type Value = $value;

            #[inline(always)]
            fn load(&self, order: Ordering) -> $value {
                self.load(order)
            }

            #[inline(always)]
            fn store(&self, value: $value, order: Ordering) {
                self.store(value, order);
            }

            #[inline(always)]
            fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                self.fetch_or(bits, order)
            }

            #[inline(always)]
            fn fetch_and(&self, bits: $value, order: Ordering) -> $value {
                self.fetch_and(bits, order)
            }

            #[inline(always)]
            fn fetch_add(&self, n: $value, order: Ordering) -> $value {
                self.fetch_add(n, order)
            }

            #[inline(always)]
            fn fetch_sub(&self, n: $value, order: Ordering) -> $value {
                self.fetch_sub(n, order)
            }
        }
    )*};
}

words!(AtomicU16: u16, AtomicU32: u32);
