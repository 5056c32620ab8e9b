//! Bytes that are made up of parts, read without joining them.

/// Size of all parts in bytes.
pub(crate) fn size(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// Copies what begins at `offset` of the joined parts into `into`, and returns how many bytes there were to copy:
/// the size of `into`, or fewer at the end.
pub(crate) fn read(pieces: &[&[u8]], offset: usize, into: &mut [u8]) -> usize {
    let mut skip = offset;
    let mut copied = 0;
    for piece in pieces {
        if skip >= piece.len() {
            skip -= piece.len();
            continue;
        }
        let from = &piece[skip..];
        skip = 0;
        let rest = &mut into[copied..];
        let len = from.len().min(rest.len());
        rest[..len].copy_from_slice(&from[..len]);
        copied += len;
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_reads_the_joined_bytes() {
        let pieces: [&[u8]; 4] = [b"ab", b"", b"cdef", b"g"];
        let joined = b"abcdefg";
        assert_eq!(size(&pieces), joined.len());
        for offset in 0..=joined.len() + 1 {
            for len in 0..=joined.len() + 1 {
                let mut into = [0; 16];
                let copied = read(&pieces, offset, &mut into[..len]);
                let expected = &joined[offset.min(joined.len())..(offset + len).min(joined.len())];
                assert_eq!(&into[..copied], expected, "{offset} {len}");
            }
        }
    }
}
