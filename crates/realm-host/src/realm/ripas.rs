//! Changes between private and shared memory that a realm asks for.

use cca_abi::rmi::{Command, EntryState, Ripas, rtt_set_ripas};

use super::config::{Geometry, LEAF};
use super::core::Core;
use super::memory::Tables;
use super::tables::ATTEMPTS;
use crate::error::Error;
use crate::supply::PageSupply;
use crate::transport::SmcTransport;
use crate::units::{GRANULE, GranuleAddress, Ipa};

/// How far a change of RIPAS came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The first address that was not changed.
    pub reached: Ipa,
    /// Whether the rest cannot be changed, because it is destroyed and the realm did not allow that to be changed.
    pub blocked: bool,
}

/// Pages that one piece of a change gives or takes at most.
const PIECE: u64 = 64;
/// Calls of RMI_RTT_SET_RIPAS that one piece of a change takes at most.
const STEPS: usize = 16;

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Applies a request of a REC for [`base`, `top`): first what the realm sees, then what backs it. For RAM, the pages that
    /// were shared at the aliases are unmapped before; for EMPTY, the private pages are destroyed after.
    ///
    /// Faults of the realm wait for a piece of it at a time.
    ///
    /// On an error, `reached` in it is how far the change came; the rest is as before.
    pub(crate) fn change_ripas(
        &self,
        rec: GranuleAddress,
        base: u64,
        top: u64,
        value: Ripas,
    ) -> Result<Changed, (Ipa, Error)> {
        let mut base = base;
        loop {
            let changed = self.change_ripas_piece(rec, base, top, value)?;
            base = changed.reached.get();
            if changed.blocked || base >= top {
                return Ok(changed);
            }
        }
    }

    /// Applies the first piece of a request, as [`Core::change_ripas`] does the whole.
    pub(crate) fn change_ripas_piece(
        &self,
        rec: GranuleAddress,
        base: u64,
        top: u64,
        value: Ripas,
    ) -> Result<Changed, (Ipa, Error)> {
        let _no_fault = self.memory.write();
        let mut changed = Changed {
            reached: Ipa::new(base),
            blocked: false,
        };
        for _ in 0..STEPS {
            let base = changed.reached.get();
            if changed.blocked || base >= top {
                break;
            }
            let (end, is_cheap) = self
                .step_end(base, top, value)
                .map_err(|error| (Ipa::new(base), error))?;
            changed = self.change_ripas_step(rec, base, end, value)?;
            if !is_cheap {
                break;
            }
        }
        Ok(changed)
    }

    /// Where the step of a piece that begins at `base` ends, and whether it gives or takes no pages.
    fn step_end(&self, base: u64, top: u64, value: Ripas) -> Result<(u64, bool), Error> {
        let entry = self.entry(Ipa::new(base))?;
        let size = Geometry::entry_size(entry.level);
        // A block is split for its pages.
        if entry.level == LEAF || value == Ripas::Empty && entry.state == EntryState::Assigned {
            return Ok((top.min(base + PIECE * GRANULE), false));
        }
        let end = match value {
            Ripas::Empty => top.min((base & !(size - 1)) + size),
            _ => top,
        };
        let bit = self.geometry().unprotected_bit();
        let shared = self.shared.lock();
        let mut aliases = shared.range(base + bit..end + bit);
        let is_cheap = aliases.clone().next().is_none() || value == Ripas::Empty;
        let too_many = aliases.nth(PIECE as usize);
        Ok(match too_many {
            Some((&alias, _)) if value == Ripas::Ram => (alias - bit, false),
            _ => (end, is_cheap),
        })
    }

    /// One step: as far as one successful call goes.
    fn change_ripas_step(
        &self,
        rec: GranuleAddress,
        base: u64,
        top: u64,
        value: Ripas,
    ) -> Result<Changed, (Ipa, Error)> {
        if value == Ripas::Ram {
            let bit = self.geometry().unprotected_bit();
            self.unshare(base + bit, top + bit, Tables::Allocator)
                .map_err(|error| (Ipa::new(base), error))?;
        }
        let mut attempts = ATTEMPTS;
        loop {
            let at = |error| (Ipa::new(base), error);
            let input = rtt_set_ripas::Input {
                rd: self.rd().map_err(at)?,
                rec: rec.get(),
                base,
                top,
            };
            match self.client().rtt_set_ripas(input) {
                Ok(output) => {
                    let next = output.out_top;
                    if next <= base || next > top || !next.is_multiple_of(GRANULE) {
                        return Err(at(Error::NoProgress {
                            command: Command::RttSetRipas,
                            address: base,
                        }));
                    }
                    if value == Ripas::Empty {
                        self.remove_data(base, next, Tables::Allocator)
                            .map_err(|error| (Ipa::new(next), error))?;
                    }
                    return Ok(Changed {
                        reached: Ipa::new(next),
                        blocked: false,
                    });
                }
                Err(refused) => {
                    let Some(level) = refused.refusal.rtt_level() else {
                        return Err(at(Error::refused(refused.refusal, base)));
                    };
                    // A destroyed entry that the realm does not want changed, or an entry that is too large?
                    if self.entry(Ipa::new(base)).map_err(at)?.ripas == Ripas::Destroyed
                        && level == LEAF
                    {
                        return Ok(Changed {
                            reached: Ipa::new(base),
                            blocked: true,
                        });
                    }
                    if level >= LEAF || attempts == 0 {
                        return Err(at(Error::refused(refused.refusal, base)));
                    }
                    self.grow(Ipa::new(base), level, level + 1).map_err(at)?;
                    attempts -= 1;
                }
            }
        }
    }
}
