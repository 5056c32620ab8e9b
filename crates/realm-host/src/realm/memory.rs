//! A realm's memory: what is in it at the start, what is added when it is touched, and what it shares.

use core::sync::atomic::Ordering;

use cca_abi::rmi::{
    Command, DATA_FLAG_MEASURE, EntryState, Ripas, data_create, data_create_unknown, data_destroy,
    rtt_init_ripas,
};

use super::config::{Geometry, LEAF};
use super::core::Core;
use super::tables::ATTEMPTS;
use crate::error::Error;
use crate::ledger::Purpose;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GRANULE, GranuleAddress, Ipa, IpaRange};

/// What was found where a realm faulted, and what was done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backed {
    /// Memory was added.
    Added,
    /// Memory is there; the fault was spurious, or another vCPU was faster.
    Present,
    /// The address is not RAM. The realm takes an external abort when it tries again.
    Empty,
    /// What was there is destroyed. The realm cannot go on at this address, whatever the host does.
    Destroyed,
}

/// An operation on a range that failed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Everything below this address is done, and measured; who goes on goes on here.
    pub reached: Ipa,
    /// Why it ended.
    pub error: Error,
}

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Makes a range of a new realm RAM, with as coarse table entries as there are: a table is created only where the
    /// range starts or ends within an entry.
    pub(super) fn init_ripas(&mut self, range: IpaRange) -> Result<(), Partial> {
        let mut base = range.base().get();
        while base < range.top().get() {
            let reached = Ipa::new(base);
            base = self
                .init_ripas_step(base, range.top().get())
                .map_err(|error| Partial { reached, error })?;
        }
        Ok(())
    }

    fn init_ripas_step(&mut self, base: u64, top: u64) -> Result<u64, Error> {
        for _ in 0..ATTEMPTS {
            let level = self.entry(Ipa::new(base))?.level;
            let input = rtt_init_ripas::Input {
                rd: self.rd()?,
                base,
                top,
            };
            let refused = match self.client().rtt_init_ripas(input) {
                Ok(output) => {
                    check_progress(Command::RttInitRipas, base, output.out_top, top, level)?;
                    let step = Geometry::entry_size(level);
                    for entry in (base..output.out_top).step_by(step as usize) {
                        self.rim.ripas(entry, entry + step);
                    }
                    return Ok(output.out_top);
                }
                Err(refused) => refused.refusal,
            };
            match refused.rtt_level() {
                Some(level) if level < LEAF => self.grow(Ipa::new(base), level, level + 1)?,
                _ => return Err(Error::refused(refused, base)),
            }
        }
        Err(Error::NoProgress {
            command: Command::RttInitRipas,
            address: base,
        })
    }

    /// Copies content to protected pages of a new realm. The last page is filled up with zeros.
    pub(super) fn populate(
        &mut self,
        ipa: Ipa,
        content: &[u8],
        measure: bool,
    ) -> Result<(), Partial> {
        for (done, page) in content.chunks(GRANULE as usize).enumerate() {
            let reached = Ipa::new(ipa.get() + done as u64 * GRANULE);
            let mut bytes = [0; GRANULE as usize];
            bytes[..page.len()].copy_from_slice(page);
            self.populate_page(reached, &bytes, measure)
                .map_err(|error| Partial { reached, error })?;
        }
        Ok(())
    }

    fn populate_page(
        &mut self,
        ipa: Ipa,
        bytes: &[u8; GRANULE as usize],
        measure: bool,
    ) -> Result<(), Error> {
        let mut words = [0; 512];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let data = self.granules().delegate(self.id(), Purpose::Data)?;
        let result = self.with_parameters(&words, |source| {
            self.create_data(ipa, data, source, measure)
        });
        if result.is_err() {
            self.granules().undelegate(data)?;
        } else {
            self.rim.data(ipa.get(), measure.then_some(bytes));
        }
        result
    }

    fn create_data(
        &self,
        ipa: Ipa,
        data: GranuleAddress,
        source: GranuleAddress,
        measure: bool,
    ) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let input = data_create::Input {
                rd: self.rd()?,
                data: data.get(),
                ipa: ipa.get(),
                src: source.get(),
                flags: if measure { DATA_FLAG_MEASURE } else { 0 },
            };
            let Err(refused) = self.client().data_create(input) else {
                return Ok(());
            };
            match refused.refusal.rtt_level() {
                Some(level) if level < LEAF => self.grow(ipa, level, LEAF)?,
                _ => return Err(Error::refused(refused.refusal, ipa.get())),
            }
        }
        Err(Error::NoProgress {
            command: Command::DataCreate,
            address: ipa.get(),
        })
    }

    /// Adds memory where a realm touched a protected address, if RAM belongs there.
    pub(crate) fn back(&self, ipa: Ipa) -> Result<Backed, Error> {
        let ipa = ipa.granule();
        let _no_conversion = self.memory.read();
        for _ in 0..ATTEMPTS {
            let entry = self.entry(ipa)?;
            match (entry.state, entry.ripas) {
                (_, Ripas::Destroyed) => return Ok(Backed::Destroyed),
                (_, Ripas::Empty) => return Ok(Backed::Empty),
                (EntryState::Unassigned, Ripas::Ram) => {}
                (_, Ripas::Ram) => return Ok(Backed::Present),
            }
            if entry.level < LEAF {
                self.grow(ipa, entry.level, LEAF)?;
            }
            let data = self.granules().delegate(self.id(), Purpose::Data)?;
            let input = data_create_unknown::Input {
                rd: self.rd()?,
                data: data.get(),
                ipa: ipa.get(),
            };
            let Err(refused) = self.client().data_create_unknown(input) else {
                return Ok(Backed::Added);
            };
            self.granules().undelegate(data)?;
            // Another vCPU was faster, or a table has gone: look again.
            if refused.refusal.rtt_level().is_none() {
                return Err(Error::refused(refused.refusal, ipa.get()));
            }
        }
        Err(Error::NoProgress {
            command: Command::DataCreateUnknown,
            address: ipa.get(),
        })
    }

    /// Destroys the data of a protected range and takes its granules back. A block is split with a table from where
    /// `tables` says.
    pub(super) fn remove_data(&self, base: u64, top: u64, tables: Tables) -> Result<(), Error> {
        let mut ipa = base;
        let mut splits = 0;
        let mut swept = 0;
        while ipa < top {
            if tables == Tables::Reserve {
                self.cleared.store(ipa, Ordering::Relaxed);
            }
            self.spend()?;
            let next = match self.client().data_destroy(data_destroy::Input {
                rd: self.rd()?,
                ipa,
            }) {
                Ok(output) => {
                    let data = self
                        .granules()
                        .expect(output.data, self.id(), Purpose::Data)?;
                    self.granules().undelegate(data)?;
                    splits = 0;
                    output.top
                }
                Err(refused) => match refused.refusal.rtt_level() {
                    Some(_) if refused.output.top > ipa => refused.output.top,
                    Some(level) if level < LEAF && splits < ATTEMPTS => {
                        match tables {
                            Tables::Allocator => self.grow(Ipa::new(ipa), level, level + 1)?,
                            Tables::Reserve => self.split_from_reserve(ipa, level, &mut swept)?,
                        }
                        splits += 1;
                        continue;
                    }
                    _ => return Err(Error::refused(refused.refusal, ipa)),
                },
            };
            if next <= ipa || !next.is_multiple_of(GRANULE) {
                return Err(Error::NoProgress {
                    command: Command::DataDestroy,
                    address: ipa,
                });
            }
            ipa = next;
        }
        Ok(())
    }
}

/// Where the table comes from that splits a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// From the embedder's allocator: the realm lives on.
    Allocator,
    /// From what was put by when the block was made: the realm is being destroyed, and nothing may be allocated.
    Reserve,
}

/// Checks an `out_top`.
fn check_progress(
    command: Command,
    base: u64,
    out_top: u64,
    top: u64,
    level: i64,
) -> Result<(), Error> {
    if out_top <= base {
        return Err(Error::NoProgress {
            command,
            address: base,
        });
    }
    if out_top > top || !(out_top - base).is_multiple_of(Geometry::entry_size(level)) {
        return Err(Error::Answer {
            command,
            what: "an end that is not one of an entry in the range",
            value: out_top,
        });
    }
    Ok(())
}
