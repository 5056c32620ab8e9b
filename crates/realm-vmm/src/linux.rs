//! Linux in a realm: where its kernel, device tree and initial RAM disk go, by the arm64 boot protocol (the kernel's
//! Documentation/arch/arm64/booting.rst).

use alloc::vec::Vec;
use core::fmt;

use cca_abi::GRANULE_SIZE;

use crate::config::{Config, Segment};
use crate::device_tree::Description;

/// The kernel's base, and where the device tree goes, are multiples of this. The kernel maps as much from the device tree on.
const BLOCK: u64 = 2 << 20;
/// Memory that has to be left for the kernel to start with, besides what is loaded, in bytes.
const REST: u64 = 16 << 20;

/// Fields of the header of an `Image`.
const TEXT_OFFSET: usize = 8;
const IMAGE_SIZE: usize = 16;
const FLAGS: usize = 24;
const MAGIC: usize = 56;
const HEADER: usize = 64;
/// Flags: the kernel is big-endian.
const BIG_ENDIAN: u64 = 1;

/// What is to be booted.
#[derive(Clone, Copy, Debug)]
pub struct Linux<'a> {
    /// The kernel: an `Image`.
    pub kernel: &'a [u8],
    /// The initial RAM disk, if there is one.
    pub initrd: Option<&'a [u8]>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// How many vCPUs.
    pub vcpus: usize,
    /// Bytes of RAM.
    pub memory: u64,
    /// How many virtio devices, in the first slots.
    pub virtio: usize,
    /// Entropy for the kernel; it is measured, and no secret.
    pub seed: Option<&'a [u8]>,
}

/// Everything in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<'a> {
    kernel: Segment<'a>,
    device_tree_at: u64,
    device_tree: Vec<u8>,
    initrd: Option<Segment<'a>>,
}

/// Why something cannot be booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It is not what the boot protocol wants, but this.
    Kind(&'static str),
    /// It is not what the boot protocol wants, and nobody knows what it is.
    Unknown,
    /// It says of itself that it is larger than any memory.
    Size,
    /// So many bytes of memory are needed at least, of which there are fewer.
    Memory {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// The device tree would be larger than the kernel takes: the command line is too long.
    DeviceTree,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(what) => write!(f, "the kernel is {what}"),
            Self::Unknown => {
                f.write_str("the kernel is no arm64 `Image`: its header has not the magic number")
            }
            Self::Size => f.write_str("the kernel's header is damaged: its size is impossible"),
            Self::Memory { needed, available } => write!(
                f,
                "the realm has {} MiB of memory; kernel and initial RAM disk need {} MiB at least",
                available >> 20,
                needed.div_ceil(1 << 20)
            ),
            Self::DeviceTree => f.write_str("the kernel's command line is too long"),
        }
    }
}

impl core::error::Error for Unusable {}

/// What an `Image` says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Where the kernel has to be, counted from a boundary of 2 MiB, in bytes.
    pub offset: u64,
    /// The memory that it takes from there on before it can tell what is free, in bytes. Before Linux 3.17, 0.
    pub size: u64,
}

impl Header {
    /// Bytes at the start of a file that are enough to tell what it is.
    pub const START: usize = 0x400;

