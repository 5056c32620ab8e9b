//! Blocks of 2 MiB, private and shared: made where both sides allow, split when they must be, and returned without an
//! allocation, whatever fails.

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cca_abi::rmi::{Command, EntryState};
use machine::cpu::{GuestCpu, Instruction};
use realm_host::realm::{Access, Backed};
use realm_host::rec::{EnterError, Entry, Exit};
use realm_host::{
    Error, Ipa, IpaRange, PageAddress, PageCount, PageSize, PageSupply, RealmConfig, VcpuConfig,
};
use support::{Bench, Fault, RAM, TestHost, legal_failures, tell};

const BLOCK: u64 = 2 << 20;
/// Where the realm has RAM and nothing in it yet.
const FRESH: u64 = RAM + BLOCK;
const ALIAS: u64 = 1 << 39;
const SIZES: [PageSize; 3] = [PageSize::Size4K, PageSize::Size16K, PageSize::Size64K];

type TestRealm<'h, 'm> =
    realm_host::Realm<'h, support::Faulty<'m>, support::Dry<'m>, realm_host::realm::Active>;

fn build<'h, 'm>(host: &'h TestHost<'m>) -> Result<TestRealm<'h, 'm>, Error> {
    let mut realm = host.create_realm(RealmConfig::default())?;
    realm
        .init_ripas(range(RAM, 4 * BLOCK))
        .map_err(|partial| partial.error)?;
    realm
        .populate(Ipa::new(RAM), b"image", true)
        .map_err(|partial| partial.error)?;
    realm.add_vcpu(VcpuConfig {
        runnable: true,
        pc: RAM,
        ..VcpuConfig::secondary(0)
    })?;
    realm.activate().map_err(|failed| failed.error)
}

fn range(base: u64, bytes: u64) -> IpaRange {
    IpaRange::new(Ipa::new(base), Ipa::new(base + bytes)).expect("a range")
}

fn entry(realm: &TestRealm<'_, '_>, ipa: u64) -> (i64, EntryState) {
    let entry = realm.entry(Ipa::new(ipa)).expect("an entry");
    (entry.level, entry.state)
}

fn allocate(host: &TestHost<'_>, bytes: u64) -> PageAddress {
    try_allocate(host, bytes).expect("memory")
}

fn try_allocate(host: &TestHost<'_>, bytes: u64) -> Result<PageAddress, Error> {
    let pages = PageCount::new(bytes / host.supply().page_size().bytes());
    let first = host.supply().allocate(pages, BLOCK);
    first.ok_or(Error::OutOfMemory { pages })
}

fn free(host: &TestHost<'_>, first: PageAddress, bytes: u64) {
    let pages = PageCount::new(bytes / host.supply().page_size().bytes());
    host.supply().free(first, pages);
}

#[test]
fn two_blocks_are_made_used_and_destroyed_without_an_allocation() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.machine.install(
            RAM,
            Arc::new(|guest: &GuestCpu| {
                guest.store(FRESH + 0x5000, 8, 5).expect("memory");
                assert_eq!(guest.load(FRESH + BLOCK - 8, 8), Ok(0));
                guest.store(FRESH + BLOCK, 8, 6).expect("memory");
                let _ = guest.execute(Instruction::WaitForInterrupt);
            }),
        );
        bench.host(Fault::None, u64::MAX, |host| {
            let realm = build(host).expect("a realm");
            let mut rec = realm.rec(0).expect("a REC");
            let mut blocks = 0;
            loop {
                let entry = Entry {
                    trap_wfi: true,
                    ..Entry::default()
                };
                match rec.enter(&entry).expect("an exit").exit {
                    Exit::Abort(abort) => {
                        assert_eq!(abort.back_block().expect("memory"), Backed::Added);
                        blocks += 1;
                    }
                    Exit::Wait(_) => break,
                    other => panic!("{}", other.name()),
                }
            }
            drop(rec);
            assert_eq!(blocks, 2, "one fault for each block");
            assert_eq!(entry(&realm, FRESH), (2, EntryState::Assigned));
            assert_eq!(entry(&realm, FRESH + BLOCK), (2, EntryState::Assigned));
            assert_eq!(realm.back_block(Ipa::new(FRESH)), Ok(Backed::Present));
            bench.pages.store(0, Ordering::Relaxed);
            realm.destroy().expect("gone");
            bench.check_empty(host, "two blocks");
        });
        assert_eq!(bench.machine.guest_failures(), [""; 0]);
    }
}

