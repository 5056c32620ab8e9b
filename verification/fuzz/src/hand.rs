//! Choices, made by bytes.

/// Draws choices from bytes; when there are none left, every choice is the first one.
#[derive(Clone, Debug)]
pub struct Hand<'d>(&'d [u8]);

impl<'d> Hand<'d> {
    /// All bytes.
    #[must_use]
    pub const fn new(data: &'d [u8]) -> Self {
        Self(data)
    }

    /// Whether there is nothing left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rest.
    #[must_use]
    pub const fn rest(&self) -> &'d [u8] {
        self.0
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// Eight bytes, little-endian.
    pub fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, n| word | u64::from(self.byte()) << (8 * n))
    }

    /// A number below `limit`, at most 256.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    /// One of `list`.
    pub fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// Once in `n` times.
    pub fn seldom(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// A word that is more interesting than others, or any.
    pub fn value(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            2 => u64::from(self.byte()),
            3 => u64::MAX,
            4 => 1 << self.below(64),
            5 => (1 << self.below(64)) - 1,
            6 => u64::MAX << self.below(64),
            _ => self.word(),
        }
    }
}

/// So many inputs of up to `longest` bytes, drawn from a seed.
pub fn inputs(seed: u64, count: usize, longest: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(move |_| {
        let length = next() as usize % (longest + 1);
        (0..length).map(|_| (next() >> 24) as u8).collect()
    })
}
