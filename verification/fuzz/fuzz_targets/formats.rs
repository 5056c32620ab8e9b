//! Words of any content to every decoder of words: see `fuzz::formats`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::formats::run(data));
