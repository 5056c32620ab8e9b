//! The bell between the normal world and whoever started the machine: bytes on the Secure world's UART, whatever they are.

use super::layout::SECURE_UART;
use crate::common::uart::Uart;

/// The most bytes that are taken for one ring. What is left interrupts again.
const MOST: usize = 64;

fn uart() -> Uart {
    // SAFETY: EL3 maps the machine's devices for good, and this is a PL011 that no other world reaches.
    unsafe { Uart::new(SECURE_UART) }
}

/// Turns the UART on.
pub(super) fn set_up() {
    uart().enable();
    uart().interrupt_on_receipt();
}

/// Rings for whoever started the machine. If the queue is full he has been rung for.
pub(super) fn ring() {
    let _ = uart().try_send(0);
}

/// Takes what has arrived, so that the UART does not interrupt for it any more.
pub(super) fn take() {
    for _ in 0..MOST {
        if uart().receive().is_none() {
            break;
        }
    }
}
