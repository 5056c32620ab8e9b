//! Where the things of the demonstration realm lie.

use cca_abi::rsi::host_call_offset;

use super::{Failure, GuestPe};
use crate::{GRANULE_SIZE, IpaWidth};

/// Bytes at the start of the realm's memory that belong to the program itself: image, zeroed data and stacks. What the
/// program keeps in memory by address lies behind them.
pub const PROGRAM_SIZE: u64 = 2 << 20;

/// The least memory that the demonstration realm can work with, in bytes.
pub const MINIMUM_MEMORY: u64 = 2 * PROGRAM_SIZE;

/// Where the host put the realm's memory and its devices: what vCPU 0 gets in X0-X4 and hands to the other vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// First address of the realm's memory, granule aligned.
    pub memory_base: u64,
    /// Bytes of memory, a multiple of the granule size.
    pub memory_size: u64,
    /// The PL011 in the protected half, as the host names it; the program uses its shared alias.
    pub uart: u64,
    /// The GICv3's distributor, likewise.
    pub distributor: u64,
    /// The redistributor of vCPU 0, likewise; that of vCPU 1 follows, and so on.
    pub redistributors: u64,
}

/// Offsets, from the end of the program, of the pages that the program uses by address.
const CONFIG: u64 = 0;
const PARAMETERS: u64 = GRANULE_SIZE;
const SHARED: u64 = 2 * GRANULE_SIZE;
const HOST_CALLS: u64 = 3 * GRANULE_SIZE;

impl Board {
    /// Refuses a board that the program cannot work on.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let aligned = self.memory_base.is_multiple_of(GRANULE_SIZE)
            && self.memory_size.is_multiple_of(GRANULE_SIZE);
        if aligned
            && self.memory_size >= MINIMUM_MEMORY
            && self.memory_base.checked_add(self.memory_size).is_some()
        {
            Ok(())
        } else {
            Err(Failure::Memory {
                base: self.memory_base,
                size: self.memory_size,
            })
        }
    }

    /// The granule that `RSI_REALM_CONFIG` fills: of use on any board, so that a bad one can be told.
    pub(super) fn config(&self) -> u64 {
        match self.check() {
            Ok(()) => self.memory_base + PROGRAM_SIZE + CONFIG,
            Err(_) => {
                self.memory_base
                    .wrapping_add(self.memory_size)
                    .wrapping_sub(1)
                    & !(GRANULE_SIZE - 1)
            }
        }
    }

    /// The granule into which the RMM writes attestation tokens: the configuration has been read by then.
    pub(super) fn token(&self) -> u64 {
        self.memory_base + PROGRAM_SIZE + CONFIG
    }

    /// The granule in which vCPU 0 leaves this board for the others: the context argument of `CPU_ON`.
    pub(super) fn parameters(&self) -> u64 {
        self.memory_base + PROGRAM_SIZE + PARAMETERS
    }

    /// The granule that is shared with the host for a while.
    pub(super) fn shared(&self) -> u64 {
        self.memory_base + PROGRAM_SIZE + SHARED
    }

    /// The host call structure of the vCPU with this index, on a board that passes [`check`](Self::check).
    pub(super) fn host_call(&self, vcpu: u64) -> u64 {
        self.memory_base + PROGRAM_SIZE + HOST_CALLS + vcpu * host_call_offset::SIZE as u64
    }

    /// The last granule of memory: nobody has populated it.
    pub(super) fn last(&self) -> u64 {
        self.memory_base + self.memory_size - GRANULE_SIZE
    }

    /// Leaves the board, and how wide addresses are, for the other vCPUs.
    pub(super) fn publish<P: GuestPe>(&self, pe: &P, width: IpaWidth) {
        let words = [
            self.memory_base,
            self.memory_size,
            self.uart,
            self.distributor,
            self.redistributors,
            width.bits(),
        ];
        for (address, word) in (self.parameters()..).step_by(8).zip(words) {
            pe.write(address, word);
        }
    }

    /// Reads what [`publish`](Self::publish) left at `parameters`.
    pub(super) fn recall<P: GuestPe>(pe: &P, parameters: u64) -> Result<(Self, IpaWidth), Failure> {
        let word = |index: u64| pe.read(parameters + 8 * index);
        let board = Self {
            memory_base: word(0),
            memory_size: word(1),
            uart: word(2),
            distributor: word(3),
            redistributors: word(4),
        };
        board.check()?;
        Ok((board, IpaWidth::new(word(5)).ok_or(Failure::Configuration)?))
    }
}
