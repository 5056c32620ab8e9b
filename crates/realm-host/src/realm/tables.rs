//! Translation tables: reading entries, and growing and removing tables.

use cca_abi::rmi::{Command, EntryState, Ripas, rtt_create, rtt_destroy, rtt_read_entry};

use super::config::{Geometry, LEAF};
use super::core::Core;
use crate::error::{About, Error};
use crate::ledger::Purpose;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::Ipa;

/// How often an operation that lost a race, or met a table that appeared or vanished meanwhile, is tried again.
pub(super) const ATTEMPTS: usize = 16;

/// A translation table entry as the monitor describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The level at which the walk ended.
    pub level: i64,
    /// What it is.
    pub state: EntryState,
    /// What a protected address is to the realm. Nothing for tables and unprotected addresses.
    pub ripas: Ripas,
    /// The descriptor: address and attributes.
    pub descriptor: u64,
}

/// What becomes of a table that is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It goes back.
    None,
    /// It is put by to split a block with, if nothing is put by yet.
    Reserve,
}

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Reads the entry that the walk to the last level ends at.
    pub(crate) fn entry(&self, ipa: Ipa) -> Result<Entry, Error> {
        let ipa = ipa.granule().get();
        let input = rtt_read_entry::Input {
            rd: self.rd()?,
            ipa,
            level: LEAF,
        };
        let output = self.client().rtt_read_entry(input).about(ipa)?;
        let wrong = |what, value| Error::Answer {
            command: Command::RttReadEntry,
            what,
            value,
        };
        let state = EntryState::decode(output.state)
            .ok_or(wrong("an unknown entry state", output.state))?;
        let ripas = Ripas::decode(output.ripas).ok_or(wrong("an unknown RIPAS", output.ripas))?;
        let level = output.walk_level;
        if level > LEAF || level < self.geometry().start_level() {
            return Err(wrong(
                "a level that the realm does not have",
                level.cast_unsigned(),
            ));
        }
        if state == EntryState::Table {
            return Err(wrong(
                "a table where the walk should have gone on",
                level.cast_unsigned(),
            ));
        }
        Ok(Entry {
            level,
            state,
            ripas,
            descriptor: output.desc,
        })
    }

    /// Creates the tables that are missing on the way to `ipa`, down to `to`, knowing that the walk ends at `from`.
    /// Tables that somebody else creates meanwhile are as good.
    pub(super) fn grow(&self, ipa: Ipa, from: i64, to: i64) -> Result<(), Error> {
        let mut level = from + 1;
        for _ in 0..ATTEMPTS {
            if level > to {
                return Ok(());
            }
            let base = Geometry::align_down(ipa.get(), level - 1);
            let table = self.granules().delegate(self.id(), Purpose::Table)?;
            let input = rtt_create::Input {
                rd: self.rd()?,
                rtt: table.get(),
                ipa: base,
                level,
            };
            let Err(refused) = self.client().rtt_create(input) else {
                level += 1;
                continue;
            };
            self.granules().undelegate(table)?;
            match refused.refusal.rtt_level() {
                // The table exists.
                Some(ended) if ended == level - 1 => level += 1,
                // A table above is missing.
                Some(ended) if ended >= self.geometry().start_level() && ended < level - 1 => {
                    level = ended + 1
                }
                _ => return Err(Error::refused(refused.refusal, base)),
            }
        }
        Err(Error::NoProgress {
            command: Command::RttCreate,
            address: ipa.get(),
        })
    }

    /// Destroys all tables at `level` and below that describe [`base`, `top`), and takes their granules back.
    /// Nothing in them may be live but tables. Allocates nothing.
    pub(super) fn remove_tables(
        &self,
        level: i64,
        base: u64,
        top: u64,
        keep: Keep,
    ) -> Result<(), Error> {
        let mut ipa = base;
        let mut descended = None;
        while ipa < top {
            self.spend()?;
            let input = rtt_destroy::Input {
                rd: self.rd()?,
                ipa,
                level,
            };
            let next = match self.client().rtt_destroy(input) {
                Ok(output) => {
                    let table = self
                        .granules()
                        .expect(output.rtt, self.id(), Purpose::Table)?;
                    match keep {
                        Keep::None => drop(self.granules().undelegate(table)?),
                        Keep::Reserve => self.put_by(table)?,
                    }
                    output.top
                }
                Err(refused) => {
                    let next = refused.output.top;
                    match refused.refusal.rtt_level() {
                        Some(ended)
                            if next == ipa
                                && ended == level
                                && level < LEAF
                                && descended != Some(ipa) =>
                        {
                            self.remove_tables(
                                level + 1,
                                ipa,
                                ipa + Geometry::entry_size(level - 1),
                                keep,
                            )?;
                            descended = Some(ipa);
                            continue;
                        }
                        Some(_) if next > ipa => next,
                        _ => return Err(Error::refused(refused.refusal, ipa)),
                    }
                }
            };
            // A `top` is the end of an entry at this level's parent or above, so nothing is rounded away.
            let next = Geometry::align_down(next, level - 1);
            if next <= ipa {
                return Err(Error::NoProgress {
                    command: Command::RttDestroy,
                    address: ipa,
                });
            }
            ipa = next;
        }
        Ok(())
    }
}
