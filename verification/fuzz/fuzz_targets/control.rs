//! A hostile tool against the control server of a hypervisor: see `fuzz::control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::control::run(data));
