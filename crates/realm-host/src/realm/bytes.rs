//! Bytes of memory whose words somebody else changes at any time.

use core::sync::atomic::{AtomicU64, Ordering};

/// Copies the bytes from `offset` on. What lies in one word is read at once.
pub(super) fn read(words: &[AtomicU64], offset: usize, to: &mut [u8]) {
    let (first, to) = to.split_at_mut(to.len().min(offset.wrapping_neg() % 8));
    let mut words = words[offset / 8..].iter();
    let mut next = || words.next().map_or(0, |word| word.load(Ordering::Acquire));
    if !first.is_empty() {
        let from = next().to_le_bytes();
        first.copy_from_slice(&from[offset % 8..][..first.len()]);
    }
    let (whole, last) = to.as_chunks_mut();
    for part in whole {
        *part = next().to_le_bytes();
    }
    if !last.is_empty() {
        last.copy_from_slice(&next().to_le_bytes()[..last.len()]);
    }
}

/// Copies to the bytes from `offset` on, in ascending order. What lies in one word is written at once, and the other bytes of that
/// word are as whoever writes to them at the same time wants them.
pub(super) fn write(words: &[AtomicU64], offset: usize, from: &[u8]) {
    let (first, from) = from.split_at(from.len().min(offset.wrapping_neg() % 8));
    let mut words = words[offset / 8..].iter();
    if !first.is_empty()
        && let Some(word) = words.next()
    {
        merge(word, offset % 8, first);
    }
    let (whole, last) = from.as_chunks();
    for (part, word) in whole.iter().zip(&mut words) {
        word.store(u64::from_le_bytes(*part), Ordering::Release);
    }
    if !last.is_empty()
        && let Some(word) = words.next()
    {
        merge(word, 0, last);
    }
}

/// Replaces some bytes of a word.
///
/// One exclusive-or of the difference, and no loop that a realm could keep from ending by changing the word all the
/// time: bytes that are not replaced differ by nothing, and those that are have no other writer, or one who may have garbage.
fn merge(word: &AtomicU64, at: usize, from: &[u8]) {
    let old = word.load(Ordering::Relaxed);
    let mut new = old.to_le_bytes();
    new[at..at + from.len()].copy_from_slice(from);
    word.fetch_xor(old ^ u64::from_le_bytes(new), Ordering::Release);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn memory() -> (Vec<u8>, [AtomicU64; 5]) {
        let bytes: Vec<u8> = (1..=40).collect();
        let word = |n: usize| u64::from_le_bytes(*bytes[8 * n..].first_chunk().unwrap());
        let words = core::array::from_fn(|n| AtomicU64::new(word(n)));
        (bytes, words)
    }

    #[test]
    fn every_range_is_read_and_written_and_nothing_around_it() {
        for offset in 0..=40 {
            for length in 0..=40 - offset {
                let (mut bytes, words) = memory();
                let mut to = std::vec![0; length];
                read(&words, offset, &mut to);
                assert_eq!(to, bytes[offset..offset + length], "{length} at {offset}");
                let from: Vec<u8> = (0..length).map(|n| 0xFF - n as u8).collect();
                write(&words, offset, &from);
                bytes[offset..offset + length].copy_from_slice(&from);
                let mut all = [0; 40];
                read(&words, 0, &mut all);
                assert_eq!(all[..], bytes[..], "{length} at {offset}");
            }
        }
    }

    #[test]
    fn two_writers_of_one_word_do_not_undo_each_other() {
        let word = [AtomicU64::new(0)];
        std::thread::scope(|scope| {
            for half in [0, 4] {
                let word = &word;
                scope.spawn(move || {
                    for n in 0..10_000_u32 {
                        write(word, half, &n.to_le_bytes());
                        let mut back = [0; 4];
                        read(word, half, &mut back);
                        assert_eq!(u32::from_le_bytes(back), n);
                    }
                });
            }
        });
    }
}
