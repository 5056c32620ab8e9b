//! Boots and runs Arm CCA realms.
fn main() {}