#[test]
fn where_there_is_no_block_to_be_had_a_page_is_added() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        // Something is there already: pages it is.
        realm.back(Ipa::new(FRESH)).expect("memory");
        assert_eq!(
            realm.back_block(Ipa::new(FRESH + 0x1000)),
            Ok(Backed::Added)
        );
        assert_eq!(entry(&realm, FRESH + 0x1000), (3, EntryState::Assigned));
        assert_eq!(entry(&realm, FRESH + 0x2000), (3, EntryState::Unassigned));
        realm.destroy().expect("gone");
        bench.check_empty(host, "pages");
    });
    // An allocator that has pages, but not so many beside each other.
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(Fault::None, u64::MAX, |host| {
            let realm = build(host).expect("a realm");
            bench.contiguous.store(16, Ordering::Relaxed);
            assert_eq!(realm.back_block(Ipa::new(FRESH)), Ok(Backed::Added));
            assert_eq!(entry(&realm, FRESH), (3, EntryState::Assigned));
            realm.destroy().expect("gone");
            bench.check_empty(host, "scattered");
        });
    }
    // A monitor that does not take all of the memory.
    let bench = Bench::strict(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        assert_eq!(realm.back_block(Ipa::new(FRESH)), Ok(Backed::Added));
        assert_eq!(entry(&realm, FRESH), (3, EntryState::Assigned));
        realm.destroy().expect("gone");
        bench.check_empty(host, "no block");
    });
}

#[test]
fn private_memory_is_revoked_page_by_page_out_of_a_block() {
    let bench = Bench::new(PageSize::Size16K);
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        realm.back_block(Ipa::new(FRESH)).expect("memory");
        let held = host.account().in_use();
        realm
            .revoke(range(FRESH + 0x3000, 0x2000))
            .expect("revoked");
        assert_eq!(
            host.account().in_use(),
            held - 2 + 1,
            "two pages less, a table more"
        );
        assert_eq!(entry(&realm, FRESH + 0x3000), (3, EntryState::Unassigned));
        assert_eq!(realm.back(Ipa::new(FRESH + 0x3000)), Ok(Backed::Destroyed));
        assert_eq!(entry(&realm, FRESH + 0x5000), (3, EntryState::Assigned));
        assert_eq!(realm.fold(range(FRESH, BLOCK)), Ok(0), "a page is missing");
        realm.destroy().expect("gone");
        bench.check_empty(host, "revoked");
    });
}

#[test]
fn memory_of_the_embedder_is_shared_in_blocks_and_unmapped_in_ranges() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(Fault::None, u64::MAX, |host| {
            let own = allocate(host, 2 * BLOCK);
            let realm = build(host).expect("a realm");
            let window = ALIAS | 0x1_0000_0000;
            let pages = PageCount::new(2 * BLOCK / size.bytes());
            realm
                .map_shared(Ipa::new(window), own, pages, Access::ReadWrite)
                .expect("mapped");
            assert_eq!(entry(&realm, window), (2, EntryState::Assigned));
            realm
                .write_shared(Ipa::new(window + 0x8008), 7)
                .expect("shared");
            let granule = own.granule(8);
            assert_eq!(host.supply().words(granule)[1].load(Ordering::Relaxed), 7);
            let again = realm.map_shared(Ipa::new(window), own, PageCount::ONE, Access::Device);
            assert!(matches!(again, Err(Error::Usage { value, .. }) if value == window));

            // From one block to the next one, and out of both.
            let text: Vec<u8> = (0..0x2345_u32).map(|n| (n % 251) as u8).collect();
            let end = window + 2 * BLOCK;
            for at in [window + BLOCK - 0x1003, end - text.len() as u64] {
                let mut back = vec![0; text.len()];
                assert_eq!(realm.write_shared_bytes(Ipa::new(at), &text), Some(()));
                assert_eq!(realm.read_shared_bytes(Ipa::new(at), &mut back), Some(()));
                assert_eq!(back, text);
            }
            for at in [end - 8, window - 1, FRESH, u64::MAX - 3] {
                assert_eq!(realm.write_shared_bytes(Ipa::new(at), &text), None);
                assert_eq!(realm.read_shared_bytes(Ipa::new(at), &mut [0; 9]), None);
            }

            // Out of the middle of both blocks.
            realm
                .unmap_shared(range(window + BLOCK - 0x1_0000, 0x2_0000))
                .expect("unmapped");
            assert_eq!(entry(&realm, window), (3, EntryState::Assigned));
            assert_eq!(entry(&realm, window + BLOCK).1, EntryState::Unassigned);
            assert_eq!(realm.read_shared(Ipa::new(window + BLOCK)), None);
            assert_eq!(realm.read_shared(Ipa::new(window + 0x8008)), Some(7));
            bench.pages.store(0, Ordering::Relaxed);
            realm.destroy().expect("gone");
            free(host, own, 2 * BLOCK);
            bench.check_empty(host, "shared");
        });
    }
}

