//! Lines on the realm's PL011.

use core::fmt::{self, Write};

use super::GuestPe;

/// Offset of the data register (PL011 technical reference manual, `UARTDR`).
const DATA: u64 = 0x00;
/// Offset of the flag register, `UARTFR`.
const FLAGS: u64 = 0x18;
/// The transmit queue is full, `UARTFR.TXFF`.
const TRANSMIT_FULL: u32 = 1 << 5;

/// Writes to the PL011 at an address that the host emulates: the shared alias of the device.
pub(super) struct Console<'p, P> {
    pe: &'p P,
    uart: u64,
}

impl<'p, P: GuestPe> Console<'p, P> {
    /// The console at `uart`, an address in the shared half.
    pub(super) fn new(pe: &'p P, uart: u64) -> Self {
        Self { pe, uart }
    }

    /// Says one line, as soon as the queue has room for its start. A line is at most as long as a PL011's queue would
    /// make anybody wait; an emulated one never fills.
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) {
        while self.pe.load_device(self.uart + FLAGS) & TRANSMIT_FULL != 0 {
            core::hint::spin_loop();
        }
        // Writing bytes cannot fail, and the arguments are all of types whose formatting does not.
        let _ = writeln!(self, "demo: {text}");
    }
}

impl<P: GuestPe> Write for Console<'_, P> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.pe.store_device(self.uart + DATA, u32::from(byte));
        }
        Ok(())
    }
}

/// Bytes in hexadecimal without separators.
pub(super) struct Hex<'b>(pub(super) &'b [u64]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
