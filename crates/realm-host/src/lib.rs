//! What a hypervisor needs to host realms: granules, realms, RECs and the run loop.
#![no_std]
#![forbid(unsafe_code)]