#[test]
fn a_mapping_that_fails_leaves_nothing_mapped() {
    let bench = Bench::new(PageSize::Size4K);
    bench.host(Fault::None, u64::MAX, |host| {
        let own = allocate(host, BLOCK);
        let realm = build(host).expect("a realm");
        let window = Ipa::new(ALIAS | 0x1000);
        let now = bench.calls.load(Ordering::Relaxed);
        // The two tables and some pages are there.
        *bench.fault.lock() = Fault::Nth(now + 14, 1);
        let pages = PageCount::new(16);
        let error = realm
            .map_shared(window, own, pages, Access::ReadWrite)
            .expect_err("refused");
        assert!(error.refusal().is_some(), "{error}");
        for page in 0..16 {
            let state = entry(&realm, window.get() + page * 0x1000).1;
            assert_eq!(state, EntryState::Unassigned, "page {page}");
        }
        realm
            .map_shared(window, own, pages, Access::ReadWrite)
            .expect("a second attempt");
        realm.destroy().expect("gone");
        free(host, own, BLOCK);
        bench.check_empty(host, "mapped");
    });
}

/// A life with two private blocks, one of them broken up, and a shared one.
fn live(host: &TestHost<'_>) -> Result<(), Error> {
    struct Own<'h, 'm>(&'h TestHost<'m>, PageAddress);
    impl Drop for Own<'_, '_> {
        fn drop(&mut self) {
            free(self.0, self.1, BLOCK);
        }
    }
    let own = Own(host, try_allocate(host, BLOCK)?);
    let realm = build(host)?;
    realm.back_block(Ipa::new(FRESH))?;
    realm.back_block(Ipa::new(FRESH + BLOCK))?;
    let pages = PageCount::new(BLOCK / host.supply().page_size().bytes());
    realm.map_shared(Ipa::new(ALIAS), own.1, pages, Access::ReadWrite)?;
    realm.unmap_shared(range(ALIAS + 0x10000, 0x1000))?;
    realm.revoke(range(FRESH + 0x10000, 0x1000))?;
    realm.destroy().map_err(|failed| failed.error)
}

#[test]
fn lives_with_blocks_end_empty_whichever_call_fails() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(Fault::None, u64::MAX, |host| {
            live(host).expect("a life without faults");
            bench.check_empty(host, "without faults");
        });
        let commands = bench.log.lock().clone();
        let (mut lives, mut survived, mut calls) = (0, 0, 0);
        let mut run = 0;
        for (nth, &command) in commands.iter().enumerate() {
            // Of the hundreds of equal calls for a block the first, the last and some others stand for all.
            let equal = |other: Option<&Command>| other == Some(&command);
            let inner = equal(nth.checked_sub(1).and_then(|n| commands.get(n)))
                && equal(commands.get(nth + 1));
            let repeated =
                nth > 2 && commands[nth - 2] == command && commands.get(nth + 2) == Some(&command);
            run = if inner || repeated { run + 1 } else { 0 };
            if run % 173 != 0
                || size != PageSize::Size4K && nth % 4 != 1 && command != Command::RttFold
            {
                continue;
            }
            for x0 in legal_failures(command) {
                let what = format!("{size:?}: call {nth}, {}, answers {x0:#x}", command.name());
                bench.host(Fault::Nth(nth as u64, x0), u64::MAX, |host| {
                    survived += u64::from(live(host).is_ok());
                    *bench.fault.lock() = Fault::None;
                    host.retry_quarantine().expect("nobody else retries");
                    bench.check_empty(host, &what);
                    calls += bench.calls.load(Ordering::Relaxed);
                });
                lives += 1;
            }
        }
        assert!(survived > 0 && survived < lives);
        tell(&format!(
            "{size:?}, blocks: {lives} lives with one of {} calls failing each, {survived} of them complete, {calls} calls",
            commands.len()
        ));
    }
}

