//! What a realm shares with the host: memory at unprotected addresses.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering};

use cca_abi::rmi::{Command, rtt_map_unprotected, rtt_unmap_unprotected};

use super::blocks::{BLOCK, BLOCK_GRANULES};
use super::bytes;
use super::config::{Geometry, LEAF};
use super::core::Core;
use super::memory::Tables;
use super::tables::ATTEMPTS;
use crate::error::Error;
use crate::ledger::Purpose;
use crate::supply::{GranuleWords, PageSupply};
use crate::transport::SmcTransport;
use crate::units::{GRANULE, GranuleAddress, GranuleCount, Ipa};

/// How a realm may use memory of the host's (stage 2 attributes with FEAT_S2FWB; RMM specification 1.0-rel0, A5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Normal memory, write-back, readable and writable.
    #[default]
    ReadWrite,
    /// Normal memory, write-back, readable only.
    ReadOnly,
    /// Device memory (nGnRE), readable and writable.
    Device,
}

impl Access {
    const fn attributes(self) -> u64 {
        match self {
            Self::ReadWrite => 0b110 << 2 | 0b11 << 6,
            Self::ReadOnly => 0b110 << 2 | 0b01 << 6,
            Self::Device => 0b001 << 2 | 0b11 << 6,
        }
    }
}

/// What is mapped at an unprotected address: in one word, as a realm decides how many of these there are. The address of the first granule,
/// and in the bits that it has not, the level, and whether the granule came from the pool of the realm and not from the embedder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared(u64);

/// In a [`Shared`]: the granule came from the pool.
const POOLED: u64 = 1 << 2;

impl Shared {
    const fn new(first: GranuleAddress, level: i64, pooled: bool) -> Self {
        let pooled = if pooled { POOLED } else { 0 };
        Self(first.get() | level as u64 & 3 | pooled)
    }

    const fn first(self) -> GranuleAddress {
        GranuleAddress::of(self.0)
    }

    const fn level(self) -> i64 {
        (self.0 & 3) as i64
    }

    const fn is_pooled(self) -> bool {
        self.0 & POOLED != 0
    }

