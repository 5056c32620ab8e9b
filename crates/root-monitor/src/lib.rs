//! The root monitor (EL3): granule protection, world switch policy, RMM-EL3 services and PSCI.
#![no_std]
#![forbid(unsafe_code)]
