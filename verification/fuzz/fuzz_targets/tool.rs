//! A hypervisor that went mad against the tool: see `fuzz::tool`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::tool::run(data));
