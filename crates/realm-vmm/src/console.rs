//! Where the machine's events go.

use crate::report::Event;

/// Takes what happens while a realm runs: phases and the lines that its vCPUs print.
///
/// Called by all PEs at once. [`crate::report::write_record`] turns an event into the line that the
/// hypervisor puts on its UART.
pub trait Console {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

impl<C: Console + ?Sized> Console for &C {
    fn event(&self, event: &Event<'_>) {
        (**self).event(event);
    }
}