#[test]
fn every_allocation_of_a_life_with_blocks_is_the_first_to_fail() {
    for size in SIZES {
        let bench = Bench::new(size);
        let mut allocations = 0;
        loop {
            let what = format!("{size:?}: {allocations} allocations");
            let done = bench.host(Fault::None, allocations, |host| {
                let result = live(host);
                bench.check_empty(host, &what);
                result
            });
            match done {
                Ok(()) => break,
                Err(Error::OutOfMemory { .. }) => allocations += 1,
                Err(other) => panic!("{what}: {other}"),
            }
        }
        assert!(
            allocations > 3,
            "{size:?}: a life takes more than {allocations}"
        );
        tell(&format!(
            "{size:?}, blocks: {allocations} lives, in each of which one allocation more succeeds"
        ));
    }
}

#[test]
fn granules_in_the_midst_of_blocks_stay_away_and_their_pages_with_them() {
    for size in SIZES {
        let bench = Bench::new(size);
        bench.host(Fault::None, u64::MAX, |host| {
            live(host).expect("a life without faults");
        });
        let commands = bench.log.lock().clone();
        let undelegates: Vec<_> = (0..commands.len() as u64)
            .filter(|&nth| commands[nth as usize] == Command::GranuleUndelegate)
            .collect();
        let mut lives = 0;
        for nth in undelegates.iter().step_by(undelegates.len() / 5) {
            for count in [1, 3, u64::MAX] {
                let fault = Fault::Window(Command::GranuleUndelegate, *nth, count, 1);
                let what = format!("{size:?}: {count} undelegates from call {nth} on");
                bench.host(fault, u64::MAX, |host| {
                    live(host).expect("a granule that stays away is no failure");
                    let account = host.account();
                    assert_eq!(account.in_use(), 0, "{what}");
                    assert!(account.quarantined > 0, "{what}");
                    // What is in quarantine keeps its page, and nothing else is kept.
                    let mut pages = Vec::new();
                    host.for_each_quarantined(|entry| pages.push(entry.granule.page(size).get()));
                    pages.dedup();
                    assert_eq!(host.pages_held(), pages.len(), "{what}");
                    *bench.fault.lock() = Fault::None;
                    let back = host.retry_quarantine().expect("nobody else retries");
                    assert_eq!(back.get(), account.quarantined, "{what}");
                    bench.check_empty(host, &what);
                });
                lives += 1;
            }
        }
        tell(&format!(
            "{size:?}, blocks: {lives} lives with granules that stay away"
        ));
    }
}

#[test]
fn a_realm_is_paused_and_a_rec_kicked_and_nothing_is_lost() {
    let bench = Bench::new(PageSize::Size4K);
    bench.machine.install(
        RAM,
        Arc::new(|guest: &GuestCpu| {
            let _ = guest.execute(Instruction::WaitForInterrupt);
        }),
    );
    bench.host(Fault::None, u64::MAX, |host| {
        let realm = build(host).expect("a realm");
        let mut rec = realm.rec(0).expect("a REC");
        let wait = Entry {
            trap_wfi: true,
            ..Entry::default()
        };
        realm.pause();
        assert_eq!(rec.enter(&wait).map(drop), Err(EnterError::Paused));
        assert_eq!(realm.kick(0), Ok(false), "it is not inside");
        realm.resume();
        assert_eq!(rec.enter(&wait).map(drop), Err(EnterError::Kicked));
        assert!(matches!(
            rec.enter(&wait).expect("an exit").exit,
            Exit::Wait(_)
        ));
        assert!(realm.kick(1).is_err());
        realm.stop();
        assert_eq!(rec.enter(&wait).map(drop), Err(EnterError::RealmOff));
        drop(rec);
        realm.destroy().expect("gone");
        bench.check_empty(host, "paused");
    });
}
