//! The step in which the realm shows what it is.

use cca_abi::host_calls;

use super::steps::{Vcpu, rsi};
use super::{Failure, GuestPe};
use crate::{Error, GRANULE_SIZE, HostCall, Ripas, TokenPart};

impl<P: GuestPe> Vcpu<'_, P> {
    /// Has the RMM make a token over a challenge of the host's, and hands it to the host through the shared page.
    ///
    /// An RMM that cannot attest is no failure of the realm: the host finds out by not getting a token.
    pub(super) fn attest(&self) -> Result<(), Failure> {
        let call = HostCall {
            imm: host_calls::CHALLENGE,
            ..HostCall::default()
        };
        let gprs = self.host_call(call)?.gprs;
        let challenge = core::array::from_fn(|n| gprs[n]);
        let most = match self.rsi().start_token(challenge) {
            Ok(most) => most,
            Err(Error::Unknown | Error::NotSupported) => {
                self.say(format_args!("the RMM makes no attestation tokens"));
                return Ok(());
            }
            Err(error) => return Err(rsi("RSI_ATTESTATION_TOKEN_INIT")(error)),
        };
        let page = self.board.shared();
        self.set_state(page, Ripas::Empty)?;
        let mut size = 0;
        loop {
            let (length, is_last) = self.fill_page()?;
            size += length;
            if size > most {
                return Err(Failure::Token { found: size, most });
            }
            self.hand_over(self.width.shared(page), length)?;
            if is_last {
                break;
            }
        }
        self.set_state(page, Ripas::Ram)?;
        self.say(format_args!(
            "the host has an attestation token of {size} bytes"
        ));
        Ok(())
    }

    /// Fills a page with the next bytes of the token: how many there are, and whether they are the last.
    fn fill_page(&self) -> Result<(u64, bool), Failure> {
        let mut length = 0;
        while length < GRANULE_SIZE {
            let part = self
                .rsi()
                .continue_token(self.board.token(), length, GRANULE_SIZE - length);
            match part.map_err(rsi("RSI_ATTESTATION_TOKEN_CONTINUE"))? {
                TokenPart::More(written) => length += written,
                TokenPart::Last(written) => return Ok((length + written, true)),
            }
        }
        Ok((length, false))
    }

    /// Gives the bytes of that page to the host, through the page at `alias`, which it sees.
    fn hand_over(&self, alias: u64, length: u64) -> Result<(), Failure> {
        for offset in (0..length).step_by(8) {
            let word = self.pe.read(self.board.token() + offset);
            self.pe.write(alias + offset, word);
        }
        let mut call = HostCall {
            imm: host_calls::TOKEN,
            ..HostCall::default()
        };
        (call.gprs[0], call.gprs[1]) = (alias, length);
        match self.host_call(call)?.gprs[0] {
            0 => Ok(()),
            _ => Err(Failure::TokenRefused),
        }
    }
}
