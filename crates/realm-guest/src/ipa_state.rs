//! The state of protected addresses, and changing it.

use cca_abi::rsi::{CHANGE_DESTROYED, RESPONSE_ACCEPT, ipa_state_get, ipa_state_set};

use crate::{Conduit, Error, Rsi};

/// How often the host may let a request through without progress before the realm gives up. The RMM promises no
/// progress: a host that makes none would otherwise keep the realm here for ever.
const PATIENCE: u32 = 1000;

/// `RsiRipas`: what the realm may expect of a protected address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ripas {
    /// Nothing is there: the address is unused, or the realm uses its shared alias.
    Empty,
    /// Private memory.
    Ram,
    /// Private memory that the host has destroyed: its content is lost.
    Destroyed,
}

impl Ripas {
    const fn from_word(word: u64) -> Option<Self> {
        match word & 0xFF {
            0 => Some(Self::Empty),
            1 => Some(Self::Ram),
            2 => Some(Self::Destroyed),
            _ => None,
        }
    }

    const fn word(self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Ram => 1,
            Self::Destroyed => 2,
        }
    }
}

impl<C: Conduit + ?Sized> Rsi<'_, C> {
    /// The state of the memory at `base`, and up to which address, at most `top`, it is the same
    /// (`RSI_IPA_STATE_GET`). Both addresses are granule aligned and protected.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other addresses.
    pub fn ipa_state(&self, base: u64, top: u64) -> Result<(u64, Ripas), Error> {
        let registers = self.call(ipa_state_get::Input { base, top }.encode())?;
        let output = ipa_state_get::Output::decode(&registers);
        let ripas = Ripas::from_word(output.ripas).ok_or(Error::Malformed)?;
        if base < output.out_top && output.out_top <= top {
            Ok((output.out_top, ripas))
        } else {
            Err(Error::Malformed)
        }
    }

    /// Changes the state of [`base`, `top`), granule aligned and protected, to [`Ripas::Empty`] or [`Ripas::Ram`]
    /// (`RSI_IPA_STATE_SET`), asking again as long as the host does a part of it at a time. The content of what changes
    /// is lost. With `destroyed` false, memory that the host has destroyed stays so, and the change stops there.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for other addresses or [`Ripas::Destroyed`]; [`Error::Rejected`] and [`Error::NoProgress`] if
    /// the host does not do its part, which is also how destroyed memory shows.
    pub fn set_ipa_state(
        &self,
        base: u64,
        top: u64,
        ripas: Ripas,
        destroyed: bool,
    ) -> Result<(), Error> {
        let mut reached = base;
        let mut patience = PATIENCE;
        loop {
            let input = ipa_state_set::Input {
                base: reached,
                top,
                ripas: ripas.word(),
                flags: if destroyed { CHANGE_DESTROYED } else { 0 },
            };
            let output = ipa_state_set::Output::decode(&self.call(input.encode())?);
            match output.new_base {
                next if next < reached || next > top => return Err(Error::Malformed),
                next if next == top && output.response == RESPONSE_ACCEPT => return Ok(()),
                next if output.response != RESPONSE_ACCEPT => {
                    return Err(Error::Rejected { reached: next });
                }
                next if next > reached => {
                    reached = next;
                    patience = PATIENCE;
                }
                _ => {
                    patience -= 1;
                    if patience == 0 {
                        return Err(Error::NoProgress { reached });
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use std::vec;

    const BASE: u64 = 0x4000_0000;
    const TOP: u64 = 0x4000_4000;

    #[test]
    fn a_change_is_asked_for_until_it_is_complete() {
        let script = Script::new(vec![
            vec![0, BASE, 0],
            vec![0, BASE + 0x1000, 0],
            vec![0, TOP, 0],
        ]);
        assert_eq!(
            Rsi::new(&script).set_ipa_state(BASE, TOP, Ripas::Ram, false),
            Ok(())
        );
        let calls = script.calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[0][..5], [0xC400_0197, BASE, TOP, 1, 0]);
        assert_eq!(calls[1][..5], [0xC400_0197, BASE, TOP, 1, 0]);
        assert_eq!(calls[2][..5], [0xC400_0197, BASE + 0x1000, TOP, 1, 0]);
    }

    #[test]
    fn sharing_may_replace_destroyed_memory() {
        let script = Script::new(vec![vec![0, TOP, 0]]);
        assert_eq!(
            Rsi::new(&script).set_ipa_state(BASE, TOP, Ripas::Empty, true),
            Ok(())
        );
        assert_eq!(script.calls()[0][3..5], [0, 1]);
    }

    #[test]
    fn a_rejected_change_names_where_it_stopped() {
        let script = Script::new(vec![vec![0, BASE + 0x1000, 1]]);
        let result = Rsi::new(&script).set_ipa_state(BASE, TOP, Ripas::Ram, false);
        assert_eq!(
            result,
            Err(Error::Rejected {
                reached: BASE + 0x1000
            })
        );
    }

    #[test]
    fn a_host_without_progress_is_given_up() {
        let script = Script::new(vec![vec![0, BASE, 0]; 5000]);
        let result = Rsi::new(&script).set_ipa_state(BASE, TOP, Ripas::Ram, false);
        assert_eq!(result, Err(Error::NoProgress { reached: BASE }));
        assert_eq!(script.calls().len(), PATIENCE as usize);
    }

    #[test]
    fn progress_outside_of_the_range_is_malformed() {
        for reached in [BASE - 0x1000, TOP + 0x1000] {
            let script = Script::new(vec![vec![0, reached, 0]]);
            let result = Rsi::new(&script).set_ipa_state(BASE, TOP, Ripas::Ram, false);
            assert_eq!(result, Err(Error::Malformed));
        }
    }

    #[test]
    fn a_state_is_the_low_byte_and_its_range_lies_in_the_request() {
        let script = Script::new(vec![
            vec![0, TOP, 2],
            vec![0, BASE, 1],
            vec![0, TOP, 7],
            vec![1],
        ]);
        let rsi = Rsi::new(&script);
        assert_eq!(rsi.ipa_state(BASE, TOP), Ok((TOP, Ripas::Destroyed)));
        assert_eq!(rsi.ipa_state(BASE, TOP), Err(Error::Malformed));
        assert_eq!(rsi.ipa_state(BASE, TOP), Err(Error::Malformed));
        assert_eq!(rsi.ipa_state(BASE, TOP), Err(Error::Input));
        assert_eq!(script.calls()[0][..3], [0xC400_0198, BASE, TOP]);
    }
}
