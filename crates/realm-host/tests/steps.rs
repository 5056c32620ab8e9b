//! Realms that are destroyed a part at a time, whichever call fails on the way; wide address spaces, and many realms.

mod support;

use machine::{Config, Machine};
use realm_host::{Error, Host, Ipa, PageSize, RealmConfig};
use support::{Bench, Fault, RAM, TestHost, build, legal_failures, run, tell};

const SIZES: [PageSize; 3] = [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K];
/// The least that may be asked for.
const STEPS: u64 = 16;
/// More calls than a part may take: a step is at most a refused call, the call itself, undelegating, and a look at the table.
const CALLS: u64 = 6 * STEPS + 32;

/// Lives and dies in parts, and the given call of the death fails: how many parts, and the number of its first call. What fails
/// is tried again.
fn live_and_die(bench: &Bench, host: &TestHost<'_>, fails: Option<(u64, u64)>) -> (u64, u64) {
    let realm = build(host).expect("a realm");
    run(&realm).expect("a life");
    realm
        .back_block(Ipa::new(RAM + 0x10_0000))
        .expect("more memory");
    let begin = bench.calls.load(std::sync::atomic::Ordering::Relaxed);
    if let Some((call, x0)) = fails {
        *bench.fault.lock() = Fault::Nth(begin + call, x0);
    }
    let mut parts = 0;
    let mut step = |before: u64, result| {
        let calls = bench.calls.load(std::sync::atomic::Ordering::Relaxed) - before;
        assert!(calls <= CALLS, "{calls} calls in one part");
        parts += 1;
        assert!(parts < 1000, "no end");
        match result {
            Ok(more) => more,
            Err(realm_host::realm::Failed { realm, error }) => {
                assert_ne!(error, Error::Unfinished);
                Some(realm)
            }
        }
    };
    let mut left = step(begin, realm.destroy_step(0));
    while let Some(realm) = left {
        let before = bench.calls.load(std::sync::atomic::Ordering::Relaxed);
        left = step(before, realm.destroy_step(STEPS));
    }
    (parts, begin)
}

#[test]
fn a_realm_is_destroyed_in_bounded_parts_whichever_call_fails() {
    for (size, strict) in [
        (SIZES[0], true),
        (SIZES[0], false),
        (SIZES[1], false),
        (SIZES[2], false),
    ] {
        let bench = if strict {
            Bench::strict(size)
        } else {
            Bench::new(size)
        };
        let begin = bench.host(Fault::None, u64::MAX, |host| {
            let (parts, begin) = live_and_die(&bench, host, None);
            assert!(parts > 1, "one part was enough");
            bench.check_empty(host, "no failure");
            begin
        });
        let commands = bench.log.lock()[begin as usize..].to_vec();
        let mut lives = 0;
        for (call, &command) in (0..).zip(&commands) {
            for failure in legal_failures(command) {
                let fails = Some((call, failure));
                bench.host(Fault::None, u64::MAX, |host| {
                    live_and_die(&bench, host, fails);
                    host.retry_quarantine().expect("nobody else does");
                    bench.check_empty(host, &format!("{size:?}, call {call}, X0 {failure:#x}"));
                });
                lives += 1;
            }
        }
        tell(&format!(
            "{size:?}, strict {strict}: {lives} realms destroyed in parts, each with another of {} calls failing",
            commands.len()
        ));
    }
}

#[test]
fn lpa2_widens_the_address_space_where_the_monitor_has_it() {
    let wide = RealmConfig {
        ipa_bits: 52,
        lpa2: true,
        ..RealmConfig::default()
    };
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = host.create_realm(wide).expect("the monitor has LPA2");
        assert_eq!(wide.geometry().root_tables().get(), 16);
        drop(realm);
        let mut realm = host
            .create_realm(RealmConfig {
                ipa_bits: 40,
                ..wide
            })
            .expect("a narrow one");
        realm
            .populate(Ipa::new(RAM), &[1; 0x2000], true)
            .expect("tables of the other format");
        drop(realm);
        bench.check_empty(host, "LPA2");
    });
    let bench = Bench::strict(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let Err(error) = host.create_realm(wide) else {
            panic!("the monitor has no LPA2");
        };
        assert!(error.to_string().contains("LPA2"), "{error}");
        bench.check_empty(host, "no LPA2");
    });
}

#[test]
fn more_than_256_realms_exist_at_once_with_wide_vmids() {
    let machine = Machine::new(Config {
        pes: 1,
        dram_bytes: 64 << 20,
        ..Config::default()
    });
    machine.host_pe(0).run(|| {
        let narrow = Host::new(machine.transport(), machine.supply()).expect("a monitor");
        let config = RealmConfig::default();
        let realms: Vec<_> = (0..256).map(|_| narrow.create_realm(config)).collect();
        assert!(realms.iter().all(Result::is_ok));
        assert_eq!(narrow.create_realm(config).err(), Some(Error::NoVmid));
        drop(realms);

        let wide = Host::new(machine.transport(), machine.supply())
            .expect("a monitor")
            .with_wide_vmids();
        let mut realms: Vec<_> = (0..300).map(|_| wide.create_realm(config)).collect();
        assert!(realms.iter().all(Result::is_ok));
        // A VMID in the middle is used again.
        drop(realms.swap_remove(77));
        realms.push(wide.create_realm(config));
        assert!(realms.iter().all(Result::is_ok));
        drop(realms);
        assert_eq!(wide.account().delegated, wide.account().returned);
    });
    assert_eq!(machine.supply().in_use(), 0);
}
