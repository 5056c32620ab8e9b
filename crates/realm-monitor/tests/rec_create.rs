//! RMI_REC_CREATE and RMI_REC_DESTROY.

mod rig;

use std::sync::atomic::Ordering::Relaxed;

use cca_abi::rmi::{self, rec_create, rec_destroy};
use realm_monitor::granule::GranuleState;
use realm_monitor::rec::layout::{self, SysReg};
use rig::*;

const INPUT: u64 = 1;
const REALM: u64 = 2;
const REC: u64 = 3;

/// A realm without RECs and a call that creates the first.
fn ready() -> (Rig, rec_create::Input) {
    let mut rig = Rig::with_realm();
    rig.delegate(REC0);
    rig.set_rec_params(&Rig::rec_params(0, true));
    (
        rig,
        rec_create::Input {
            rd: RD,
            rec: REC0,
            params_ptr: PARAMS,
        },
    )
}

#[test]
fn a_new_rec_is_a_processor_after_reset() {
    let (mut rig, input) = ready();
    let rim_before = rig.host_page(RD)[realm_monitor::realm::layout::MEASUREMENTS].load(Relaxed);
    rig.ok(&input.encode());
    let rec = rig.rec(REC0);
    for n in 0..31 {
        assert_eq!(rec.gpr(n), if n < 8 { 0x100 + n as u64 } else { 0 });
    }
    assert_eq!((rec.pc(), rec.get(layout::PSTATE)), (ENTRY, 0x3C5));
    assert_eq!(rec.sysreg(SysReg::SctlrEl1), 0x00C5_0878);
    assert_eq!(rec.get(layout::VMPIDR_EL2), 1 << 31);
    assert_eq!(rec.get(layout::OWNER), RD);
    assert_eq!(rec.get(layout::RUNNABLE), 1);
    for pending in [
        layout::PSCI_PENDING,
        layout::HOST_CALL_PENDING,
        layout::RIPAS_TOP,
        layout::LAST_EXIT,
    ] {
        assert_eq!(rec.get(pending), 0);
    }
    assert_eq!(rig.monitor.granule_state(REC0), Some(GranuleState::Rec));
    assert_eq!(
        rig.monitor.granules().count(rig.monitor.platform(), RD),
        Some(1)
    );
    let rim = rig.host_page(RD)[realm_monitor::realm::layout::MEASUREMENTS].load(Relaxed);
    assert_ne!(rim, rim_before, "a runnable REC is measured");
}

#[test]
fn recs_come_in_the_order_of_their_indices() {
    let (mut rig, input) = ready();
    rig.ok(&input.encode());
    rig.delegate(REC1);
    rig.set_rec_params(&Rig::rec_params(1, false));
    rig.ok(&rec_create::Input { rec: REC1, ..input }.encode());
    assert_eq!(rig.rec(REC1).get(layout::VMPIDR_EL2), 1 << 31 | 1);
    assert_eq!(rig.rec(REC1).get(layout::RUNNABLE), 0);
    // A destroyed REC does not come back.
    rig.ok(&rec_destroy::Input { rec: REC1 }.encode());
    rig.refused(
        &rec_create::Input { rec: REC1, ..input }.encode(),
        "mpidr_index",
        INPUT,
    );
}

#[test]
fn every_refusal_of_a_creation_changes_nothing() {
    let (mut rig, input) = ready();
    rig.delegate(SPARE);
    let with_params = |params_ptr| {
        rec_create::Input {
            params_ptr,
            ..input
        }
        .encode()
    };
    rig.refused(&with_params(PARAMS + 8), "params_align", INPUT);
    rig.refused(&with_params(OUTSIDE), "params_bound", INPUT);
    rig.refused(&with_params(SPARE), "params_pas", INPUT);
    rig.make_secure(NS);
    rig.refused(&with_params(NS), "params_pas", INPUT);
    for accesses in 0..5 {
        rig.fault_after(accesses);
        rig.refused(&input.encode(), "params_pas", INPUT);
    }
    rig.fault_after(u64::MAX);

    let with_rec = |rec| rec_create::Input { rec, ..input }.encode();
    rig.refused(&with_rec(REC0 + 1), "rec_align", INPUT);
    rig.refused(&with_rec(OUTSIDE), "rec_bound", INPUT);
    for rec in [UNDELEGATED, RD, ROOT, DATA] {
        rig.refused(&with_rec(rec), "rec_state", INPUT);
    }
    let with_rd = |rd| rec_create::Input { rd, ..input }.encode();
    rig.refused(&with_rd(RD + 0x800), "rd_align", INPUT);
    rig.refused(&with_rd(OUTSIDE), "rd_bound", INPUT);
    for rd in [UNDELEGATED, SPARE, REC0, ROOT, DATA] {
        rig.refused(&with_rd(rd), "rd_state", INPUT);
    }

    let good = Rig::rec_params(0, true);
    for mpidr in [1, 0x10, 0x100, 1 << 32, 1 << 31] {
        rig.set_rec_params(&rmi::params::RecParams { mpidr, ..good });
        rig.refused(&input.encode(), "mpidr_index", INPUT);
    }
    for num_aux in [1, 16, 17, u64::MAX] {
        let mut aux = [0; 16];
        aux[0] = SPARE;
        rig.set_rec_params(&rmi::params::RecParams {
            num_aux,
            aux,
            ..good
        });
        rig.refused(&input.encode(), "num_aux", INPUT);
    }

    rig.set_rec_params(&good);
    rig.ok(&input.encode());
    rig.refused(&input.encode(), "rec_state", INPUT);
    rig.ok(&rmi::realm_activate::Input { rd: RD }.encode());
    rig.refused(&with_rec(SPARE), "realm_state", REALM);
}

