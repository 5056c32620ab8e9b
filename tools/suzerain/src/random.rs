//! Random numbers of the operating system.

use crate::failure::Failure;

/// Bytes in a challenge.
pub(crate) const CHALLENGE: usize = 64;

/// Bytes that nobody can guess.
///
/// # Errors
///
/// When the system gives none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::machine(format!("the system has no random numbers: {error}")))?;
    Ok(bytes)
}

/// Bytes as the words that registers and bundles carry.
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let (words, _) = bytes.as_chunks();
    std::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let challenge: [u8; CHALLENGE] = bytes().unwrap();
        assert_ne!(challenge, bytes().unwrap());
        let words: [u64; 8] = words(&challenge);
        assert_eq!(words[7].to_le_bytes(), challenge[56..]);
    }
}
