//! Memory of a realm, of which some pages are shared.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use realm_vmm::bus::{NotShared, SharedMemory};

/// The bit of the unprotected alias.
pub(crate) const ALIAS: u64 = 1 << 39;
/// Where the memory is.
pub(crate) const BASE: u64 = 0x4000_0000;
/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;

/// A page, in words.
struct Page([AtomicU64; 512]);

impl Page {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }
}

/// Pages from [`BASE`] on, all of them shared.
pub(crate) struct Memory {
    pages: Vec<Page>,
    private: Cell<Option<u64>>,
    /// How often each address was the start of a read.
    reads: RefCell<BTreeMap<u64, usize>>,
}

impl Memory {
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            pages: (0..pages).map(|_| Page::new()).collect(),
            private: Cell::new(None),
            reads: RefCell::default(),
        }
    }

    /// Takes one page out of what is shared, and the last one that was taken out back in.
    pub(crate) fn hide(&self, page: Option<u64>) {
        self.private.set(page);
    }

    /// How often each address was the start of a read since the last call.
    pub(crate) fn take_reads(&self) -> BTreeMap<u64, usize> {
        self.reads.take()
    }

    /// Everything, as bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let words = self.pages.iter().flat_map(|page| &page.0);
        words
            .flat_map(|word| word.load(Ordering::Acquire).to_le_bytes())
            .collect()
    }

    fn word(&self, ipa: u64) -> Result<&AtomicU64, NotShared> {
        let offset = (ipa & !ALIAS).checked_sub(BASE).ok_or(NotShared)?;
        let page = offset / PAGE;
        if self.private.get() == Some(page) {
            return Err(NotShared);
        }
        let page = self.pages.get(page as usize).ok_or(NotShared)?;
        Ok(&page.0[(offset % PAGE / 8) as usize])
    }

    /// A little-endian number of `N` bytes.
    pub(crate) fn number<const N: usize>(&self, ipa: u64) -> u64 {
        let mut bytes = [0; N];
        self.copy_out(ipa, &mut bytes).expect("shared");
        bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| n << 8 | u64::from(byte))
    }

    pub(crate) fn put(&self, ipa: u64, bytes: &[u8]) {
        self.write(ipa, bytes).expect("shared");
    }

    fn copy_out(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
        for (n, to) in to.iter_mut().enumerate() {
            let at = ipa.wrapping_add(n as u64);
            *to = self.word(at)?.load(Ordering::Acquire).to_le_bytes()[(at % 8) as usize];
        }
        Ok(())
    }
}

impl SharedMemory for Memory {
    fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared> {
        *self.reads.borrow_mut().entry(ipa & !ALIAS).or_default() += 1;
        self.copy_out(ipa, to)
    }

    fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared> {
        for (n, &from) in from.iter().enumerate() {
            let at = ipa.wrapping_add(n as u64);
            let word = self.word(at)?;
            let old = word.load(Ordering::Acquire).to_le_bytes()[(at % 8) as usize];
            word.fetch_xor(u64::from(old ^ from) << (8 * (at % 8)), Ordering::Release);
        }
        Ok(())
    }
}
