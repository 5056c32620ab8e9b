//! Memory that a realm shares.

use std::sync::atomic::{AtomicU8, Ordering};

use realm_vmm::bus::{NotShared, SharedMemory};

/// The bit of the unprotected alias.
pub(crate) const ALIAS: u64 = 1 << 39;
/// Where the memory is.
pub(crate) const BASE: u64 = 0x4000_0000;
/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// A page, aligned to its size, as drivers want their queues to be.
#[repr(align(4096))]
pub(crate) struct Page([AtomicU8; PAGE as usize]);

impl Page {
    pub(crate) const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; PAGE as usize])
    }

    pub(crate) fn clear(&self) {
        for byte in &self.0 {
            byte.store(0, Ordering::Relaxed);
        }
    }
}

/// Pages that follow each other, all of them shared.
pub struct Memory(pub(crate) &'static [Page]);

impl Memory {
    /// As many bytes as are asked for from `ipa` on.
    fn bytes(&self, ipa: u64, count: usize) -> Result<impl Iterator<Item = &AtomicU8>, NotShared> {
        let start = (ipa & !ALIAS).checked_sub(BASE).ok_or(NotShared)?;
        let end = start.checked_add(count as u64).ok_or(NotShared)?;
        if end > self.0.len() as u64 * PAGE {
            return Err(NotShared);
        }
        let all = self.0.iter().flat_map(|page| &page.0);
        Ok(all.skip(start as usize).take(count))
    }
}

impl SharedMemory for Memory {
    fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
        for (from, to) in self.bytes(ipa, to.len())?.zip(to) {
            *to = from.load(Ordering::Acquire);
        }
        Ok(())
    }

    fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared> {
        for (to, from) in self.bytes(ipa, from.len())?.zip(from) {
            to.store(*from, Ordering::Release);
        }
        Ok(())
    }
}
