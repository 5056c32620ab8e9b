//! Where the machine's events go.

use crate::report::Event;

/// Takes what happens while a realm runs: phases and the lines that its vCPUs print.
///
/// Called by all PEs at once. [`crate::report::write_record`] turns an event into the line that the
/// hypervisor puts on its UART.
pub trait Console {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);

    /// Takes bytes that the realm has put out on one of its consoles: 0 is the PL011 of a realm whose output is not cut into lines.
    /// Whoever has no use for them leaves them.
    fn output(&self, stream: u8, bytes: &[u8]) {
        let _ = (stream, bytes);
    }

    /// A device of the realm may have something for the world outside, or room for something from there; or the realm has ended.
    fn device_changed(&self) {}

    /// Whether PE 0 is to be called to pass output on. Asked after each exit, and when a vCPU leaves its PE or its slice is over: then nothing
    /// waits any longer.
    fn calls_for_service(&self, leaving: bool) -> bool {
        let _ = leaving;
        false
    }
}

impl<C: Console + ?Sized> Console for &C {
    fn event(&self, event: &Event<'_>) {
        (**self).event(event);
    }

    fn output(&self, stream: u8, bytes: &[u8]) {
        (**self).output(stream, bytes);
    }

    fn device_changed(&self) {
        (**self).device_changed();
    }

    fn calls_for_service(&self, leaving: bool) -> bool {
        (**self).calls_for_service(leaving)
    }
}
