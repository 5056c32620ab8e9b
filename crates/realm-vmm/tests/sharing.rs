//! Memory that goes back and forth between a realm and its host, thousands of times, on the in-process machine.

mod support;

use cca_abi::host_calls;
use cca_abi::smccc::Registers;
use machine::cpu::GuestCpu;
use machine::{Config, Machine};
use realm_guest::demo::GuestPe;
use realm_host::PageSize;
use realm_vmm::Outcome;
use support::*;

const IPA_STATE_SET: u64 = 0xC400_0197;
const IPA_STATE_GET: u64 = 0xC400_0198;
const EMPTY: u64 = 0;
const RAM_STATE: u64 = 1;
const PAGE: u64 = 0x1000;

/// How often each of two vCPUs shares a range and takes it back.
const ROUNDS: u64 = 600;
/// Pages of a range, one after the other.
const PAGES: [u64; 5] = [1, 2, 7, 1, 3];
/// So many pages lie between two ranges and are never shared.
const GAP: u64 = 1;
/// Every so often it is a whole block of a table, which the host maps, and unmaps, at once.
const BLOCK_EVERY: u64 = 100;
const BLOCK: u64 = 2 << 20;

/// Where the ranges of a vCPU are: in a block of its own.
const fn arena(vcpu: u64) -> u64 {
    RAM + BLOCK * (1 + vcpu)
}

/// Changes the RIPAS of a range, in as many calls as it takes.
fn set(guest: &GuestCpu, base: u64, top: u64, ripas: u64) {
    let mut from = base;
    while from < top {
        let mut registers = Registers::default();
        registers.0[..5].copy_from_slice(&[IPA_STATE_SET, from, top, ripas, 0]);
        guest.call(&mut registers);
        let [status, reached, response, ..] = registers.0;
        assert_eq!((status, response), (0, 0), "{from:#x}");
        assert!(from < reached && reached <= top, "{from:#x} {reached:#x}");
        from = reached;
    }
    let mut registers = Registers::default();
    registers.0[..3].copy_from_slice(&[IPA_STATE_GET, base, top]);
    guest.call(&mut registers);
    assert_eq!(registers.0[..3], [0, top, ripas], "{base:#x}");
}

/// What the host finds in a shared page, having left a word of its own beside it.
fn host_sees(guest: &GuestCpu, page: u64, call_at: u64) -> u64 {
    guest.write(call_at, u64::from(host_calls::SHARED_PAGE));
    guest.write(call_at + 8, page);
    assert_eq!(call(guest, &[HOST_CALL, call_at]), 0);
    assert_eq!(guest.read(call_at + 16), host_calls::HOST_WORD);
    guest.read(call_at + 8)
}

/// Shares ranges and takes them back. What is in them is checked at each step.
fn back_and_forth(guest: &GuestCpu, vcpu: u64) {
    let start = arena(vcpu);
    let call_at = RAM + 0x10_0000 + PAGE * vcpu;
    let mut at = start;
    for round in 0..ROUNDS {
        let is_block = round % BLOCK_EVERY == BLOCK_EVERY - 1;
        let pages = PAGES[(round % PAGES.len() as u64) as usize];
        if is_block || at + (pages + GAP) * PAGE > start + BLOCK {
            at = start;
        }
        let (base, top) = match is_block {
            true => (start, start + BLOCK),
            false => (at, at + pages * PAGE),
        };
        let secret = 0x5EC2_E700_0000_0000 | vcpu << 32 | round;
        let public = 0x9B11_C000_0000_0000 | vcpu << 32 | round;
        let beside = top;
        // A few pages of a block stand for all.
        let step = (((top - base) / PAGE).div_ceil(8)) * PAGE;
        let touched = || (base..top).step_by(step as usize);

        for page in touched() {
            guest.write(page, secret);
            guest.write(page + PAGE - 8, secret);
        }
        if !is_block {
            guest.write(beside, !secret);
        }

        set(guest, base, top, EMPTY);
        for page in touched() {
            let shared = ALIAS | page;
            for word in [0, 8, PAGE - 8] {
                let found = guest.load(shared + word, 8).expect("shared memory");
                assert_eq!(found, 0, "{:#x} was somebody's before", shared + word);
            }
            guest.store(shared, 8, public).expect("shared memory");
            assert_eq!(host_sees(guest, shared, call_at), public, "{page:#x}");
            assert_eq!(
                guest.load(shared + 8, 8),
                Ok(host_calls::HOST_WORD),
                "{page:#x}"
            );
        }

        set(guest, base, top, RAM_STATE);
        for page in touched() {
            for word in [0, 8, PAGE - 8] {
                let found = guest.read(page + word);
                assert_eq!(found, 0, "{:#x} has what was there before", page + word);
            }
            assert!(guest.load(ALIAS | page, 8).is_err(), "{page:#x} is shared");
        }
        if !is_block {
            assert_eq!(guest.read(beside), !secret, "{beside:#x} is another page");
        }
        at = top + GAP * PAGE;
    }
}

fn first(guest: &GuestCpu) {
    call(guest, &[CPU_ON, 1, SECONDARY, 0]);
    back_and_forth(guest, 0);
    // The other one says that it is done.
    while guest.read(RAM + 0x12_0000) != 1 {
        let _ = guest.counter();
    }
    say(guest, "done\n");
    call(guest, &[SYSTEM_OFF]);
}

fn second(guest: &GuestCpu) {
    back_and_forth(guest, 1);
    guest.write(RAM + 0x12_0000, 1);
    call(guest, &[CPU_OFF]);
}

#[test]
fn what_is_shared_and_taken_back_carries_nothing_over() {
    for page_size in [PageSize::Size4K, PageSize::Size64K] {
        let machine = Machine::new(Config {
            pes: 2,
            dram_bytes: 128 << 20,
            page_size,
            ..Config::default()
        });
        let options = machine::RunOptions {
            time_limit_ms: 0,
            ..options(2)
        };
        let run = run(&machine, &options, first, second);
        assert_eq!((run.report.outcome, run.error()), (Outcome::Ok, ""));
        assert_eq!(run.lines, [(0, "done".into())]);
        for vcpu in 0..2 {
            let changes = run.rec(vcpu).exits.get("ripas-change").copied();
            assert!(changes >= Some(2 * ROUNDS), "{page_size:?}: {changes:?}");
        }
    }
}
