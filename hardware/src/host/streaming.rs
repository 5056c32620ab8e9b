//! Streaming mode of this PE, for tests of whether it survives a realm.

use super::simd::CPTR;
use crate::common::assembly::{assembly, routines};
use crate::common::barrier;
use crate::common::vectors::{self, Kind};
use crate::{read_sysreg, write_sysreg};

/// CPTR_EL2.TSM.
const TSM: u64 = 1 << 12;
/// SMCR_EL2: the longest vectors; FA64, all instructions.
const LONGEST: u64 = 0xF;
const FA64: u64 = 1 << 31;
/// SVCR: streaming mode is on, ZA is on.
const ON: u64 = 0b11;

assembly!(
    r#"
    .pushsection .text.host_streaming, "ax"
host_streaming_on:
    .inst   0xd503477f              // SMSTART
    ret
host_streaming_off:
    .inst   0xd503467f              // SMSTOP
    ret
    // X0 = a vector, X1 = the row of ZA that it goes to or comes from.
host_load_za:
    mov     w12, w1
    .inst   0xe1000000              // LDR ZA[W12, 0], [X0]
    ret
host_store_za:
    mov     w12, w1
    .inst   0xe1200000              // STR ZA[W12, 0], [X0]
    ret
    .popsection
    "#
);

routines! {
    fn host_streaming_on();
    fn host_streaming_off();
    fn host_load_za(from: *const u8, row: u64);
    fn host_store_za(to: *mut u8, row: u64);
}

/// A row of ZA of the longest kind.
#[repr(C, align(16))]
struct Row([u8; 256]);

/// Byte `n` of row `row`.
fn byte(seed: u64, row: u64, n: usize) -> u8 {
    let mixed = (seed << 32 | row << 16 | n as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 56) as u8
}

fn kind(all: bool) -> Kind {
    if all { Kind::Sve } else { Kind::WithoutFfr }
}

/// Enters streaming mode with the longest vectors, turns ZA on, and fills Z0 to Z31, P0 to P15 and ZA with what `seed`
/// says; with `all` FFR too, in a streaming mode that has all instructions. `None` if the CPU has no such mode.
pub fn fill_streaming(all: bool, seed: u64) -> Option<u64> {
    // ID_AA64PFR1_EL1.SME, ID_AA64SMFR0_EL1.FA64
    let sme = read_sysreg!("id_aa64pfr1_el1") >> 24 & 0xF != 0;
    if !sme || all && read_sysreg!("s3_0_c0_c4_5") >> 63 == 0 {
        return None;
    }
    // SAFETY: compiled code uses none of the registers. SMCR_EL2
    unsafe {
        write_sysreg!("cptr_el2", CPTR & !TSM);
        barrier::isb();
        write_sysreg!("s3_4_c1_c2_6", LONGEST | if all { FA64 } else { 0 });
        barrier::isb();
        host_streaming_on();
    }
    // SAFETY: streaming mode is on, and has these registers.
    let size = unsafe { vectors::fill(kind(all), seed) };
    let mut buffer = Row([0; 256]);
    for row in 0..size {
        for (n, to) in buffer.0.iter_mut().enumerate() {
            *to = byte(seed, row, n);
        }
        // SAFETY: ZA is on, has as many rows as a vector has bytes, and a row is no longer than the buffer.
        unsafe { host_load_za(buffer.0.as_ptr(), row) };
    }
    Some(size)
}

/// Number of bytes that are not what [`fill_streaming`] with these arguments leaves, of a PE that is still in streaming
/// mode; `None` if it is not. Leaves streaming mode and turns ZA off.
pub fn leave_streaming(all: bool, seed: u64) -> Option<u64> {
    // SAFETY: as in `fill_streaming`.
    unsafe { write_sysreg!("cptr_el2", CPTR & !TSM) };
    barrier::isb();
    // SVCR
    if read_sysreg!("s3_3_c4_c2_2") & ON != ON {
        // SAFETY: as in `fill_streaming`.
        unsafe { host_streaming_off() };
        return None;
    }
    // SAFETY: streaming mode is on, and has these registers.
    let mut count = unsafe { vectors::differences(kind(all), seed) };
    let mut buffer = Row([0; 256]);
    let size = vectors::bytes();
    for row in 0..size {
        // SAFETY: as in `fill_streaming`.
        unsafe { host_store_za(buffer.0.as_mut_ptr(), row) };
        let is = &buffer.0[..size as usize];
        count += is
            .iter()
            .enumerate()
            .filter(|&(n, &is)| is != byte(seed, row, n))
            .count() as u64;
    }
    // SAFETY: as in `fill_streaming`.
    unsafe { host_streaming_off() };
    Some(count)
}
