//! RMI_REALM_CREATE, RMI_REALM_ACTIVATE and RMI_REALM_DESTROY.

use alloc::vec::Vec;

use cca_abi::rmi::params::{realm_flags, realm_offset};
use cca_abi::rmi::{Command, realm_activate, realm_destroy, rec_destroy};

use super::{IPA, Of};
use crate::case::{Case, Change};
use crate::fixture::State;
use crate::realm::Realm;

const S2SZ: usize = realm_offset::S2SZ / 8;
const LEVEL: usize = realm_offset::RTT_LEVEL_START / 8;
const COUNT: usize = realm_offset::RTT_NUM_START / 8;
const BASE: usize = realm_offset::RTT_BASE / 8;
const HASH: usize = realm_offset::HASH_ALGO / 8;
const FLAGS: usize = realm_offset::FLAGS / 8;

pub(super) fn cases(cases: &mut Vec<Case>) {
    create(cases);

    Of::new(cases, Command::RealmActivate, |fixture| {
        realm_activate::Input {
            rd: fixture.realm().rd,
        }
        .encode()
    })
    .succeeds("without RECs and memory")
    .realm_descriptor(1)
    .fails_after("realm_state", "active", |fixture| {
        realm_activate::Input {
            rd: fixture.active_realm().0.rd,
        }
        .encode()
    });

    Of::new(cases, Command::RealmDestroy, |fixture| {
        realm_destroy::Input {
            rd: fixture.realm().rd,
        }
        .encode()
    })
    .succeeds("new")
    .succeeds_with("active", |fixture| {
        let (realm, rec) = fixture.active_realm();
        fixture.call(Command::RecDestroy, rec_destroy::Input { rec }.encode());
        realm_destroy::Input { rd: realm.rd }.encode()
    })
    .realm_descriptor(1)
    .fails_after("realm_live", "rec", |fixture| {
        let realm = fixture.realm();
        fixture.rec(realm.rd, 0, false);
        realm_destroy::Input { rd: realm.rd }.encode()
    })
    .fails_after("realm_live", "table", |fixture| {
        let realm = fixture.realm();
        fixture.table(realm.rd, IPA, 2);
        realm_destroy::Input { rd: realm.rd }.encode()
    })
    .fails_after("realm_live", "table in the second root table", |fixture| {
        let realm = fixture.realm();
        fixture.table(realm.rd, crate::realm::UNPROTECTED, 2);
        realm_destroy::Input { rd: realm.rd }.encode()
    });
}

fn create(cases: &mut Vec<Case>) {
    Of::new(cases, Command::RealmCreate, Realm::realm_create)
        .succeeds("")
        .non_secure(2, ["params_align", "params_bound", "params_pas"])
        .fails("params_valid", "hash algorithm 2", 2, Change::Word(HASH, 2))
        .fails(
            "params_valid",
            "hash algorithm 255",
            2,
            Change::Word(HASH, 255),
        )
        .fails(
            "params_valid",
            "no breakpoints",
            2,
            Change::Word(realm_offset::NUM_BPS / 8, 0),
        )
        .fails(
            "params_valid",
            "no watchpoints",
            2,
            Change::Word(realm_offset::NUM_WPS / 8, 0),
        )
        .fails(
            "params_supp",
            "too many breakpoints",
            2,
            Change::Word(realm_offset::NUM_BPS / 8, 63),
        )
        .fails(
            "params_supp",
            "too many watchpoints",
            2,
            Change::Word(realm_offset::NUM_WPS / 8, 63),
        )
        .fails("params_supp", "IPA too wide", 2, Change::Word(S2SZ, 53))
        .fails("params_supp", "IPA of no bits", 2, Change::Word(S2SZ, 0))
        .fails(
            "params_supp",
            "SVE vectors too long",
            2,
            Change::Operands(|fixture, call| {
                let host = fixture.host();
                host.write(call.0[2], FLAGS, realm_flags::SVE);
                host.write(call.0[2], realm_offset::SVE_VL / 8, 0xFF);
            }),
        )
        .fails(
            "params_supp",
            "too many counters",
            2,
            Change::Operands(|fixture, call| {
                let host = fixture.host();
                host.write(call.0[2], FLAGS, realm_flags::PMU);
                host.write(call.0[2], realm_offset::PMU_NUM_CTRS / 8, 0xFF);
            }),
        )
        .fails("rtt_num_level", "too few tables", 2, Change::Word(COUNT, 1))
        .fails(
            "rtt_num_level",
            "too many tables",
            2,
            Change::Word(COUNT, 4),
        )
        .fails("rtt_num_level", "no tables", 2, Change::Word(COUNT, 0))
        .fails("rtt_num_level", "level 0", 2, Change::Word(LEVEL, 0))
        .fails("rtt_num_level", "level 2", 2, Change::Word(LEVEL, 2))
        .fails("rtt_num_level", "level 4", 2, Change::Word(LEVEL, 4))
        .fails(
            "rtt_num_level",
            "level -2",
            2,
            Change::Word(LEVEL, (-2i64).cast_unsigned()),
        )
        .fails(
            "vmid_valid",
            "in use",
            2,
            Change::Operands(|fixture, call| {
                let other = fixture.realm();
                fixture
                    .host()
                    .write(call.0[2], realm_offset::VMID / 8, other.vmid);
            }),
        )
        .fails(
            "alias",
            "first table",
            1,
            Change::Operands(|fixture, call| {
                call.0[1] = fixture.host().read(call.0[2], BASE);
            }),
        )
        .fails(
            "alias",
            "last table",
            1,
            Change::Operands(|fixture, call| {
                call.0[1] = fixture.host().read(call.0[2], BASE) + 4096;
            }),
        )
        .delegated(1, ["rd_align", "rd_bound", "rd_state"])
        .fails(
            "rtt_align",
            "4 KiB only",
            2,
            Change::Operands(|fixture, call| {
                let base = fixture.host().read(call.0[2], BASE);
                fixture.host().write(call.0[2], BASE, base + 4096);
            }),
        )
        .fails(
            "rtt_align",
            "1 byte",
            2,
            Change::Operands(|fixture, call| {
                let base = fixture.host().read(call.0[2], BASE);
                fixture.host().write(call.0[2], BASE, base + 1);
            }),
        )
        .fails(
            "rtt_state",
            "undelegated",
            2,
            Change::Operands(|fixture, call| {
                let base = fixture.non_secure_contiguous(2);
                fixture.host().write(call.0[2], BASE, base);
            }),
        )
        .fails(
            "rtt_state",
            "rtt",
            2,
            Change::Operands(|fixture, call| {
                let base = fixture.granule_in(State::Rtt);
                fixture.host().write(call.0[2], BASE, base);
            }),
        )
        .fails(
            "rtt_state",
            "outside",
            2,
            Change::Operands(|fixture, call| {
                let outside = fixture.host().outside() & !0x1FFF;
                fixture.host().write(call.0[2], BASE, outside);
            }),
        );
}
