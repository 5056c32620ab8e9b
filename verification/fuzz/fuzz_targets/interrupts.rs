//! A hostile realm against its interrupt controller and its UART: see `fuzz::interrupts`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::interrupts::run(data));
