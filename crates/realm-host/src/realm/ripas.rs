//! Changes between private and shared memory that a realm asks for.

use cca_abi::rmi::{Command, Ripas, rtt_set_ripas};

use super::config::LEAF;
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

impl<T: SmcTransport, M: PageSupply> Core<'_, T, M> {
    /// Applies a request of a REC for [`base`, `top`): first what the realm sees, then what backs it. For RAM, the pages that
    /// were shared at the aliases are unmapped before; for EMPTY, the private pages are destroyed after.
    ///
    /// On an error, `reached` in it is how far the change came; the rest is as before.
    pub(crate) fn change_ripas(
        &self,
        rec: GranuleAddress,
        base: u64,
        top: u64,
        value: Ripas,
    ) -> Result<Changed, (Ipa, Error)> {
        let _no_fault = self.memory.write();
        let mut base = base;
        if value == Ripas::Ram {
            let bit = self.geometry().unprotected_bit();
            self.unshare(base + bit, top + bit, Tables::Allocator)
                .map_err(|error| (Ipa::new(base), error))?;
        }
        let mut attempts = ATTEMPTS;
        while base < top {
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
                    base = next;
                    attempts = ATTEMPTS;
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
        Ok(Changed {
            reached: Ipa::new(base),
            blocked: false,
        })
    }
}
