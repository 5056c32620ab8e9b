//! A look at memory that may be another world's.

use crate::common::assembly::{assembly, routines};

assembly!(
    r#"
    // X0 = where the word goes, X1 = address. X0 = 0 when done, 1 after an abort: see the vectors.
    .pushsection .text.host_probe, "ax"
    .global host_probe_access
    .global host_probe_failed
host_probe:
    mov     x2, x0
host_probe_access:
    ldr     x3, [x1]
    str     x3, [x2]
    mov     x0, #0
    ret
host_probe_failed:
    mov     x0, #1
    ret
    .popsection
    "#
);

routines! {
    fn host_probe(to: *mut u64, from: u64) -> u64;
}

/// The doubleword at `address`, which is 8-byte aligned; `None` if the access is not allowed.
#[must_use]
pub fn probe(address: u64) -> Option<u64> {
    let mut value = 0;
    // SAFETY: a load changes nothing, and an abort is an answer; the store goes to a variable. The routine keeps to the
    // calling convention, also after an abort.
    let failed = unsafe { host_probe(&raw mut value, address) };
    (failed == 0).then_some(value)
}
