//! RMI_RTT_INIT_RIPAS and RMI_RTT_SET_RIPAS.

use alloc::vec::Vec;

use cca_abi::rmi::{Command, rtt_init_ripas, rtt_set_ripas};
use cca_abi::smccc::Registers;

use super::{IPA, Of};
use crate::Fixture;
use crate::case::{Case, Change};
use crate::realm::UNPROTECTED;

fn init_call(rd: u64) -> Registers {
    rtt_init_ripas::Input {
        rd,
        base: IPA,
        top: IPA + 0x3000,
    }
    .encode()
}

/// A call that only lacks a request of the realm.
fn set_call(fixture: &mut Fixture<'_>) -> Registers {
    let (realm, rec) = fixture.active_realm();
    fixture.tables(realm.rd, IPA);
    rtt_set_ripas::Input {
        rd: realm.rd,
        rec,
        base: IPA,
        top: IPA + 0x1000,
    }
    .encode()
}

/// [`set_call`] with one operand changed.
fn changed(
    fixture: &mut Fixture<'_>,
    operand: usize,
    change: fn(&mut Fixture<'_>, u64) -> u64,
) -> Registers {
    let mut call = set_call(fixture);
    call.0[operand] = change(fixture, call.0[operand]);
    call
}

pub(super) fn cases(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RttInitRipas, |fixture| {
        let realm = fixture.realm();
        fixture.tables(realm.rd, IPA);
        init_call(realm.rd)
    })
    .succeeds("pages")
    .succeeds_with("one entry of level 1", |fixture| {
        let rd = fixture.realm().rd;
        rtt_init_ripas::Input {
            rd,
            base: IPA,
            top: IPA + (1 << 30),
        }
        .encode()
    })
    .fails("size_valid", "empty", 3, Change::Value(IPA))
    .fails("size_valid", "negative", 3, Change::Value(IPA - 4096))
    .realm_descriptor(1)
    .fails("top_gran_align", "", 3, Change::Flip(1))
    .fails(
        "top_bound",
        "unprotected",
        3,
        Change::Value(UNPROTECTED + 4096),
    )
    .fails_after("realm_state", "active", |fixture| {
        let (realm, _) = fixture.active_realm();
        fixture.tables(realm.rd, IPA);
        init_call(realm.rd)
    })
    .fails_at(
        "base_align",
        "not aligned to level 2",
        2,
        Change::Operands(|_, call| {
            call.0[2] = IPA + (1 << 21) + 4096;
            call.0[3] = IPA + (2 << 21);
        }),
        2,
    )
    .fails_after_at(
        "rtte_state",
        "assigned",
        |fixture| {
            let realm = fixture.realm();
            fixture.data(realm.rd, IPA);
            init_call(realm.rd)
        },
        3,
    )
    .fails_at(
        "no_progress",
        "entry larger than the range",
        2,
        Change::Operands(|_, call| {
            call.0[2] = IPA + (1 << 21);
            call.0[3] = call.0[2] + 4096;
        }),
        2,
    );

    // Without a request of the realm every change is refused; the rest is shown with a running realm.
    Of::new(cases, Command::RttSetRipas, set_call)
        .fails_after("base_bound", "no request", set_call)
        .fails_after("size_valid", "empty", |fixture| {
            let mut call = set_call(fixture);
            call.0[4] = call.0[3];
            call
        })
        .fails_after("top_gran_align", "", |fixture| {
            let mut call = set_call(fixture);
            call.0[4] |= 1;
            call
        })
        .fails_after("rd_align", "", |fixture| {
            changed(fixture, 1, |_, rd| rd | 1)
        })
        .fails_after("rd_bound", "device", |fixture| {
            changed(fixture, 1, |fixture, _| fixture.host().device())
        })
        .fails_after("rd_bound", "outside", |fixture| {
            changed(fixture, 1, |fixture, _| fixture.host().outside())
        })
        .fails_after("rec_align", "", |fixture| {
            changed(fixture, 2, |_, rec| rec | 1)
        })
        .fails_after("rec_bound", "device", |fixture| {
            changed(fixture, 2, |fixture, _| fixture.host().device())
        })
        .fails_after("rec_bound", "outside", |fixture| {
            changed(fixture, 2, |fixture, _| fixture.host().outside())
        })
        .fails_after("rd_state", "delegated", |fixture| {
            let mut call = set_call(fixture);
            call.0[1] = fixture.delegated();
            call
        })
        .fails_after("rec_gran_state", "delegated", |fixture| {
            let mut call = set_call(fixture);
            call.0[2] = fixture.delegated();
            call
        })
        .fails_after("rec_owner", "REC of another realm", |fixture| {
            let mut call = set_call(fixture);
            call.0[2] = fixture.active_realm().1;
            call
        });
}
