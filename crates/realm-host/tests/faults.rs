//! Whole realm lives in which one thing fails: the n-th call, in every way that its command may fail, or the n-th
//! allocation. Whatever it is, everybody has back what is theirs afterwards, and the next life succeeds.

mod support;

use std::sync::atomic::Ordering;

use cca_abi::rmi::Command;
use realm_host::ledger::Purpose;
use realm_host::{Error, PageSize};
use support::{Bench, Fault, build, legal_failures, live, run, tell};

const SIZES: [PageSize; 3] = [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K];

/// The commands of a life without faults.
fn commands(bench: &Bench) -> Vec<Command> {
    bench.host(Fault::None, u64::MAX, |host| {
        live(host).expect("a life without faults");
        bench.check_empty(host, "a life without faults");
    });
    bench.log.lock().clone()
}

fn every_call_fails_once(bench: &Bench, name: &str) {
    let commands = commands(bench);
    let (mut lives, mut survived, mut calls, mut failures) = (0, 0, 0, 0);
    for (nth, &command) in commands.iter().enumerate() {
        for x0 in legal_failures(command) {
            let what = format!("call {nth}, {}, answers {x0:#x}: {name}", command.name());
            bench.host(Fault::Nth(nth as u64, x0), u64::MAX, |host| {
                survived += u64::from(live(host).is_ok());
                // What could not be undelegated in that one moment can be now.
                *bench.fault.lock() = Fault::None;
                host.retry_quarantine().expect("nobody else retries");
                bench.check_empty(host, &what);
                calls += bench.calls.load(Ordering::Relaxed);
                failures += bench.refused.load(Ordering::Relaxed);
                // And nothing stays that would be in the way of the next.
                if lives % 16 == 0 {
                    live(host).expect("a later attempt succeeds");
                }
            });
            lives += 1;
        }
    }
    assert_eq!(bench.machine.guest_failures(), [""; 0]);
    assert!(
        survived > 0 && survived < lives,
        "some failures matter, some do not"
    );
    tell(&format!(
        "{name}: {lives} lives, each with another of {} calls failing in another legal way; {survived} of them \
         complete, {calls} calls, {failures} failures",
        commands.len()
    ));
}

/// From every undelegate of a life on, the monitor keeps what it is asked for: for ever, or twice.
fn undelegates_are_refused(bench: &Bench, name: &str) {
    let commands = commands(bench);
    let (mut lives, mut calls, mut failures) = (0, 0, 0);
    for (nth, _) in commands
        .iter()
        .enumerate()
        .filter(|(_, command)| **command == Command::GranuleUndelegate)
    {
        for count in [2, u64::MAX] {
            let fault = Fault::Window(Command::GranuleUndelegate, nth as u64, count, 1);
            bench.host(fault, u64::MAX, |host| {
                live(host).expect("a granule that stays away is no failure");
                let account = host.account();
                let kept = bench.refused.load(Ordering::Relaxed);
                assert_eq!(account.in_use(), 0, "{name}, from call {nth}");
                assert!(account.quarantined > 0 && account.quarantined <= kept);
                *bench.fault.lock() = Fault::None;
                host.retry_quarantine().expect("nobody else retries");
                bench.check_empty(host, &format!("{name}, from call {nth}"));
                calls += bench.calls.load(Ordering::Relaxed);
                failures += kept;
            });
            lives += 1;
        }
    }
    tell(&format!(
        "{name}: {lives} lives with undelegates refused from each of them on, {calls} calls, {failures} failures"
    ));
}

#[test]
fn undelegates_are_refused_from_any_on_for_ever_or_a_while() {
    for size in SIZES {
        undelegates_are_refused(&Bench::new(size), &format!("{size:?}"));
    }
}

#[test]
fn every_call_fails_once_above_the_strict_monitor() {
    for size in SIZES {
        every_call_fails_once(&Bench::strict(size), &format!("{size:?}, strict monitor"));
    }
}

#[test]
fn lives_above_the_strict_monitor_end_empty() {
    for size in SIZES {
        let bench = Bench::strict(size);
        bench.host(Fault::None, u64::MAX, |host| {
            for _ in 0..8 {
                let realm = build(host).expect("a realm");
                assert_eq!(realm.auxiliary_granules(), 16);
                run(&realm).expect("it runs");
                realm.destroy().expect("gone");
                bench.check_empty(host, "strict");
            }
        });
    }
}

#[test]
fn every_call_fails_once_with_4k_pages() {
    every_call_fails_once(&Bench::new(PageSize::Size4K), "Size4K");
}

#[test]
fn every_call_fails_once_with_16k_pages() {
    every_call_fails_once(&Bench::new(PageSize::Size16K), "Size16K");
}

#[test]
fn every_call_fails_once_with_64k_pages() {
    every_call_fails_once(&Bench::new(PageSize::Size64K), "Size64K");
}

#[test]
fn every_allocation_is_the_first_to_fail() {
    for size in SIZES {
        let bench = Bench::new(size);
        let mut pages = 0;
        loop {
            let what = format!("{pages} allocations with {size:?} pages");
            let done = bench.host(Fault::None, pages, |host| {
                let result = live(host);
                bench.check_empty(host, &what);
                result
            });
            match done {
                Ok(()) => break,
                Err(support::Died::Host(Error::OutOfMemory { .. })) => pages += 1,
                Err(other) => panic!("{what}: {other:?}"),
            }
        }
        assert!(pages > 3, "a life takes more than {pages} allocations");
        tell(&format!(
            "{size:?}: {pages} lives in which the allocator runs dry, at each of {pages} allocations"
        ));
    }
}

