//! What devices and the machine around them know of each other.
//!
//! Every access of a realm to a device's registers leaves the realm; the machine finds the device by the address and calls it.
//! A device asks for service with a level: after each call the machine looks at [`MmioDevice::is_asserted`] and tells
//! the interrupt controller.

use alloc::string::String;
use core::fmt;

/// Memory that a realm shares with its host, the only memory that a device can reach.
///
/// Everything there is an allegation: the realm may change it between two reads. A device reads what it needs once
/// and checks what it has read.
pub trait SharedMemory {
    /// Copies from the address on. The bit of the unprotected alias may be set in the address or not: only shared memory is
    /// read either way. Naturally aligned parts of up to 8 bytes are read at once (single-copy atomic, acquire).
    ///
    /// # Errors
    ///
    /// [`NotShared`] if the realm does not share all of it. `to` may then have changed.
    fn read(&self, ipa: u64, to: &mut [u8]) -> Result<(), NotShared>;

    /// Copies to the address on, as [`SharedMemory::read`] does from there (release).
    ///
    /// # Errors
    ///
    /// [`NotShared`] if the realm does not share all of it. A part may then have been written.
    fn write(&self, ipa: u64, from: &[u8]) -> Result<(), NotShared>;
}

/// The realm does not share that memory, or it is not memory at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotShared;

impl fmt::Display for NotShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the realm does not share this memory with its host")
    }
}

impl core::error::Error for NotShared {}

/// A device whose registers are in the realm's address space.
///
/// The machine calls it from all PEs, one call at a time.
pub trait MmioDevice: Send {
    /// A read of `size` bytes (1, 2, 4 or 8) at `offset` from the start of the device; not necessarily aligned. What the device does not
    /// know reads as zero. Bits above the size are ignored.
    fn read(&mut self, offset: u64, size: u64) -> u64;

    /// A write of `size` bytes (1, 2, 4 or 8) at `offset`; bits of `value` above the size are zero. What the device does not
    /// know is ignored.
    fn write(&mut self, offset: u64, size: u64, value: u64, memory: &dyn SharedMemory);

    /// Something has changed outside of the realm (input has arrived, room is left for output): the device goes on with what it could not
    /// do before.
    fn poll(&mut self, memory: &dyn SharedMemory) {
        let _ = memory;
    }

    /// Whether the device's interrupt line is high.
    fn is_asserted(&self) -> bool;

    /// What the realm's driver has done wrong last, if it has.
    fn driver_fault(&self) -> Option<DriverFault> {
        None
    }
}

/// Nonsense that a device got from the realm's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverFault {
    /// What, in words.
    pub what: String,
    /// Whether the device still does nothing because of that: it waits for a reset.
    pub is_stopped: bool,
}
