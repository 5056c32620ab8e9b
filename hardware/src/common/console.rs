//! The console of an image: one UART, whole messages at a time.

use crate::common::uart::Uart;
use core::fmt::{self, Write};
use spin::mutex::SpinMutex;

static CONSOLE: SpinMutex<Option<Uart>> = SpinMutex::new(None);

/// How often a panicking PE tries to get the console before it writes over whoever holds it.
const PATIENCE: usize = 1_000_000;

/// Makes `uart` the console of this image. Call it again when the address of the device changes (MMU on).
pub fn set(uart: Uart) {
    *CONSOLE.lock() = Some(uart);
}

/// Prints a message that no other PE of this image interrupts. Nothing happens before [`set`].
pub fn print(message: fmt::Arguments<'_>) {
    if let Some(uart) = CONSOLE.lock().as_mut() {
        // A UART never reports an error.
        let _ = uart.write_fmt(message);
    }
}

/// Sends bytes without translation and without interruption.
pub fn send(bytes: &[u8]) {
    if let Some(uart) = CONSOLE.lock().as_ref() {
        uart.send_all(bytes);
    }
}

/// The next byte received, if any.
pub fn receive() -> Option<u8> {
    CONSOLE.lock().as_ref().and_then(Uart::receive)
}

/// Prints at any price: if the console stays locked (the holder may have stopped), the message is written regardless.
pub fn print_now(message: fmt::Arguments<'_>) {
    for _ in 0..PATIENCE {
        if let Some(mut console) = CONSOLE.try_lock() {
            if let Some(uart) = console.as_mut() {
                let _ = uart.write_fmt(message);
            }
            return;
        }
        core::hint::spin_loop();
    }
    // SAFETY: the lock protects nothing but the order of bytes on the line: `Uart` is a plain address, and the PE that
    // holds the lock only reads it. This PE is about to stop.
    unsafe { CONSOLE.force_unlock() };
    if let Some(uart) = CONSOLE.lock().as_mut() {
        let _ = uart.write_fmt(message);
    }
}

/// Prints to the console of this image, without a line feed.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::common::console::print(format_args!($($argument)*)) };
}

/// Prints a line to the console of this image.
#[macro_export]
macro_rules! println {
    () => { $crate::common::console::print(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::common::console::print(format_args!("{}\n", format_args!($($argument)*))) };
}
