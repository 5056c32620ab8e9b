//! The hypervisor, at NS-EL2.