#[test]
fn what_is_not_given_back_is_in_quarantine_and_can_be_tried_again() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(
            Fault::Every(Command::GranuleUndelegate, 1),
            u64::MAX,
            |host| {
                live(host).expect("a granule that stays away is no failure");
                let account = host.account();
                assert_eq!((account.returned, account.in_use()), (0, 0));
                assert_eq!(account.quarantined, account.delegated);
                let mut seen = Vec::new();
                host.for_each_quarantined(|entry| {
                    assert!(entry.refusal.to_string().contains("RMI_ERROR_INPUT"));
                    seen.push(entry.purpose);
                });
                assert_eq!(seen.len() as u64, account.quarantined);
                for purpose in [
                    Purpose::RealmDescriptor,
                    Purpose::RootTable,
                    Purpose::Table,
                    Purpose::Data,
                    Purpose::Rec,
                ] {
                    assert!(seen.contains(&purpose), "{purpose:?}");
                }
                assert_eq!(
                    host.retry_quarantine().expect("nobody else retries").get(),
                    0
                );
                assert!(bench.machine.supply().in_use() > 0, "no page of it is free");

                *bench.fault.lock() = Fault::None;
                assert_eq!(
                    host.retry_quarantine().expect("nobody else retries").get(),
                    account.quarantined
                );
                bench.check_empty(host, "after the quarantine");
            },
        );
    }
}

#[test]
fn a_destroy_that_fails_goes_on_where_it_stopped() {
    let stubborn = [
        Command::RecDestroy,
        Command::DataDestroy,
        Command::RttUnmapUnprotected,
        Command::RttDestroy,
        Command::RealmDestroy,
    ];
    for command in stubborn {
        let bench = Bench::new(PageSize::Size16K);
        bench.host(Fault::None, u64::MAX, |host| {
            let realm = build(host).expect("a realm");
            realm
                .share(realm.geometry().alias(realm_host::Ipa::new(support::RAM)))
                .expect("shared");
            *bench.fault.lock() = Fault::Every(command, 1);
            // Destroying allocates nothing.
            bench.pages.store(0, Ordering::Relaxed);
            let failed = realm.destroy().expect_err("it is stubborn");
            assert_eq!(
                failed.error.refusal().map(|refusal| refusal.command),
                Some(command)
            );
            let failed = failed.realm.destroy().expect_err("it still is");
            assert_eq!(
                failed.error.refusal().map(|refusal| refusal.command),
                Some(command)
            );
            *bench.fault.lock() = Fault::None;
            failed.realm.destroy().expect("it gives in");
            bench.check_empty(host, command.name());
        });
    }
}

#[test]
fn one_stubborn_rec_does_not_keep_the_memory_of_the_realm() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        *bench.fault.lock() = Fault::Every(Command::RecDestroy, 3);
        let failed = realm.destroy().expect_err("its RECs stay");
        let recs = 2 * (1 + failed.realm.auxiliary_granules()) as u64;
        let roots = failed.realm.geometry().root_tables().get();
        assert_eq!(
            host.account().in_use(),
            recs + roots + 1,
            "RECs, root tables and the descriptor are left"
        );
        *bench.fault.lock() = Fault::None;
        failed.realm.destroy().expect("they give in");
        bench.check_empty(host, "after all");
    });
}

#[test]
fn a_realm_that_is_dropped_is_destroyed() {
    let bench = Bench::new(PageSize::Size64K);
    bench.host(Fault::None, u64::MAX, |host| {
        drop(build(host).expect("a realm"));
        bench.check_empty(host, "dropped");
        let realm = build(host).expect("a realm");
        run(&realm).expect("it runs");
        drop(realm);
        bench.check_empty(host, "dropped after it ran");
    });
}

#[test]
fn a_monitor_that_claims_too_many_auxiliary_granules_is_not_believed() {
    for count in [17, 18, 1 << 32, u64::MAX] {
        let bench = Bench::new(PageSize::Size4K);
        bench.host(
            Fault::Output(Command::RecAuxCount, count),
            u64::MAX,
            |host| {
                let error = build(host).expect_err("too many");
                assert!(
                    matches!(error, Error::Answer { value, .. } if value == count),
                    "{error}"
                );
                bench.check_empty(host, "too many");
            },
        );
    }
}

#[test]
fn sixteen_auxiliary_granules_are_delegated_and_returned() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(Fault::Output(Command::RecAuxCount, 16), u64::MAX, |host| {
            // This monitor wants fewer, so it refuses the REC: all that was delegated for it comes back.
            let error = build(host).expect_err("not the count of this monitor");
            assert_eq!(
                error.refusal().map(|refusal| refusal.command),
                Some(Command::RecCreate)
            );
            bench.check_empty(host, "sixteen");
            assert!(host.account().delegated >= 17);
        });
    }
}

#[test]
fn memory_that_the_monitor_does_not_take_is_set_aside_and_other_memory_is_used() {
    for size in SIZES {
        let bench = Bench::new(size);
        // The first granule that is delegated, and one of the root tables.
        for nth in [0, 1, 2] {
            bench.host(Fault::Nth(nth, 1), u64::MAX, |host| {
                live(host).expect("there is other memory");
                bench.check_empty(host, "set aside");
            });
        }
        bench.host(
            Fault::Every(Command::GranuleDelegate, 1),
            u64::MAX,
            |host| {
                let error = build(host).expect_err("nothing is taken");
                assert!(matches!(error, Error::NotDelegable { .. }), "{error}");
                bench.check_empty(host, "nothing is taken");
            },
        );
    }
}
