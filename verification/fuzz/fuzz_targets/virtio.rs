//! A hostile driver against each virtio device: see `fuzz::virtio`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::virtio::run(data));
