//! Memory that changes while it is read, and of which pages come and go.

use std::cell::{Cell, RefCell};

use realm_vmm::bus::{NotShared, SharedMemory};

/// The bit of the unprotected alias.
pub(super) const ALIAS: u64 = 1 << 39;
/// Where it is.
pub(super) const BASE: u64 = 0x4000_0000;
/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// How many pages there are.
pub(super) const PAGES: u64 = 32;

/// What a device did to memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) accesses: usize,
    pub(super) bytes: usize,
    /// Accesses that went to what is not shared.
    pub(super) missed: usize,
}

/// The memory of a realm.
pub(super) struct Memory {
    bytes: RefCell<Vec<u8>>,
    shared: Cell<u32>,
    /// How what was read changes right after.
    noise: Cell<u8>,
    work: Cell<Work>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            bytes: RefCell::new(vec![0; (PAGES * PAGE) as usize]),
            shared: Cell::new(u32::MAX),
            noise: Cell::new(0),
            work: Cell::default(),
        }
    }

    /// Shares a page that was not, or the other way round.
    pub(super) fn toggle(&self, page: u32) {
        self.shared.set(self.shared.get() ^ 1 << page);
    }

    pub(super) fn share_all(&self) {
        self.shared.set(u32::MAX);
        self.noise.set(0);
    }

    pub(super) fn set_noise(&self, noise: u8) {
        self.noise.set(noise);
    }

    /// What was done since the last call.
    pub(super) fn take_work(&self) -> Work {
        self.work.take()
    }

    /// What the realm writes; what is beyond the end is lost.
    pub(super) fn put(&self, address: u64, from: &[u8]) {
        let mut bytes = self.bytes.borrow_mut();
        let at = (address & !ALIAS).wrapping_sub(BASE) as usize;
        if let Some(to) = bytes.get_mut(at..).and_then(|to| to.get_mut(..from.len())) {
            to.copy_from_slice(from);
        }
    }

    /// Where an access is, if all of it is shared.
    fn range(&self, ipa: u64, length: usize) -> Result<usize, NotShared> {
        let at = (ipa & !ALIAS).checked_sub(BASE).ok_or(NotShared)?;
        let end = at.checked_add(length as u64).ok_or(NotShared)?;
        let shared = |page| page < PAGES && self.shared.get() >> page & 1 == 1;
        let is_shared = end <= PAGES * PAGE && (at / PAGE..end.div_ceil(PAGE)).all(shared);
        let mut work = self.work.get();
        work.accesses += 1;
        work.bytes += length;
        work.missed += usize::from(!is_shared);
        self.work.set(work);
        is_shared.then_some(at as usize).ok_or(NotShared)
    }
}

impl SharedMemory for Memory {
    fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
        let at = self.range(ipa, to.len())?;
        let mut bytes = self.bytes.borrow_mut();
        let from = &mut bytes[at..at + to.len()];
        to.copy_from_slice(from);
        from.iter_mut().for_each(|byte| *byte ^= self.noise.get());
        Ok(())
    }

    fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared> {
        let at = self.range(ipa, from.len())?;
        self.bytes.borrow_mut()[at..at + from.len()].copy_from_slice(from);
        Ok(())
    }
}
