//! The commands of the realm services interface.

use cca_abi::rmi::InterfaceVersion;
use cca_abi::rsi;
use cca_abi::smccc::{self, Registers};

use crate::{Conduit, Error};

/// What one call of `RSI_ATTESTATION_TOKEN_CONTINUE` gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPart {
    /// So many bytes were written, and there are more.
    More(u64),
    /// So many bytes were written, and the token is complete.
    Last(u64),
}

/// The client: one call to the RMM for each method.
#[derive(Debug)]
pub struct Rsi<'c, C: ?Sized> {
    conduit: &'c C,
}

impl<'c, C: Conduit + ?Sized> Rsi<'c, C> {
    /// A client that calls through `conduit`.
    pub const fn new(conduit: &'c C) -> Self {
        Self { conduit }
    }

    /// Makes a call that has no other good end than `RSI_SUCCESS`.
    pub(crate) fn call(&self, mut registers: Registers) -> Result<Registers, Error> {
        self.conduit.smc(&mut registers);
        status(registers.0[0]).map(|()| registers)
    }

    /// Asks for revision 1.0 and gives the one that the RMM will behave as (`RSI_VERSION`).
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] outside of a realm, [`Error::Input`] if the RMM speaks no compatible revision.
    pub fn version(&self) -> Result<InterfaceVersion, Error> {
        let registers = self.call(
            rsi::version::Input {
                req: InterfaceVersion::V1_0.encode(),
            }
            .encode(),
        )?;
        let lower = InterfaceVersion::decode(rsi::version::Output::decode(&registers).lower);
        if lower.major == InterfaceVersion::V1_0.major {
            Ok(lower)
        } else {
            Err(Error::Malformed)
        }
    }

    /// A feature register (`RSI_FEATURES`).
    ///
    /// # Errors
    ///
    /// None that the specification names.
    pub fn features(&self, index: u64) -> Result<u64, Error> {
        let registers = self.call(rsi::features::Input { index }.encode())?;
        Ok(rsi::features::Output::decode(&registers).value)
    }

    /// A measurement (`RSI_MEASUREMENT_READ`): 64 bytes as little-endian doublewords, behind a shorter hash zero.
    /// Index 0 is the realm initial measurement, 1 to 4 are the realm extensible measurements.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for another index.
    pub fn measurement(&self, index: u64) -> Result<[u64; 8], Error> {
        let registers = self.call(rsi::measurement_read::Input { index }.encode())?;
        Ok(rsi::measurement_read::Output::decode(&registers).value)
    }

    /// Extends realm extensible measurement `index`, 1 to 4, with up to 64 bytes (`RSI_MEASUREMENT_EXTEND`).
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for another index or more bytes.
    pub fn extend_measurement(&self, index: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut value = [0; 8];
        for (word, chunk) in value.iter_mut().zip(bytes.chunks(8)) {
            for (i, &byte) in chunk.iter().enumerate() {
                *word |= u64::from(byte) << (8 * i);
            }
        }
        let input = rsi::measurement_extend::Input {
            index,
            size: bytes.len() as u64,
            value,
        };
        self.call(input.encode()).map(drop)
    }

    /// Fills the granule at `ipa`, protected memory of this realm, with the realm's configuration
    /// (`RSI_REALM_CONFIG`). [`RealmConfig::read`](crate::RealmConfig::read) interprets it.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for another address.
    pub fn realm_config(&self, ipa: u64) -> Result<(), Error> {
        self.call(rsi::realm_config::Input { addr: ipa }.encode())
            .map(drop)
    }

    /// Makes a host call (`RSI_HOST_CALL`) with the structure at `ipa`: 256 bytes of protected memory, 256-byte
    /// aligned, an immediate of 16 bits at offset 0 and X0-X30 from offset 8 on, where the host's answer comes back.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for another address.
    pub fn host_call(&self, ipa: u64) -> Result<(), Error> {
        self.call(rsi::host_call::Input { addr: ipa }.encode())
            .map(drop)
    }

    /// Starts a token over a challenge of 64 bytes; gives an upper bound of its size in bytes
    /// (`RSI_ATTESTATION_TOKEN_INIT`). A token that this vCPU had started before is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`] if the RMM cannot make tokens.
    pub fn start_token(&self, challenge: [u64; 8]) -> Result<u64, Error> {
        let registers = self.call(rsi::attestation_token_init::Input { challenge }.encode())?;
        Ok(rsi::attestation_token_init::Output::decode(&registers).max_size)
    }

    /// Writes the next part of the token to at most `size` bytes at `offset` of the granule at `ipa`
    /// (`RSI_ATTESTATION_TOKEN_CONTINUE`). To be called on the vCPU that started it.
    ///
    /// # Errors
    ///
    /// [`Error::Input`] for bytes that are not in one granule of protected memory, [`Error::State`] if this vCPU has
    /// started no token.
    pub fn continue_token(&self, ipa: u64, offset: u64, size: u64) -> Result<TokenPart, Error> {
        let input = rsi::attestation_token_continue::Input {
            addr: ipa,
            offset,
            size,
        };
        let mut registers = input.encode();
        self.conduit.smc(&mut registers);
        let written = rsi::attestation_token_continue::Output::decode(&registers).len;
        let part = match registers.0[0] {
            rsi::INCOMPLETE => TokenPart::More(written),
            other => status(other).map(|()| TokenPart::Last(written))?,
        };
        if written <= size {
            Ok(part)
        } else {
            Err(Error::Malformed)
        }
    }
}