    /// Reads the header of an `Image` from the start of its file, [`Header::START`] bytes or more if it has as many.
    ///
    /// # Errors
    ///
    /// [`Unusable::Kind`], [`Unusable::Unknown`], [`Unusable::Size`].
    pub fn read(start: &[u8]) -> Result<Self, Unusable> {
        let field = |at: usize| {
            let bytes = start.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        if start.len() < HEADER || start[MAGIC..][..4] != *b"ARM\x64" {
            return Err(other(start));
        }
        let (Some(offset), Some(size), Some(flags)) =
            (field(TEXT_OFFSET), field(IMAGE_SIZE), field(FLAGS))
        else {
            return Err(Unusable::Size);
        };
        if flags & BIG_ENDIAN != 0 {
            return Err(Unusable::Kind(
                "big-endian; only little-endian ones are booted",
            ));
        }
        // Before Linux 3.17 the header had no size, and the offset was always this one.
        let offset = if size == 0 { 0x8_0000 } else { offset };
        if offset >= BLOCK || !offset.is_multiple_of(GRANULE_SIZE) {
            return Err(Unusable::Size);
        }
        Ok(Self { offset, size })
    }

    /// The memory that the kernel takes whose file has `length` bytes.
    ///
    /// # Errors
    ///
    /// [`Unusable::Size`].
    pub fn footprint(&self, length: u64) -> Result<u64, Unusable> {
        let size = self.size.max(length);
        if size > 1 << 32 {
            return Err(Unusable::Size);
        }
        Ok(size)
    }
}

/// What a file is that is no `Image`.
fn other(file: &[u8]) -> Unusable {
    let starts = |magic: &[u8]| file.starts_with(magic);
    let kind = if file.get(4..8) == Some(b"zimg") {
        "an EFI image with a compressed kernel inside; unpack that, or build the target `Image`"
    } else if starts(&[0x1F, 0x8B]) {
        "compressed with gzip; unpack it first (gunzip)"
    } else if starts(&[0xFD, b'7', b'z', b'X', b'Z']) {
        "compressed with xz; unpack it first (unxz)"
    } else if starts(&[0x28, 0xB5, 0x2F, 0xFD]) {
        "compressed with zstd; unpack it first (unzstd)"
    } else if starts(b"\x7FELF") {
        "an ELF file; take arch/arm64/boot/Image of the same build"
    } else if file.get(0x202..0x206) == Some(b"HdrS") {
        "one for x86; name one for arm64"
    } else if file.is_empty() {
        "empty"
    } else {
        return Unusable::Unknown;
    };
    Unusable::Kind(kind)
}

impl<'a> Linux<'a> {
    /// Puts everything in its place: the kernel at the base of RAM, behind it the device tree, then the initial RAM disk.
    ///
    /// # Errors
    ///
    /// What is wrong with the kernel, or how much memory is missing.
    pub fn place(&self) -> Result<Placed<'a>, Unusable> {
        let header = Header::read(self.kernel)?;
        let size = header.footprint(self.kernel.len() as u64)?;
        let kernel = Segment {
            ipa: Config::RAM_BASE + header.offset,
            bytes: self.kernel,
        };
        let device_tree_at = (kernel.ipa + size).next_multiple_of(BLOCK);
        let initrd = self.initrd.filter(|bytes| !bytes.is_empty());
        let initrd = initrd.map(|bytes| Segment {
            ipa: device_tree_at + BLOCK,
            bytes,
        });
        let end = initrd.map_or(device_tree_at + BLOCK, |initrd| {
            initrd.ipa + initrd.bytes.len() as u64
        });
        let needed = end - Config::RAM_BASE + REST;
        if needed > self.memory {
            return Err(Unusable::Memory {
                needed,
                available: self.memory,
            });
        }
        let device_tree = Description {
            vcpus: self.vcpus,
            memory: self.memory,
            virtio: self.virtio,
            pmu: false,
            command_line: self.command_line,
            initrd: initrd.map(|initrd| (initrd.ipa, initrd.bytes.len() as u64)),
            seed: self.seed,
        }
        .build();
        if device_tree.len() as u64 > BLOCK {
            return Err(Unusable::DeviceTree);
        }
        Ok(Placed {
            kernel,
            device_tree_at,
            device_tree,
            initrd,
        })
    }
}

