//! Memory of the monitors that has to outlive everything: it is lent for ever, and used again by the next machine.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

type Shelf = HashMap<(TypeId, usize), Vec<&'static (dyn Any + Send + Sync)>>;

static SHELF: LazyLock<Mutex<Shelf>> = LazyLock::new(Mutex::default);

fn shelf() -> MutexGuard<'static, Shelf> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A slice that lives for ever. When this is dropped, its memory waits for the next [`Storage::take`] of that length.
///
/// The monitors want `'static` storage, as they have it on hardware. Leaking it for each machine would fill a
/// fuzzer's memory; so whoever drops this promises that nobody uses the slice any more. Breaking the promise mixes
/// up two machines but nothing worse.
pub(crate) struct Storage<T: Send + Sync + 'static> {
    words: &'static Vec<T>,
}

impl<T: Default + Send + Sync + 'static> Storage<T> {
    /// A slice of that length. Its content is whatever the last user left.
    pub(crate) fn take(length: usize) -> Self {
        let used = shelf()
            .get_mut(&(TypeId::of::<T>(), length))
            .and_then(Vec::pop);
        let words = used
            .and_then(|any| any.downcast_ref::<Vec<T>>())
            .unwrap_or_else(|| Box::leak(Box::new((0..length).map(|_| T::default()).collect())));
        Self { words }
    }
}

impl<T: Send + Sync + 'static> Storage<T> {
    /// The slice.
    pub(crate) fn words(&self) -> &'static [T] {
        self.words
    }
}

impl<T: Send + Sync + 'static> Drop for Storage<T> {
    fn drop(&mut self) {
        let key = (TypeId::of::<T>(), self.words.len());
        shelf().entry(key).or_default().push(self.words);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    #[test]
    fn what_is_dropped_is_used_again() {
        let first = Storage::<AtomicU8>::take(7);
        first.words()[3].store(9, Ordering::Relaxed);
        let second = Storage::<AtomicU8>::take(7);
        assert_eq!(second.words()[3].load(Ordering::Relaxed), 0);
        let place = first.words().as_ptr();
        drop(first);
        assert_eq!(Storage::<AtomicU8>::take(7).words().as_ptr(), place);
    }
}
