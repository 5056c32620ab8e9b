//! Blocks: 2 MiB of a realm's memory that one table entry describes.
//!
//! A block is made of 512 pages that are contiguous in the host's memory, whose table is then folded. The table that this frees
//! is put by: destroying the realm splits its blocks again, one after the other, with that table, and allocates nothing.

use cca_abi::rmi::{EntryState, Ripas, Status, data_create_unknown, rtt_create, rtt_fold};

use super::config::{Geometry, LEAF};
use super::core::Core;
use super::memory::Backed;
use super::tables::Keep;
use crate::error::{About, Error};
use crate::ledger::Purpose;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GRANULE, GranuleAddress, GranuleCount, Ipa, IpaRange};

/// The level of a block's entry.
pub(super) const BLOCK: i64 = LEAF - 1;
/// Granules of a block.
pub(super) const BLOCK_GRANULES: u64 = 512;

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Adds a block where a realm touched a protected address, or a page if that is not possible.
    pub(crate) fn back_block(&self, ipa: Ipa) -> Result<Backed, Error> {
        let _no_other_block = self.making_block.lock();
        match self.try_block(ipa)? {
            Some(backed) => Ok(backed),
            None => self.back(ipa),
        }
    }

    /// `None` if something is there already, or if there is no memory for a block.
    fn try_block(&self, ipa: Ipa) -> Result<Option<Backed>, Error> {
        let _no_conversion = self.memory.read();
        let entry = self.entry(ipa)?;
        let is_open = entry.state == EntryState::Unassigned && entry.ripas == Ripas::Ram;
        if !is_open || entry.level >= LEAF {
            return Ok(None);
        }
        let base = Geometry::align_down(ipa.get(), BLOCK);
        if entry.level < BLOCK {
            self.grow(Ipa::new(base), entry.level, BLOCK)?;
        }
        let count = GranuleCount::new(BLOCK_GRANULES);
        let run = self
            .granules()
            .delegate_block(self.id(), Purpose::Data, count)?;
        run.map(|run| self.fill_block(ipa, base, run)).transpose()
    }

    /// Maps the pages of a run one by one, and folds their table. What cannot be mapped goes back; pages that are mapped stay,
    /// because to take them away would destroy them for the realm.
    fn fill_block(&self, ipa: Ipa, base: u64, run: GranuleAddress) -> Result<Backed, Error> {
        let mut result = self.grow(Ipa::new(base), BLOCK, LEAF);
        let mut all = true;
        let mut touched = Backed::Present;
        for n in 0..BLOCK_GRANULES {
            let data = run.plus(GranuleCount::new(n));
            let page = base + n * GRANULE;
            if result.is_ok() {
                let input = data_create_unknown::Input {
                    rd: self.rd()?,
                    data: data.get(),
                    ipa: page,
                };
                match self.client().data_create_unknown(input) {
                    Ok(_) => {
                        if page == ipa.granule().get() {
                            touched = Backed::Added;
                        }
                        continue;
                    }
                    // Another vCPU, which adds no more than a page, was faster with this one.
                    Err(refused) if refused.refusal.rtt_level() == Some(LEAF) => {}
                    Err(refused) => result = Err(Error::refused(refused.refusal, page)),
                }
            }
            all = false;
            self.granules().undelegate(data)?;
        }
        match result {
            Err(error) if touched != Backed::Added => return Err(error),
            _ => {}
        }
        if all {
            self.fold_table(base)?;
        }
        Ok(touched)
    }

    /// Folds the tables of a range whose entries are pages, where that is possible; how many there were.
    pub(super) fn fold(&self, range: IpaRange) -> Result<usize, Error> {
        let size = Geometry::entry_size(BLOCK);
        let _no_conversion = self.memory.read();
        let first = range.base().get().next_multiple_of(size);
        let mut folded = 0;
        for base in (first..range.top().get()).step_by(size as usize) {
            if base + size <= range.top().get() && self.fold_table(base)? {
                folded += 1;
            }
        }
        Ok(folded)
    }

    /// Folds a table of pages, if there is one and its entries say the same.
    fn fold_table(&self, base: u64) -> Result<bool, Error> {
        let input = rtt_fold::Input {
            rd: self.rd()?,
            ipa: base,
            level: LEAF,
        };
        match self.client().rtt_fold(input) {
            Ok(output) => {
                let table = self
                    .granules()
                    .expect(output.rtt, self.id(), Purpose::Table)?;
                self.put_by(table)?;
                Ok(true)
            }
            Err(refused) if refused.refusal.is(Status::ErrorRtt) => Ok(false),
            Err(refused) => Err(Error::refused(refused.refusal, base)),
        }
    }

    /// Keeps a table to split blocks with, if none is kept yet.
    pub(super) fn put_by(&self, table: GranuleAddress) -> Result<(), Error> {
        {
            let mut reserve = self.reserve.lock();
            if reserve.is_none() {
                *reserve = Some(table);
                return Ok(());
            }
        }
        self.granules().undelegate(table).map(drop)
    }

    /// Splits the block that describes `ipa` with the table that was put by. If that is in use, it is that of a block before, whose
    /// data is gone: everything below `ipa` is. `swept` is up to where that is known to have been looked at.
    pub(super) fn split_from_reserve(
        &self,
        ipa: u64,
        level: i64,
        swept: &mut u64,
    ) -> Result<(), Error> {
        let base = Geometry::align_down(ipa, level);
        if self.reserve.lock().is_none() {
            self.remove_tables(level + 1, *swept, base, Keep::Reserve)?;
        }
        *swept = base;
        let none = Error::Usage {
            what: "no table was put by to split a block at",
            value: base,
        };
        let table = self.reserve.lock().take().ok_or(none)?;
        let input = rtt_create::Input {
            rd: self.rd()?,
            rtt: table.get(),
            ipa: base,
            level: level + 1,
        };
        let answer = self.client().rtt_create(input);
        if answer.is_err() {
            *self.reserve.lock() = Some(table);
        }
        answer.about(base).map(drop)
    }

    /// No block is left.
    pub(super) fn give_up_reserve(&self) -> Result<(), Error> {
        let table = self.reserve.lock().take();
        table.map_or(Ok(()), |table| self.granules().undelegate(table).map(drop))
    }
}