impl Placed<'_> {
    /// What is in memory at the start, by ascending address.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment<'_>> {
        let device_tree = Segment {
            ipa: self.device_tree_at,
            bytes: &self.device_tree,
        };
        let mut segments = Vec::from([self.kernel, device_tree]);
        segments.extend(self.initrd);
        segments
    }

    /// Where vCPU 0 starts.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.kernel.ipa
    }

    /// X0 to X7 of vCPU 0: the address of the device tree.
    #[must_use]
    pub const fn arguments(&self) -> [u64; 8] {
        [self.device_tree_at, 0, 0, 0, 0, 0, 0, 0]
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// An `Image` of 64 KiB with these fields.
    fn image(offset: u64, size: u64, flags: u64) -> Vec<u8> {
        let mut image = std::vec![0; 0x1_0000];
        image[TEXT_OFFSET..][..8].copy_from_slice(&offset.to_le_bytes());
        image[IMAGE_SIZE..][..8].copy_from_slice(&size.to_le_bytes());
        image[FLAGS..][..8].copy_from_slice(&flags.to_le_bytes());
        image[MAGIC..][..4].copy_from_slice(b"ARM\x64");
        image
    }

    fn linux<'a>(kernel: &'a [u8], initrd: Option<&'a [u8]>) -> Linux<'a> {
        Linux {
            kernel,
            initrd,
            command_line: "",
            vcpus: 4,
            memory: 64 * MIB,
            virtio: 0,
            seed: None,
        }
    }

    #[test]
    fn everything_has_its_place_and_nothing_overlaps() {
        let initrd = [7; 5000];
        for (offset, size, entry, device_tree) in [
            (0, 0x12_3456, 0x4000_0000, 0x4020_0000),
            (0, 2 * MIB, 0x4000_0000, 0x4020_0000),
            (0x8_0000, 2 * MIB, 0x4008_0000, 0x4040_0000),
            (0, 0, 0x4008_0000, 0x4020_0000),
            (0, 1, 0x4000_0000, 0x4020_0000),
        ] {
            let kernel = image(offset, size, 0b1010);
            let placed = linux(&kernel, Some(&initrd)).place().unwrap();
            assert_eq!(placed.entry(), entry);
            assert_eq!(placed.arguments()[0], device_tree);
            let segments = placed.segments();
            let at: Vec<u64> = segments.iter().map(|segment| segment.ipa).collect();
            assert_eq!(at, [entry, device_tree, device_tree + BLOCK]);
            assert_eq!(segments[0].bytes, kernel);
            assert_eq!(segments[2].bytes, initrd);
            let none = linux(&kernel, Some(&[])).place().unwrap();
            assert_eq!(none.segments().len(), 2);
        }
    }

    #[test]
    fn what_cannot_be_booted_is_named() {
        let bytes = |start: &[u8]| {
            let mut bytes = start.to_vec();
            bytes.resize(0x1000, 0);
            bytes
        };
        let mut bzimage = bytes(b"MZ");
        bzimage[0x202..][..4].copy_from_slice(b"HdrS");
        for (kernel, words) in [
            (std::vec![], "empty"),
            (bytes(&[0x1F, 0x8B, 8]), "gunzip"),
            (bytes(b"MZ\0\0zimg"), "EFI"),
            (bytes(b"\x7FELF"), "ELF"),
            (bytes(b"\xFD7zXZ\0"), "unxz"),
            (bytes(&[0x28, 0xB5, 0x2F, 0xFD]), "unzstd"),
            (bzimage, "x86"),
            (bytes(b"MZ"), "magic"),
            (std::vec![0; 63], "magic"),
            (image(0, MIB, 1), "big-endian"),
            (image(BLOCK, MIB, 0), "damaged"),
            (image(1, MIB, 0), "damaged"),
            (image(0, u64::MAX, 0), "damaged"),
            (image(0, 60 * MIB, 0), "need 78 MiB"),
        ] {
            let error = linux(&kernel, None).place().unwrap_err().to_string();
            assert!(error.contains(words), "{words:?} in {error:?}");
        }
        let kernel = image(0, MIB, 0);
        let long = "x".repeat(3 << 20);
        let too_long = Linux {
            command_line: &long,
            ..linux(&kernel, None)
        };
        assert_eq!(too_long.place(), Err(Unusable::DeviceTree));
    }
}
