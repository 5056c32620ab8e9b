//! What a PE has done since its command began. A PE is a thread.

use std::cell::RefCell;

/// A PE in the monitor.
#[derive(Debug, Default)]
pub(crate) struct Pe {
    /// Whether a command is under way. What tests do without one is not looked at.
    pub(crate) inside: bool,
    /// The number of its last entry to the monitor, of all PEs.
    pub(crate) entry: u64,
    /// Granules whose words the monitor has asked for, in the order of the last time.
    pub(crate) touched: Vec<u64>,
    /// A granule that has content in advance of its use.
    pub(crate) filled: Option<u64>,
    /// Descriptors, by table and index, that no walker has been told of.
    pub(crate) unpublished: Vec<(u64, usize)>,
    /// What was read of the host's memory: granule, first byte, number of bytes.
    pub(crate) reads: Vec<(u64, usize, usize)>,
}

impl Pe {
    pub(crate) fn begin(&mut self) {
        self.inside = true;
        self.touched.clear();
        self.filled = None;
        self.unpublished.clear();
        self.reads.clear();
    }

    pub(crate) fn touch(&mut self, pa: u64) {
        if self.touched.last() != Some(&pa) {
            self.touched.retain(|&other| other != pa);
            self.touched.push(pa);
        }
    }
}

thread_local! {
    static PE: RefCell<Pe> = RefCell::default();
}

pub(crate) fn with<R>(with: impl FnOnce(&mut Pe) -> R) -> R {
    PE.with_borrow_mut(with)
}

/// Lets other PEs work on this thread until `others` returns: for schedulers that run all PEs on one.
pub fn away(others: impl FnOnce()) {
    let mine = PE.take();
    others();
    PE.set(mine);
}

/// Forgets what the PE has done, if it is not forgotten anyway because its thread ends.
pub(crate) fn forget() {
    let _ = PE.try_with(RefCell::take);
}