    const fn size(self) -> u64 {
        Geometry::entry_size(self.level())
    }
}

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Maps a page of the host's at an unprotected address, for the realm to read and write. If one is mapped there
    /// already, that is the one.
    pub(crate) fn share(&self, ipa: Ipa) -> Result<GranuleAddress, Error> {
        let ipa = ipa.granule();
        let _no_conversion = self.memory.read();
        let mut shared = self.shared.lock();
        if let Some((start, there)) = find(&shared, ipa.get()) {
            let offset = GranuleCount::new((ipa.get() - start) / GRANULE);
            return Ok(there.first().plus(offset));
        }
        let granule = self.granules().hold(self.id(), Purpose::Shared)?;
        match self.map(ipa, granule, LEAF, Access::ReadWrite) {
            Ok(()) => {
                shared.insert(ipa.get(), Shared::new(granule, LEAF, true));
                Ok(granule)
            }
            Err(error) => {
                self.granules().release(granule)?;
                Err(error)
            }
        }
    }

    /// Maps memory of the embedder's own, with blocks where both addresses permit and no table is in the way. If it fails, what
    /// it has mapped is unmapped again.
    pub(super) fn map_shared(
        &self,
        ipa: Ipa,
        first: GranuleAddress,
        count: GranuleCount,
        access: Access,
    ) -> Result<(), Error> {
        let _no_fault = self.memory.write();
        let top = ipa.get() + count.bytes();
        {
            let shared = self.shared.lock();
            let there = find(&shared, ipa.get()).or_else(|| {
                shared
                    .range(ipa.get()..top)
                    .next()
                    .map(|(&ipa, &s)| (ipa, s))
            });
            if let Some((value, _)) = there {
                return Err(Error::Usage {
                    what: "something is mapped already at unprotected address",
                    value,
                });
            }
        }
        let mut done = 0;
        while done < count.get() {
            let at = Ipa::new(ipa.get() + done * GRANULE);
            let from = first.plus(GranuleCount::new(done));
            match self.map_largest(at, from, count.get() - done, access) {
                Ok(level) => {
                    let entry = Shared::new(from, level, false);
                    self.shared.lock().insert(at.get(), entry);
                    done += entry.size() / GRANULE;
                }
                Err(error) => {
                    self.unshare(ipa.get(), at.get(), Tables::Allocator)?;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Maps a block if it can be, else a page; says which.
    fn map_largest(
        &self,
        ipa: Ipa,
        from: GranuleAddress,
        left: u64,
        access: Access,
    ) -> Result<i64, Error> {
        let size = Geometry::entry_size(BLOCK);
        let fits = left >= BLOCK_GRANULES
            && ipa.get().is_multiple_of(size)
            && from.get().is_multiple_of(size);
        if fits && self.entry(ipa)?.level <= BLOCK {
            match self.map(ipa, from, BLOCK, access) {
                Ok(()) => return Ok(BLOCK),
                // A table came between.
                Err(error) if error.refusal().and_then(|r| r.rtt_level()) == Some(BLOCK) => {}
                Err(error) => return Err(error),
            }
        }
        self.map(ipa, from, LEAF, access).map(|()| LEAF)
    }

    fn map(
        &self,
        ipa: Ipa,
        granule: GranuleAddress,
        level: i64,
        access: Access,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let input = rtt_map_unprotected::Input {
                rd: self.rd()?,
                ipa: ipa.get(),
                level,
                desc: granule.get() | access.attributes(),
            };
            let Err(refused) = self.client().rtt_map_unprotected(input) else {
                return Ok(());
            };
            match refused.refusal.rtt_level() {
                Some(ended) if ended < level => self.grow(ipa, ended, level)?,
                _ => return Err(Error::refused(refused.refusal, ipa.get())),
            }
        }
        Err(Error::NoProgress {
            command: Command::RttMapUnprotected,
            address: ipa.get(),
        })
    }

    /// Unmaps what is mapped in a range of unprotected addresses; pages of the pool go back to it. A block that reaches out of the
    /// range is split, with a table from the allocator: there is none if the range is everything.
    pub(super) fn unshare(&self, base: u64, top: u64, tables: Tables) -> Result<(), Error> {
        let mut shared = self.shared.lock();
        loop {
            let next = find(&shared, base)
                .or_else(|| shared.range(base..top).next().map(|(&ipa, &s)| (ipa, s)));
            let Some((ipa, entry)) = next else {
                return Ok(());
            };
            self.spend()?;
            if (ipa < base || ipa + entry.size() > top) && tables == Tables::Allocator {
                self.grow(Ipa::new(ipa), entry.level(), LEAF)?;
                // A monitor that claims that the table was there already has not split anything.
                if self.entry(Ipa::new(ipa))?.level != LEAF {
                    return Err(Error::NoProgress {
                        command: Command::RttCreate,
                        address: ipa,
                    });
                }
                split(&mut shared, ipa, entry);
                continue;
            }
            let input = rtt_unmap_unprotected::Input {
                rd: self.rd()?,
                ipa,
                level: entry.level(),
            };
            if let Err(refused) = self.client().rtt_unmap_unprotected(input) {
                match refused.refusal.rtt_level() {
                    // It is unmapped.
                    Some(_) if refused.output.top > ipa => {}
                    // It has been split.
                    Some(level) if level == entry.level() && level < LEAF => {
                        split(&mut shared, ipa, entry);
                        continue;
                    }
                    _ => return Err(Error::refused(refused.refusal, ipa)),
                }
            }
            shared.remove(&ipa);
            if entry.is_pooled() {
                self.granules().clear(entry.first());
                self.granules().release(entry.first())?;
            }
        }
    }

    /// As [`Core::unshare`], while no fault is served.
    pub(super) fn unmap_shared(&self, base: u64, top: u64) -> Result<(), Error> {
        let _no_fault = self.memory.write();
        self.unshare(base, top, Tables::Allocator)
    }

    /// Reads a word of the page that is mapped at an unprotected address.
    pub(crate) fn read_shared(&self, ipa: Ipa) -> Option<u64> {
        self.with_shared(ipa, |word| word.load(Ordering::Acquire))
    }

    /// Writes a word of the page that is mapped at an unprotected address.
    pub(crate) fn write_shared(&self, ipa: Ipa, value: u64) -> Option<()> {
        self.with_shared(ipa, |word| word.store(value, Ordering::Release))
    }

    /// Copies from memory that is shared from an unprotected address on, granule by granule.
    pub(crate) fn read_shared_bytes(&self, ipa: Ipa, to: &mut [u8]) -> Option<()> {
        let mut to = to;
        self.each_shared_granule(ipa, to.len(), |words, offset, length| {
            let (part, rest) = core::mem::take(&mut to).split_at_mut(length);
            bytes::read(words, offset, part);
            to = rest;
        })
    }

    /// Copies to memory that is shared from an unprotected address on, granule by granule.
    pub(crate) fn write_shared_bytes(&self, ipa: Ipa, from: &[u8]) -> Option<()> {
        let mut from = from;
        self.each_shared_granule(ipa, from.len(), |words, offset, length| {
            let (part, rest) = from.split_at(length);
            bytes::write(words, offset, part);
            from = rest;
        })
    }

    /// Calls `f` with the words of each granule of a range, where in it to start, and for how many bytes. A granule stays mapped
    /// during the call for it, and may be unmapped before the next one.
    fn each_shared_granule(
        &self,
        ipa: Ipa,
        length: usize,
        mut f: impl FnMut(&GranuleWords, usize, usize),
    ) -> Option<()> {
        let (mut at, mut left) = (ipa.get(), length);
        while left != 0 {
            let offset = (at % GRANULE) as usize;
            let step = left.min(GRANULE as usize - offset);
            self.with_granule(at - offset as u64, |words| f(words, offset, step))?;
            left -= step;
            at = at.checked_add(step as u64)?;
        }
        Some(())
    }

    fn with_shared<R>(&self, ipa: Ipa, f: impl FnOnce(&AtomicU64) -> R) -> Option<R> {
        let offset = ipa.get() - ipa.granule().get();
        if !offset.is_multiple_of(8) {
            return None;
        }
        self.with_granule(ipa.granule().get(), |words| f(&words[offset as usize / 8]))
    }

    /// Calls `f` with the words of the granule that is mapped at an unprotected address.
    fn with_granule<R>(&self, ipa: u64, f: impl FnOnce(&GranuleWords) -> R) -> Option<R> {
        let shared = self.shared.lock();
        let (start, entry) = find(&shared, ipa)?;
        let offset = GranuleCount::new((ipa - start) / GRANULE);
        Some(f(self.host().supply().words(entry.first().plus(offset))))
    }
}

/// Makes pages of what is known of a block.
fn split(shared: &mut BTreeMap<u64, Shared>, ipa: u64, block: Shared) {
    for n in 0..block.size() / GRANULE {
        let first = block.first().plus(GranuleCount::new(n));
        let page = Shared::new(first, LEAF, block.is_pooled());
        shared.insert(ipa + n * GRANULE, page);
    }
}

/// What is mapped at an address, and where that starts.
fn find(shared: &BTreeMap<u64, Shared>, ipa: u64) -> Option<(u64, Shared)> {
    shared
        .range(..=ipa)
        .next_back()
        .filter(|(start, entry)| ipa - **start < entry.size())
        .map(|(&start, &entry)| (start, entry))
}
