//! Calls of both worlds to the root monitor: see `fuzz::root`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::root::run(data));
