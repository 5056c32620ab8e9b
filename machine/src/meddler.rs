//! Another processing element of the host, which changes memory while the realm monitor reads it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

type Meddling = Box<dyn Fn(&mut HostWords<'_>) + Send + Sync>;

/// Words of the host's memory that the realm monitor has just read.
pub struct HostWords<'m> {
    /// The granule that they are in.
    pub pa: u64,
    /// The first one, in bytes from its start.
    pub offset: usize,
    cells: &'m [AtomicU64],
}

impl HostWords<'_> {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Replaces each word by what `change` makes of it.
    pub fn change(&mut self, mut change: impl FnMut(u64) -> u64) {
        for cell in self.cells {
            cell.store(change(cell.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }
}

/// Who does that, if anybody.
#[derive(Default)]
pub(crate) struct Meddler(OnceLock<Meddling>);

impl Meddler {
    /// # Panics
    ///
    /// If somebody does already.
    pub(crate) fn set(&self, meddling: Meddling) {
        let set = self.0.set(meddling);
        assert!(set.is_ok(), "somebody meddles with this machine already");
    }

    pub(crate) fn meddle(&self, pa: u64, offset: usize, cells: &[AtomicU64]) {
        if let Some(meddling) = self.0.get() {
            meddling(&mut HostWords { pa, offset, cells });
        }
    }
}
