//! The RSI client: what code inside a realm needs to talk to its RMM.
#![no_std]
#![forbid(unsafe_code)]
