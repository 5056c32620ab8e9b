//! VMIDs in use: no two realms have the same.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Release};

use crate::atomic::AtomicWord;

/// Takes what `bit` of `word` stands for. Whether it was free.
#[inline]
pub fn take(word: &impl AtomicWord<Value = u32>, bit: u32) -> bool {
    word.fetch_or(bit, Acquire) & bit == 0
}

/// Gives back what `bit` of `word` stands for, and releases what the caller did with it to whoever takes it next.
#[inline]
pub fn give_back(word: &impl AtomicWord<Value = u32>, bit: u32) {
    word.fetch_and(!bit, Release);
}

const WORDS: usize = (1 << 16) / 32;

/// The set of VMIDs that belong to realms.
#[derive(Debug)]
pub struct VmidSet {
    words: [AtomicU32; WORDS],
}

impl VmidSet {
    /// No VMID is in use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            words: [const { AtomicU32::new(0) }; WORDS],
        }
    }

    /// Takes a VMID, until the reservation is dropped or kept. `None` if a realm has it already.
    #[must_use]
    pub fn reserve(&self, vmid: u16) -> Option<VmidReservation<'_>> {
        let (word, bit) = self.position(vmid);
        // Lazily: a reservation that is made and dropped would give away somebody else's VMID.
        take(word, bit).then(|| VmidReservation { set: self, vmid })
    }

    /// The realm that had the VMID is gone, and so are its translations.
    pub fn release(&self, vmid: u16) {
        let (word, bit) = self.position(vmid);
        give_back(word, bit);
    }

    /// The VMIDs that are taken now, in ascending order. For traces and for tests.
    pub fn taken(&self) -> impl Iterator<Item = u16> + '_ {
        let words = self.words.iter().zip(0_u16..);
        let words = words.map(|(word, index)| (word.load(Acquire), index));
        // Nearly all of them are free.
        let words = words.filter(|(bits, _)| *bits != 0);
        words.flat_map(|(bits, index)| {
            (0..32_u16)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| 32 * index + bit)
        })
    }

    fn position(&self, vmid: u16) -> (&AtomicU32, u32) {
        (&self.words[usize::from(vmid / 32)], 1 << (vmid % 32))
    }
}

impl Default for VmidSet {
    fn default() -> Self {
        Self::new()
    }
}

/// A VMID that is taken for a realm that may still fail to come into being. Gives it back when dropped.
#[derive(Debug)]
#[must_use = "dropping the reservation gives the VMID back"]
pub struct VmidReservation<'s> {
    set: &'s VmidSet,
    vmid: u16,
}

impl VmidReservation<'_> {
    /// The realm exists: it now has the VMID until [`VmidSet::release`].
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl Drop for VmidReservation<'_> {
    fn drop(&mut self) {
        self.set.release(self.vmid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vmid_has_one_owner() {
        let set = VmidSet::new();
        let reservation = set.reserve(0xFFFF).expect("free");
        for _ in 0..2 {
            assert!(
                set.reserve(0xFFFF).is_none(),
                "asking for a VMID in use does not free it"
            );
        }
        assert!(set.taken().eq([0xFFFF]));
        assert!(set.reserve(0xFFFE).is_some());
        drop(reservation);
        set.reserve(0xFFFF).expect("given back").keep();
        assert!(set.reserve(0xFFFF).is_none());
        set.release(0xFFFF);
        assert!(set.reserve(0xFFFF).is_some());
    }
}
