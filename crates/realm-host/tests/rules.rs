//! What the library refuses before it asks the monitor, and what it says.

mod support;

use cca_abi::rmi::Command;
use realm_host::ledger::Returned;
use realm_host::rec::{EnterError, Entry};
use realm_host::{Error, Host, Ipa, IpaRange, PageSize, RealmConfig, VcpuConfig};
use support::{Bench, Fault, RAM, build, run};

fn usage(result: Result<(), Error>) -> (&'static str, u64) {
    match result {
        Err(Error::Usage { what, value }) => (what, value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vcpus_are_added_in_any_order_and_their_recs_created_in_theirs() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        for index in [5, 2, 7, 0, 1, 6, 4, 3] {
            realm
                .add_vcpu(VcpuConfig {
                    runnable: index == 3,
                    ..VcpuConfig::secondary(index)
                })
                .expect("a vCPU");
        }
        let realm = realm.activate().expect("the monitor insists on the order");
        let mpidrs: Vec<_> = realm.vcpus().map(VcpuConfig::mpidr).collect();
        assert_eq!(mpidrs, [0, 1, 2, 3, 4, 5, 6, 7]);
        realm.destroy().expect("gone");
        bench.check_empty(host, "eight vCPUs");
    });
}

#[test]
fn gaps_duplicates_and_indices_that_cannot_be_are_named_before_anything_is_delegated() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        realm
            .add_vcpu(VcpuConfig {
                runnable: true,
                ..VcpuConfig::secondary(0)
            })
            .expect("vCPU 0");
        realm.add_vcpu(VcpuConfig::secondary(2)).expect("vCPU 2");
        assert_eq!(usage(realm.add_vcpu(VcpuConfig::secondary(2))).1, 2);
        assert_eq!(
            usage(realm.add_vcpu(VcpuConfig::secondary(1 << 28))).1,
            1 << 28
        );
        assert_eq!(
            usage(realm.add_vcpu(VcpuConfig::secondary(1 << 20))).1,
            1 << 20
        );
        let delegated = host.account().delegated;
        let failed = realm.activate().expect_err("vCPU 1 is missing");
        assert_eq!(
            usage(Err(failed.error)),
            ("there is no vCPU for REC index", 1)
        );
        assert_eq!(host.account().delegated, delegated);

        let mut realm = failed.realm;
        realm.add_vcpu(VcpuConfig::secondary(1)).expect("vCPU 1");
        realm.create_recs().expect("three RECs");
        realm.create_recs().expect("which exist");
        let realm = realm.activate().expect("active");
        realm.destroy().expect("gone");
        bench.check_empty(host, "three vCPUs");
    });
}

#[test]
fn a_realm_that_could_never_run_is_not_activated() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        realm.add_vcpu(VcpuConfig::secondary(0)).expect("a vCPU");
        let failed = realm.activate().expect_err("nobody can start");
        assert!(
            failed.error.to_string().contains("runnable"),
            "{}",
            failed.error
        );
        drop(failed);
        bench.check_empty(host, "dropped with the error");
    });
}

#[test]
fn memory_lies_in_the_protected_half_and_at_granules() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
        let half = 1 << 39;
        for (base, top) in [(half, half + 0x1000), (half - 0x1000, half + 0x1000)] {
            let range = IpaRange::new(Ipa::new(base), Ipa::new(top)).expect("a range");
            assert!(matches!(
                realm.init_ripas(range).map_err(|partial| partial.error),
                Err(Error::Usage { .. })
            ));
        }
        let bad = [half, half - 0x800, u64::MAX - 0xFFF, RAM + 8];
        for ipa in bad {
            let populated = realm.populate(Ipa::new(ipa), &[1; 0x1000], true);
            assert!(
                matches!(
                    populated.map_err(|partial| partial.error),
                    Err(Error::Usage { .. })
                ),
                "{ipa:#x}"
            );
        }
        realm
            .populate(Ipa::new(RAM), &[], true)
            .expect("nothing to do");
        assert_eq!(
            bench
                .log
                .lock()
                .iter()
                .filter(|&&command| command == Command::RttInitRipas)
                .count(),
            0
        );
    });
}

