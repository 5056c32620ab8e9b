//! Calls that are wrong in two ways: either monitor says one of them, and not the same, so a host above both cannot rely on one.

mod support;

use cca_abi::rmi::{
    Command, ReturnCode, Status, data_create, data_create_unknown, rec_create, rec_enter,
    rtt_create,
};
use realm_host::ledger::Purpose;
use realm_host::realm::Active;
use realm_host::rec::{Entry, Exit};
use realm_host::{Ipa, IpaRange, PageSize, Realm, RealmConfig, VcpuConfig};
use support::{Bench, Dry, Fault, Faulty, RAM, TestHost};

/// Where the realm has nothing below the starting level.
const BARE: u64 = 0x30_0000_0000;

const INPUT: ReturnCode = code(Status::ErrorInput, 0);
const REALM_NOT_NEW: ReturnCode = code(Status::ErrorRealm, 0);

const fn code(status: Status, index: u8) -> ReturnCode {
    ReturnCode { status, index }
}

/// A realm of two vCPUs, the second of which is off, that has switched itself off.
fn realm_that_is_off<'h, 'm>(host: &'h TestHost<'m>) -> Realm<'h, Faulty<'m>, Dry<'m>, Active> {
    let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
    let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + (2 << 20))).expect("a range");
    realm.init_ripas(ram).expect("RAM");
    realm
        .populate(Ipa::new(RAM), b"image", true)
        .expect("content");
    for index in [0, 1] {
        realm
            .add_vcpu(VcpuConfig {
                runnable: index == 0,
                pc: RAM,
                ..VcpuConfig::secondary(index)
            })
            .expect("a vCPU");
    }
    let realm = realm.activate().expect("active");
    let mut rec = realm.rec(0).expect("a REC");
    while !realm.is_off() {
        match rec.enter(&Entry::default()).expect("an exit").exit {
            Exit::Psci(_) | Exit::Interrupt => {}
            other => panic!("{}", other.name()),
        }
    }
    drop(rec);
    realm
}

/// What the monitor of the machine answers to calls that are wrong in two ways.
fn answers(bench: &Bench) -> Vec<(Command, ReturnCode)> {
    bench.machine.install(
        RAM,
        std::sync::Arc::new(|guest: &machine::cpu::GuestCpu| {
            guest.call(&mut cca_abi::smccc::Registers::call(0x8400_0008, &[]));
        }),
    );
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = realm_that_is_off(host);
        let mut rd = 0;
        let mut recs = Vec::new();
        host.for_each_delegated(|granule, purpose, _| match purpose {
            Purpose::RealmDescriptor => rd = granule.get(),
            Purpose::Rec => recs.push(granule.get()),
            _ => {}
        });
        // The host's own: neither delegated nor a record of parameters that are right.
        let own = host.take_granule().expect("memory");
        let own_pa = own.address().get();
        let client = host.client();
        let mut answers = Vec::new();
        let mut note = |refusal: realm_host::client::Refusal| {
            answers.push((refusal.command, refusal.code().expect("a status")));
        };
        for rec in recs {
            // One REC is where it was when it switched the realm off, the other one never ran.
            let input = rec_enter::Input {
                rec,
                run_ptr: own_pa,
            };
            note(client.rec_enter(input).expect_err("it is off").refusal);
        }
        let input = rec_create::Input {
            rd,
            rec: own_pa,
            params_ptr: own_pa,
        };
        note(client.rec_create(input).expect_err("active").refusal);
        let input = data_create::Input {
            rd,
            data: own_pa,
            ipa: RAM,
            src: own_pa,
            flags: 0,
        };
        note(client.data_create(input).expect_err("active").refusal);
        let input = data_create_unknown::Input {
            rd,
            data: own_pa,
            ipa: BARE,
        };
        note(client.data_create_unknown(input).expect_err("bare").refusal);
        let input = rtt_create::Input {
            rd,
            rtt: own_pa,
            ipa: BARE,
            level: 3,
        };
        note(client.rtt_create(input).expect_err("bare").refusal);
        drop(own);
        realm.destroy().expect("gone");
        bench.check_empty(host, "orders");
        answers
    })
}

#[test]
fn of_two_things_that_are_wrong_either_monitor_says_another_one() {
    let usual = answers(&Bench::new(PageSize::Size4K));
    let strict = answers(&Bench::strict(PageSize::Size4K));
    let off = code(Status::ErrorRealm, 1);
    assert_eq!(
        usual,
        [
            (Command::RecEnter, off),
            (Command::RecEnter, off),
            (Command::RecCreate, INPUT),
            (Command::DataCreate, INPUT),
            (Command::DataCreateUnknown, INPUT),
            (Command::RttCreate, INPUT),
        ]
    );
    // Whichever REC lies first: only that of vCPU 1 is not runnable.
    let (recs, others) = strict.split_at(2);
    let idle = code(Status::ErrorRec, 0);
    let mut recs: Vec<_> = recs.iter().map(|(_, code)| *code).collect();
    recs.sort_by_key(|code| code.encode());
    assert_eq!(recs, [idle, off]);
    assert_eq!(
        others,
        [
            (Command::RecCreate, REALM_NOT_NEW),
            (Command::DataCreate, code(Status::ErrorRtt, 3)),
            (Command::DataCreateUnknown, code(Status::ErrorRtt, 1)),
            (Command::RttCreate, code(Status::ErrorRtt, 1)),
        ]
    );
}
