//! What an arm64 Linux `Image` says of itself: the header of the kernel's `Documentation/arch/arm64/booting.rst`.

use std::fmt;

/// Length of the header.
const LENGTH: usize = 64;
const MAGIC_AT: usize = 56;
const MAGIC: &[u8] = b"ARM\x64";

/// The header of an `Image`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where the image must be loaded, counted from a boundary of 2 MiB.
    pub(crate) text_offset: u64,
    /// The memory that the kernel needs from its start before it can tell what is free: more than the file has.
    pub(crate) image_size: u64,
}

/// Why something is no `Image`. Reads as the end of a sentence that begins with what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotImage {
    /// It has another format.
    Other,
    /// It is a kernel as it comes out of the linker.
    Elf,
    /// It is compressed.
    Gzip,
    /// It is a compressed image that EFI starts.
    Zboot,
    /// It is from before Linux 3.17, which did not say its size.
    Old,
}

impl fmt::Display for NotImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Other => "is no arm64 Linux Image",
            Self::Elf => "is an ELF file; name arch/arm64/boot/Image instead",
            Self::Gzip => "is compressed; unpack it with gunzip first",
            Self::Zboot => "is a compressed EFI image; name arch/arm64/boot/Image instead",
            Self::Old => "is from before Linux 3.17; name a newer one",
        })
    }
}

impl Header {
    /// Reads the header of `image`.
    ///
    /// # Errors
    ///
    /// When it is something else, and what.
    pub(crate) fn read(image: &[u8]) -> Result<Self, NotImage> {
        if image.starts_with(b"\x7fELF") {
            return Err(NotImage::Elf);
        }
        if image.starts_with(b"\x1f\x8b") {
            return Err(NotImage::Gzip);
        }
        if image.starts_with(b"MZ") && image.get(4..8) == Some(b"zimg") {
            return Err(NotImage::Zboot);
        }
        if image.len() < LENGTH || !image[MAGIC_AT..].starts_with(MAGIC) {
            return Err(NotImage::Other);
        }
        let word = |at: usize| {
            image[at..at + 8]
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        };
        let header = Self {
            text_offset: word(8),
            image_size: word(16),
        };
        if header.image_size == 0 {
            return Err(NotImage::Old);
        }
        Ok(header)
    }

    /// The memory that the kernel takes, whose file has `length` bytes.
    pub(crate) fn footprint(&self, length: u64) -> u64 {
        self.image_size.max(length)
    }
}

/// An image that says nothing but its size, for tests.
#[cfg(test)]
pub(crate) fn image(image_size: u64, length: usize) -> Vec<u8> {
    let mut image = vec![0; length];
    image[16..24].copy_from_slice(&image_size.to_le_bytes());
    image[MAGIC_AT..LENGTH - 4].copy_from_slice(MAGIC);
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let mut image = image(0x28d_0000, 100);
        image[8..16].copy_from_slice(&0x8_0000u64.to_le_bytes());
        let header = Header::read(&image).unwrap();
        assert_eq!(
            (header.text_offset, header.image_size),
            (0x8_0000, 0x28d_0000)
        );
        assert_eq!(
            (header.footprint(100), header.footprint(1 << 30)),
            (0x28d_0000, 1 << 30)
        );
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        let whole = image(1, 64);
        let mut old = whole.clone();
        old[16] = 0;
        for (bytes, what) in [
            (&whole[..63], NotImage::Other),
            (b"", NotImage::Other),
            (&[0; 100], NotImage::Other),
            (b"\x7fELF\x02\x01", NotImage::Elf),
            (b"\x1f\x8b\x08", NotImage::Gzip),
            (b"MZ\0\0zimg\0\0", NotImage::Zboot),
            (&old, NotImage::Old),
        ] {
            assert_eq!(Header::read(bytes), Err(what));
        }
    }
}