#[test]
fn the_measurement_is_known_before_the_realm_runs() {
    // The realm of the specification's vectors, built through the monitor.
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let rim = |image: &[u8], measure| {
            let mut realm = host.create_realm(RealmConfig::default()).expect("a realm");
            assert_eq!(
                realm.rim().to_string(),
                "045cb3602843a6845cb710fbbfbb92f0c7d611afe0106ac2953e46950a70c42b"
            );
            let ram = IpaRange::new(Ipa::new(RAM), Ipa::new(RAM + (2 << 20))).expect("a range");
            realm.init_ripas(ram).expect("RAM");
            assert_eq!(
                realm.rim().to_string(),
                "5a660fe814905c83a8958f2d8cff7e748e5afb7f4daa8d4a3d645aebd95a85d6"
            );
            realm
                .populate(Ipa::new(RAM), image, measure)
                .expect("an image");
            realm.rim()
        };
        let one = rim(&[1; 16], true);
        assert_eq!(one, rim(&[1; 16], true));
        let filled: Vec<_> = [1; 16].into_iter().chain([0; 0x1000 - 16]).collect();
        assert_eq!(one, rim(&filled, true), "the rest of the page is zeros");
        assert_ne!(one, rim(&[2; 16], true));
        assert_ne!(one, rim(&[1; 16], false));
        assert_eq!(rim(&[2; 16], false), rim(&[1; 16], false));
        bench.check_empty(host, "measured");
    });
}

#[test]
fn a_rec_is_run_by_one_and_not_after_the_realm_is_off() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        assert_eq!(usage(realm.rec(2).map(drop)).1, 2);
        let session = realm.rec(0).expect("the first");
        assert_eq!(usage(realm.rec(0).map(drop)).1, 0);
        drop(session);
        let mut second = realm.rec(1).expect("the second");
        let refused = second
            .enter(&Entry::default())
            .map(drop)
            .expect_err("nobody turned it on");
        assert_eq!(refused, EnterError::RecOff);
        drop(second);
        run(&realm).expect("it runs");
        let off = realm
            .rec(0)
            .expect("the first")
            .enter(&Entry::default())
            .map(drop);
        assert_eq!(off, Err(EnterError::RealmOff));
        realm.destroy().expect("gone");
        bench.check_empty(host, "run");
    });
}

#[test]
fn errors_say_command_status_and_address() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::Every(Command::DataCreate, 0x304), u64::MAX, |host| {
        let error = build(host).expect_err("assigned already");
        assert_eq!(
            error.to_string(),
            "RMI_DATA_CREATE: RMI_ERROR_RTT at level 3 (address 0x40000000)"
        );
        bench.check_empty(host, "refused");
    });
    bench.host(
        Fault::Every(Command::RealmCreate, u64::MAX),
        u64::MAX,
        |host| {
            let error = build(host).expect_err("unknown");
            assert!(
                error
                    .to_string()
                    .starts_with("RMI_REALM_CREATE: the monitor does not know this command"),
                "{error}"
            );
            bench.check_empty(host, "unknown");
        },
    );
}

#[test]
fn without_a_monitor_there_is_no_host() {
    struct Nobody;
    impl realm_host::SmcTransport for Nobody {
        fn smc(&self, registers: &mut cca_abi::smccc::Registers) {
            registers.0[0] = u64::MAX;
        }
    }
    let bench = Bench::new(PageSize::Size4K);
    assert_eq!(
        Host::new(Nobody, bench.machine.supply()).map(drop),
        Err(Error::NoMonitor)
    );
}

#[test]
fn what_is_delegated_can_be_listed_at_any_time() {
    let bench = Bench::new(PageSize::Size64K);
    bench.host(Fault::None, u64::MAX, |host| {
        let one = build(host).expect("a realm");
        let two = build(host).expect("another realm");
        let mut seen = Vec::new();
        host.for_each_delegated(|granule, _, owner| seen.push((granule, owner)));
        assert_eq!(seen.len() as u64, host.account().in_use());
        assert!(seen.is_sorted());
        for &(granule, _) in &seen {
            assert!(bench.machine.snapshot_of(granule.get()).is_some());
        }
        let of = |realm| seen.iter().filter(|(_, owner)| *owner == realm).count();
        assert_eq!(of(one.id()), of(two.id()));
        assert_eq!(of(one.id()) + of(two.id()), seen.len());
        drop((one, two));
        host.for_each_delegated(|granule, _, _| panic!("{granule:?}"));
        bench.check_empty(host, "listed");
    });
}

#[test]
fn a_granule_is_the_embedders_or_the_monitors_and_comes_back_by_itself() {
    let bench = Bench::new(PageSize::Size16K);
    bench.host(Fault::None, u64::MAX, |host| {
        let granule = host.take_granule().expect("memory");
        granule.words()[0].store(1, core::sync::atomic::Ordering::Relaxed);
        let address = granule.address();
        let delegated = granule.delegate().expect("delegable");
        assert_eq!(delegated.address(), address);
        assert_eq!(host.account().in_use(), 1);
        assert_eq!(delegated.undelegate(), Ok(Returned::Yes));
        drop(host.take_granule().expect("memory"));
        drop(host.take_granule().expect("memory").delegate());
        bench.check_empty(host, "granules");
        *bench.fault.lock() = Fault::Every(Command::GranuleDelegate, 1);
        assert!(host.take_granule().expect("memory").delegate().is_err());
        bench.check_empty(host, "refused");
    });
}
