//! RMI_PSCI_COMPLETE without a running realm: nothing can be pending.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, psci_complete};
use cca_abi::smccc::Registers;

use super::Of;
use crate::Fixture;
use crate::case::Case;

/// A call that only lacks a request of the realm.
fn call(fixture: &mut Fixture<'_>) -> Registers {
    let realm = fixture.realm();
    let calling_rec = fixture.rec(realm.rd, 0, true);
    let target_rec = fixture.rec(realm.rd, 1, false);
    psci_complete::Input {
        calling_rec,
        target_rec,
        status: 0,
    }
    .encode()
}

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::PsciComplete, call)
        .fails_after("pending", "no request", call)
        .fails_after("alias", "", |fixture| {
            let mut call = call(fixture);
            call.0[2] = call.0[1];
            call
        })
        .fails_after("calling_align", "", |fixture| {
            let mut call = call(fixture);
            call.0[1] |= 1;
            call
        })
        .fails_after("calling_bound", "device", |fixture| {
            let mut call = call(fixture);
            call.0[1] = fixture.host().device();
            call
        })
        .fails_after("calling_state", "delegated", |fixture| {
            let mut call = call(fixture);
            call.0[1] = fixture.delegated();
            call
        })
        .fails_after("target_align", "", |fixture| {
            let mut call = call(fixture);
            call.0[2] |= 1;
            call
        })
        .fails_after("target_bound", "device", |fixture| {
            let mut call = call(fixture);
            call.0[2] = fixture.host().device();
            call
        })
        .fails_after("target_state", "delegated", |fixture| {
            let mut call = call(fixture);
            call.0[2] = fixture.delegated();
            call
        });
}
