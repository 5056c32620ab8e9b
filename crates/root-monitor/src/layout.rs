//! Which memory belongs to whom when the machine starts.

use crate::gpt::{BuildError, Gpt};
use crate::memory::{Range, Ranges};
use aarch64_formats::gpt::Gpi;

/// Most ranges that are told apart.
pub const MAX_RANGES: usize = 16;

/// What the normal world may delegate.
#[derive(Clone, Copy, Debug)]
pub struct Delegable {
    /// The ranges, sorted.
    pub banks: Ranges<MAX_RANGES>,
    /// Bytes of DRAM for which there is no room in the protection table. They stay open to every world.
    pub uncovered: u64,
}

/// Gives all DRAM to the normal world, except `rmm`, which goes to the Realm world, and `root` to the Root world.
/// Returns what can be delegated: of the normal world's memory not `kept`, which somebody reaches whom no protection stops.
///
/// Devices and everything else keep the protection they have. The caller invalidates what is cached of the table.
///
/// # Errors
///
/// [`BuildError`] if the memory of the RMM or of the root monitor cannot be protected.
pub fn protect(
    gpt: &Gpt<'_>,
    memory: &Ranges<MAX_RANGES>,
    rmm: Range,
    root: &[Range],
    kept: &[Range],
) -> Result<Delegable, BuildError> {
    for &range in root {
        gpt.protect(range, Gpi::Root)?;
    }
    let mut banks = Ranges::default();
    let mut uncovered = 0;
    for &range in memory.as_slice() {
        let covered = gpt.coverable(range);
        uncovered += range.size - covered.size;
        gpt.protect(covered, Gpi::NonSecure)?;
        banks.add(covered).map_err(|_| BuildError::Range)?;
    }
    gpt.protect(rmm, Gpi::Realm)?;
    for &range in [rmm].iter().chain(kept) {
        banks.remove(range).map_err(|_| BuildError::Range)?;
    }
    Ok(Delegable { banks, uncovered })
}
