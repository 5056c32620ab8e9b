//! The machine that a realm sees: devices, timers, interrupts, PSCI, and the loop that serves its exits.
#![no_std]
#![forbid(unsafe_code)]
