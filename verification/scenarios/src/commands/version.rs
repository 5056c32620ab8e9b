//! RMI_VERSION and RMI_FEATURES.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, InterfaceVersion, features, version};

use super::Of;
use crate::case::{Case, Change};

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::Version, |_| {
        version::Input {
            req: InterfaceVersion::V1_0.encode(),
        }
        .encode()
    })
    .succeeds("")
    .fails("incompatible", "0.9", 1, Change::Value(0x9))
    .fails("incompatible", "1.999", 1, Change::Value(0x1_03E7))
    .fails("incompatible", "2.0", 1, Change::Value(0x2_0000))
    .fails("incompatible", "bit 31", 1, Change::Flip(1 << 31));
    Of::new(cases, Command::Features, |_| {
        features::Input { index: 0 }.encode()
    })
    .succeeds("register 0")
    .succeeds_with("register 1", |_| features::Input { index: 1 }.encode())
    .succeeds_with("last register", |_| {
        features::Input { index: u64::MAX }.encode()
    });
}
