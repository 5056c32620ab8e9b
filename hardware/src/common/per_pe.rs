//! Data of which every PE has its own.

/// A value on cache lines of its own, so that PEs do not disturb each other.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Padded<T>(pub T);

/// One `T` for each of `N` PEs, found by linear PE index.
#[derive(Debug)]
pub struct PerPe<T, const N: usize>([Padded<T>; N]);

impl<T, const N: usize> PerPe<T, N> {
    /// From one value for each PE.
    pub const fn new(values: [Padded<T>; N]) -> Self {
        Self(values)
    }

    /// The value of PE `pe`.
    ///
    /// # Panics
    ///
    /// If `pe` is not below `N`.
    pub fn of(&self, pe: usize) -> &T {
        &self.0[pe].0
    }

    /// The values of all PEs in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}
