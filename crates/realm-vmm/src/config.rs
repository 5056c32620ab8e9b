//! What a realm is made of.

/// A realm to run: the demo realm's shape, with the parts that differ from run to run.
///
/// The realm has RAM at IPA 0x4000_0000 with the image at its base, which is also the entry point of vCPU 0, and a
/// PL011 at IPA 0x0900_0000 that it reaches through the unprotected alias. Its IPA space is 40 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// How many vCPUs, each with a REC. At least 1. Only the first is runnable from the start.
    pub vcpus: usize,
    /// Bytes of RAM: a multiple of 4K.
    pub memory: u64,
    /// The image. It is padded with zeros to a multiple of 4K and measured.
    pub image: &'a [u8],
    /// After how many milliseconds the run is given up, 0 for never.
    pub time_limit_ms: u64,
    /// How long a vCPU runs before another one gets the PE, in microseconds.
    pub slice_us: u64,
}

impl Config<'_> {
    /// Where RAM starts in the realm's address space.
    pub const RAM_BASE: u64 = 0x4000_0000;
    /// Where the PL011 is in the realm's address space, without the bit of the unprotected alias.
    pub const UART_BASE: u64 = 0x0900_0000;
    /// The width of the realm's address space in bits.
    pub const IPA_BITS: u32 = 40;
    /// The usual slice: 10 ms.
    pub const DEFAULT_SLICE_US: u64 = 10_000;
}
