//! Setup, images, tests and checks.
fn main() {}
