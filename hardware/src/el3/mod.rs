//! The root monitor's machine: EL3.
