//! Instructions, device addresses and linker symbols.
#![no_std]