#[test]
fn auxiliary_granules_are_checked_and_belong_to_the_rec() {
    let (mut rig, input) = ready();
    // No realm of this monitor has auxiliary granules, so the realm is made to.
    rig.host_page(RD)[realm_monitor::realm::layout::AUX_COUNT].store(2, Relaxed);
    let (low, high) = (pa(5), pa(60));
    rig.delegate(low);
    rig.delegate(high);
    let with = |rig: &mut Rig, a, b| {
        let mut params = Rig::rec_params(0, false);
        params.num_aux = 2;
        (params.aux[0], params.aux[1]) = (a, b);
        rig.set_rec_params(&params);
        input.encode()
    };
    let call = with(&mut rig, high, low + 8);
    rig.refused(&call, "aux_align", INPUT);
    for (a, b) in [(low, low), (REC0, high), (low, REC0)] {
        let call = with(&mut rig, a, b);
        rig.refused(&call, "aux_alias", INPUT);
    }
    for other in [UNDELEGATED, OUTSIDE, RD, ROOT, DATA] {
        let call = with(&mut rig, other, low);
        rig.refused(&call, "aux_state", INPUT);
        let call = with(&mut rig, high, other);
        rig.refused(&call, "aux_state", INPUT);
    }

    let call = with(&mut rig, high, low);
    rig.ok(&call);
    assert_eq!(rig.monitor.granule_state(low), Some(GranuleState::RecAux));
    assert_eq!(rig.monitor.granule_state(high), Some(GranuleState::RecAux));
    rig.refused(
        &rec_destroy::Input { rec: low }.encode(),
        "rec_gran_state",
        INPUT,
    );
    rig.ok(&rec_destroy::Input { rec: REC0 }.encode());
    for granule in [low, high, REC0] {
        assert_eq!(
            rig.monitor.granule_state(granule),
            Some(GranuleState::Delegated)
        );
        assert!(
            rig.host_page(granule)
                .iter()
                .all(|word| word.load(Relaxed) == 0)
        );
    }
}

#[test]
fn a_realm_has_only_so_many_recs() {
    let (mut rig, input) = ready();
    let most = rig.monitor.features().max_recs();
    assert_eq!(most, 1023);
    rig.monitor
        .granules()
        .add(rig.monitor.platform(), RD, most as u16);
    rig.refused(&input.encode(), "num_recs", REALM);
    rig.monitor
        .granules()
        .subtract(rig.monitor.platform(), RD, 1);
    rig.ok(&input.encode());
}

#[test]
fn every_refusal_of_a_destruction_changes_nothing() {
    let mut rig = Rig::active();
    rig.delegate(SPARE);
    let with = |rec| rec_destroy::Input { rec }.encode();
    rig.refused(&with(REC0 + 8), "rec_align", INPUT);
    rig.refused(&with(OUTSIDE), "rec_bound", INPUT);
    for rec in [UNDELEGATED, SPARE, RD, ROOT, DATA] {
        rig.refused(&with(rec), "rec_gran_state", INPUT);
    }
    // As if another PE were inside RMI_REC_ENTER.
    rig.monitor.granules().add(rig.monitor.platform(), REC0, 1);
    rig.refused(&with(REC0), "rec_state", REC);
    rig.monitor
        .granules()
        .subtract(rig.monitor.platform(), REC0, 1);
    rig.ok(&with(REC0));
    assert_eq!(
        rig.monitor.granules().count(rig.monitor.platform(), RD),
        Some(2)
    );
}
