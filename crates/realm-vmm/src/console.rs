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

    /// Whether output waits for PE 0 to pass it on. Asked when a vCPU leaves its PE; it starts waiting anew then.
    fn is_behind(&self) -> bool {
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

    fn is_behind(&self) -> bool {
        (**self).is_behind()
    }
}
