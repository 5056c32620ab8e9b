//! A hostile realm: see `fuzz::realm`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::realm::run(data));
