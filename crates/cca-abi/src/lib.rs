//! Every number and layout between the worlds of Arm CCA: RMI, RSI, PSCI, RMM-EL3 and the boot manifest.
#![no_std]
#![forbid(unsafe_code)]