/// `RsiCommandReturnCode` of a command that either succeeds or fails.
fn status(x0: u64) -> Result<(), Error> {
    match x0 {
        rsi::SUCCESS => Ok(()),
        rsi::ERROR_INPUT => Err(Error::Input),
        rsi::ERROR_STATE => Err(Error::State),
        rsi::ERROR_UNKNOWN => Err(Error::Unknown),
        smccc::NOT_SUPPORTED => Err(Error::NotSupported),
        _ => Err(Error::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;
    use std::vec;

    #[test]
    fn revision_1_0_is_asked_for() {
        let script = Script::new(vec![vec![0, 0x10000, 0x10001]]);
        assert_eq!(Rsi::new(&script).version(), Ok(InterfaceVersion::V1_0));
        assert_eq!(script.calls()[0][..2], [0xC400_0190, 0x10000]);
    }

    #[test]
    fn every_status_is_told_apart() {
        let statuses = [
            (1, Error::Input),
            (2, Error::State),
            (3, Error::Malformed),
            (4, Error::Unknown),
            (5, Error::Malformed),
            (u64::MAX, Error::NotSupported),
        ];
        for (x0, error) in statuses {
            let script = Script::new(vec![vec![x0]]);
            assert_eq!(
                Rsi::new(&script).host_call(0x4000_0100),
                Err(error),
                "status {x0}"
            );
        }
    }

    #[test]
    fn a_measurement_is_eight_registers() {
        let script = Script::new(vec![vec![0, 1, 2, 3, 4, 5, 6, 7, 8]]);
        assert_eq!(
            Rsi::new(&script).measurement(0),
            Ok([1, 2, 3, 4, 5, 6, 7, 8])
        );
        assert_eq!(script.calls()[0][..2], [0xC400_0192, 0]);
    }

    #[test]
    fn bytes_to_extend_with_are_little_endian_and_padded() {
        let script = Script::new(vec![vec![0]]);
        let bytes: std::vec::Vec<u8> = (1..=10).collect();
        assert_eq!(Rsi::new(&script).extend_measurement(2, &bytes), Ok(()));
        assert_eq!(
            script.calls()[0][..6],
            [0xC400_0193, 2, 10, 0x0807_0605_0403_0201, 0x0A09, 0]
        );
    }

    #[test]
    fn too_many_bytes_are_left_to_the_rmm_to_refuse() {
        let script = Script::new(vec![vec![1]]);
        assert_eq!(
            Rsi::new(&script).extend_measurement(1, &[0; 65]),
            Err(Error::Input)
        );
        assert_eq!(script.calls()[0][2], 65);
    }

    #[test]
    fn a_token_comes_in_parts() {
        let script = Script::new(vec![
            vec![3, 0],
            vec![3, 100],
            vec![0, 20],
            vec![2],
            vec![0, 4097],
        ]);
        let rsi = Rsi::new(&script);
        let part = || rsi.continue_token(0x4000_1000, 0, 4096);
        assert_eq!(part(), Ok(TokenPart::More(0)));
        assert_eq!(part(), Ok(TokenPart::More(100)));
        assert_eq!(part(), Ok(TokenPart::Last(20)));
        assert_eq!(part(), Err(Error::State));
        assert_eq!(part(), Err(Error::Malformed));
    }
}
