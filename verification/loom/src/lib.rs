//! The atomic words of a model checker, for the monitors' own functions.
//!
//! The tests of this crate run the locks, counts and transitions of the monitors, the very functions that run on
//! hardware, in every order that the memory model allows for a few PEs.
//!
//! A model that finds nothing may be blind. So each model is also run with [`Flaw`]s, most of which are in its words and turn the
//! monitors' functions into ones that are wrong, and has to find them: see [`check`].
#![forbid(unsafe_code)]

pub mod ring;

use std::any::Any;

use loom::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use realm_monitor::atomic::AtomicWord;
use root_monitor::transition::Descriptor;

/// What is wrong with a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing: it is what runs on hardware.
    None,
    /// Nobody who reads a word sees more than the word.
    NoAcquire,
    /// Nobody who writes a word shows more than the word.
    NoRelease,
    /// What should be one access is two, and another PE comes between.
    Torn,
    /// Who locks a granule gives the lock back before the work instead of after it. Models do that themselves.
    EarlyUnlock,
    /// Who uses a granule without the lock is not counted. Models do that themselves.
    Uncounted,
    /// Who says that bytes are there says so before they are.
    Early,
    /// Who tells something and then looks whether somebody waits for it may look first.
    NoFence,
}

/// Runs a model as it is, and with flaws, each of which it has to find: the checker, or an assertion of the model, ends it with a
/// message that contains the text.
///
/// # Panics
///
/// If the model fails as it is, or does not find a flaw.
pub fn check(model: fn(Flaw), flaws: &[(Flaw, &str)]) {
    loom::model(move || model(Flaw::None));
    for &(flaw, text) in flaws {
        // In a thread of its own, because the checker does not tidy up after what it has found.
        let run = std::thread::spawn(move || loom::model(move || model(flaw)));
        let Err(found) = run.join() else {
            panic!("{flaw:?} has not been found");
        };
        let message = message(&*found);
        assert!(message.contains(text), "{flaw:?} was found by {message:?}");
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

impl Flaw {
    /// The order that a read-modify-write has with this flaw.
    fn weaken(self, order: Ordering) -> Ordering {
        match (self, order) {
            (Self::NoAcquire, Ordering::Acquire) | (Self::NoRelease, Ordering::Release) => {
                Ordering::Relaxed
            }
            (Self::NoAcquire, Ordering::AcqRel) => Ordering::Release,
            (Self::NoRelease, Ordering::AcqRel) => Ordering::Acquire,
            (_, order) => order,
        }
    }
}

macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident($atomic:ty): $value:ty),*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug)]
        pub struct $name {
            atomic: $atomic,
            flaw: Flaw,
        }

        impl $name {
            /// A word that is zero.
            #[must_use]
            pub fn new(flaw: Flaw) -> Self {
                Self { atomic: <$atomic>::new(0), flaw }
            }

            /// Changes the word by one access, or by two if that is the flaw.
            fn change(
                &self,
                order: Ordering,
                whole: impl FnOnce(&$atomic, Ordering) -> $value,
                new: impl FnOnce($value) -> $value,
            ) -> $value {
                if self.flaw == Flaw::Torn {
                    let old = self.atomic.load(Ordering::Acquire);
                    let new = new(old);
                    if new != old {
                        self.atomic.swap(new, Ordering::AcqRel);
                    }
                    return old;
                }
                whole(&self.atomic, self.flaw.weaken(order))
            }
        }

        impl AtomicWord for $name {
            type Value = $value;

            fn load(&self, order: Ordering) -> $value {
                self.atomic.load(self.flaw.weaken(order))
            }

            fn store(&self, value: $value, order: Ordering) {
                // The checker lets read-modify-writes overlook a plain store that is concurrent to another one of
                // them, which no processor does. An exchange it orders as it must.
                self.atomic.swap(value, order);
            }

            fn fetch_or(&self, bits: $value, order: Ordering) -> $value {
                self.change(order, |word, order| word.fetch_or(bits, order), |old| old | bits)
            }

            fn fetch_and(&self, bits: $value, order: Ordering) -> $value {
                // Never torn: a lock that is not given back makes the others wait, which is no finding but the end of all.
                self.atomic.fetch_and(bits, self.flaw.weaken(order))
            }

            fn fetch_add(&self, n: $value, order: Ordering) -> $value {
                self.change(order, |word, order| word.fetch_add(n, order), |old| old.wrapping_add(n))
            }

            fn fetch_sub(&self, n: $value, order: Ordering) -> $value {
                self.change(order, |word, order| word.fetch_sub(n, order), |old| old.wrapping_sub(n))
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
pub struct ProtectionWord {
    atomic: AtomicU64,
    flaw: Flaw,
}

impl ProtectionWord {
    /// A descriptor with this value.
    #[must_use]
    pub fn new(value: u64, flaw: Flaw) -> Self {
        Self {
            atomic: AtomicU64::new(value),
            flaw,
        }
    }
}

impl Descriptor for ProtectionWord {
    fn load(&self, order: Ordering) -> u64 {
        self.atomic.load(self.flaw.weaken(order))
    }

    fn compare_exchange_weak(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        if self.flaw == Flaw::Torn {
            let old = self.atomic.load(Ordering::Acquire);
            if old != current {
                return Err(old);
            }
            self.atomic.swap(new, Ordering::AcqRel);
            return Ok(old);
        }
        let (success, failure) = (self.flaw.weaken(success), self.flaw.weaken(failure));
        self.atomic
            .compare_exchange_weak(current, new, success, failure)
    }
}
