//! The atomic words of a model checker, for the monitors' own functions.
//!
//! The tests of this crate run the locks, counts and transitions of the monitors, the very functions that run on
//! hardware, in every order that the memory model allows for a few PEs.
#![forbid(unsafe_code)]

use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use realm_monitor::atomic::AtomicWord;
use root_monitor::transition::Descriptor;

macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident($atomic:ty): $value:ty),*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub struct $name(pub $atomic);

        impl AtomicWord for $name {
            type Value = $value;

            fn load(&self, order: Ordering) -> $value {
                self.0.load(order)
            }

            fn store(&self, value: $value, order: Ordering) {
                // The checker lets read-modify-writes overlook a plain store that is concurrent to another one of
                // them, which no processor does. An exchange it orders as it must.
                self.0.swap(value, order);
            }

            fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                self.0.fetch_or(bits, order)
            }

            fn fetch_and(&self, bits: $value, order: Ordering) -> $value {
                self.0.fetch_and(bits, order)
            }

            fn fetch_add(&self, n: $value, order: Ordering) -> $value {
                self.0.fetch_add(n, order)
            }

            fn fetch_sub(&self, n: $value, order: Ordering) -> $value {
                self.0.fetch_sub(n, order)
            }
        }
    )*};
}

words! {
    /// The word of a granule.
    GranuleWord(AtomicU16): u16,
    /// A word of the set of VMIDs.
    VmidWord(AtomicU32): u32
}

/// A level 1 descriptor of the protection table.
#[derive(Debug)]
pub struct ProtectionWord(pub AtomicU64);

impl Descriptor for ProtectionWord {
    fn load(&self, order: Ordering) -> u64 {
        self.0.load(order)
    }

    fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange_weak(current, new, success, failure)
    }
}
