//! The rings of the control channel in memory that somebody else changes: see `fuzz::rings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rings::run(data));
