//! The CCA attestation token.
#![no_std]
#![forbid(unsafe_code)]
