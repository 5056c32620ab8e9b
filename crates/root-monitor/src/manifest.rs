//! What the RMM is told at boot: the manifest in the shared page.

use crate::memory::{Range, Ranges};
use cca_abi::el3::manifest::{self, Console, ManifestError, MemoryBank};

/// The most banks that are announced: what the RMMs known to boot on this interface accept on such a machine.
pub const MAX_BANKS: usize = 2;

/// A PL011 console as manifests describe it.
#[must_use]
pub fn pl011(base: u64, baud_rate: u64) -> Console {
    Console {
        base,
        map_pages: 1,
        name: *b"pl011\0\0\0",
        clk_in_hz: 1,
        baud_rate,
        flags: 0,
    }
}

/// Leaves the largest [`MAX_BANKS`] of the delegable ranges, and says how many bytes were left out.
pub fn limit_banks<const N: usize>(delegable: &mut Ranges<N>) -> u64 {
    delegable.keep_largest(MAX_BANKS)
}

/// Writes the manifest for an RMM into the shared page with the PA `page`.
///
/// `delegable` are the ranges of memory that may be delegated, sorted.
///
/// # Errors
///
/// [`ManifestError::Data`] if there are more ranges or consoles than fit.
pub fn write(
    words: &mut [u64; 512],
    page: u64,
    delegable: &[Range],
    consoles: &[Console],
) -> Result<(), ManifestError> {
    let mut banks = [MemoryBank::default(); manifest::MAX_BANKS];
    let banks = banks
        .get_mut(..delegable.len())
        .ok_or(ManifestError::Data)?;
    for (bank, range) in banks.iter_mut().zip(delegable) {
        *bank = MemoryBank {
            base: range.base,
            size: range.size,
        };
    }
    manifest::write(words, page, banks, consoles)
}
