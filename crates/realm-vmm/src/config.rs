//! What a realm is made of.

use crate::board;

/// Bytes that are in a realm's memory, and in its measurement, from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where they are in the realm's address space: a multiple of 4K.
    pub ipa: u64,
    /// The bytes. They are padded with zeros to a multiple of 4K and measured.
    pub bytes: &'a [u8],
}

/// A realm to run.
///
/// The realm has RAM at IPA 0x4000_0000 and devices below, which it reaches through the unprotected
/// alias. Its IPA space is 40 bits wide.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// How many vCPUs, each with a REC. At least 1. Only the first is runnable from the start.
    pub vcpus: usize,
    /// Bytes of RAM: a multiple of 4K.
    pub memory: u64,
    /// The SVE vector length in bits, a multiple of 128 up to 2048; 0 for a realm without SVE.
    pub sve_bits: u32,
    /// What is in RAM at the start, by ascending address, without overlap. Not empty.
    pub segments: &'a [Segment<'a>],
    /// Where vCPU 0 starts.
    pub entry: u64,
    /// X0 to X7 of vCPU 0.
    pub arguments: [u64; 8],
    /// Whether what vCPUs print on the PL011 becomes lines, one vCPU's apart from another's, for guests whose vCPUs print at once
    /// without a lock. Otherwise it is a stream of bytes.
    pub lines: bool,
    /// Whether the realm may be built although the memory that it can need is not there or promised to others. It waits when it is short
    /// of it.
    pub overcommit: bool,
    /// After how many milliseconds the run is given up, 0 for never.
    pub time_limit_ms: u64,
    /// How long a vCPU runs before another one gets the PE, in microseconds.
    pub slice_us: u64,
    /// What the realm is given when it asks for a challenge, as RSI_ATTESTATION_TOKEN_INIT takes it. Whoever wants to believe the token
    /// draws it, and the host passes it on.
    pub challenge: [u64; 8],
}

impl<'a> Config<'a> {
    /// One vCPU that starts at the base of `memory` bytes of RAM and is told, in X0 to X4, where RAM is, how large it is,
    /// and where the PL011, the distributor and the first redistributor are: what raw images expect, the demo guest among
    /// them.
    #[must_use]
    pub const fn raw(memory: u64, segments: &'a [Segment<'a>]) -> Self {
        Self {
            vcpus: 1,
            memory,
            sve_bits: 0,
            segments,
            entry: Self::RAM_BASE,
            arguments: [
                Self::RAM_BASE,
                memory,
                board::UART,
                board::DISTRIBUTOR,
                board::REDISTRIBUTORS,
                0,
                0,
                0,
            ],
            lines: true,
            overcommit: false,
            time_limit_ms: 0,
            slice_us: Self::DEFAULT_SLICE_US,
            challenge: [0; 8],
        }
    }
}

impl Config<'_> {
    /// Where RAM starts in the realm's address space.
    pub const RAM_BASE: u64 = 0x4000_0000;
    /// The width of the realm's address space in bits.
    pub const IPA_BITS: u32 = 40;
    /// The usual slice: 10 ms.
    pub const DEFAULT_SLICE_US: u64 = 10_000;
}
