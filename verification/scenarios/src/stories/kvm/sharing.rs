//! Memory that changes sides, and memory that KVM takes away.

use alloc::format;

use cca_abi::rmi::{Command, data_create_unknown};
use cca_abi::rsi::{self, CHANGE_DESTROYED, SUCCESS};
use realm_guest::puppet::Operation;

use super::building::USUAL;
use super::invoke;
use super::run::SPARE;
use super::stage2::size;
use super::vm::Vm;
use crate::fixture::Fixture;

const PAGE: u64 = 0x1000;
const BLOCK: u64 = 2 << 20;
/// What the realm does not want others to see.
const SECRET: u64 = 0x5EC2_E700;
const EMPTY: u64 = 0;
const RAM: u64 = 1;

/// Has the realm ask for a change of RIPAS as Linux does, which lets go of what is destroyed: new_base.
fn set_ripas(fixture: &mut Fixture<'_>, vm: &mut Vm, base: u64, top: u64, ripas: u64) {
    let call = rsi::ipa_state_set::Input {
        base,
        top,
        ripas,
        flags: CHANGE_DESTROYED,
    };
    let answer = vm.smc(fixture, 0, &call.encode());
    let what = "RSI_IPA_STATE_SET: X0, new_base, response";
    fixture.equal(what, answer[..3].to_vec(), [SUCCESS, top, 0].to_vec());
    let fault = Some(&(base, top - base, ripas == RAM)).copied();
    let last = vm.memory_faults.last().copied();
    fixture.equal("the memory fault that the VMM sees", last, fault);
}

fn read(fixture: &mut Fixture<'_>, vm: &mut Vm, ipa: u64) -> u64 {
    vm.perform(fixture, 0, Operation::Read, &[ipa])[0]
}

fn write(fixture: &mut Fixture<'_>, vm: &mut Vm, ipa: u64, value: u64) {
    vm.perform(fixture, 0, Operation::Write, &[ipa, value]);
}

pub(super) fn back_and_forth(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    let bit = vm.shared_bit();
    // The VMM changes the attributes first, upon which KVM destroys what is mapped: when RMI_RTT_SET_RIPAS comes, the
    // pages are DESTROYED, and their tables may have been folded.
    for (base, top) in [
        (SPARE + PAGE, SPARE + 2 * PAGE),
        (SPARE + BLOCK - 2 * PAGE, SPARE + BLOCK + 3 * PAGE),
        (SPARE, SPARE + BLOCK),
        (SPARE, SPARE + 2 * BLOCK + PAGE),
        (SPARE + BLOCK + PAGE, SPARE + 3 * BLOCK),
    ] {
        let ends = [base, top - PAGE];
        for ipa in ends {
            write(fixture, &mut vm, ipa + 16, SECRET);
        }
        set_ripas(fixture, &mut vm, base, top, EMPTY);
        for ipa in ends {
            write(fixture, &mut vm, bit | ipa, 7);
            let pa = vm.backing(fixture, ipa);
            let seen = fixture.host().read(pa, 0);
            fixture.equal("what the VMM reads", seen, 7);
            fixture.host().write(pa, 1, 8);
            let seen = read(fixture, &mut vm, bit | (ipa + 8));
            fixture.equal("what the realm reads", seen, 8);
        }
        set_ripas(fixture, &mut vm, base, top, RAM);
        for ipa in ends {
            let old = read(fixture, &mut vm, ipa + 16) == SECRET;
            fixture.equal("whether the old content is still there", old, false);
            write(fixture, &mut vm, ipa, 9);
            let seen = read(fixture, &mut vm, ipa);
            fixture.equal("what the realm wrote", seen, 9);
        }
    }
    // The last thing that the realm has is shared; KVM leaves its mappings to RMI_RTT_DESTROY.
    set_ripas(fixture, &mut vm, SPARE, SPARE + PAGE, EMPTY);
    write(fixture, &mut vm, bit | SPARE, 1);
    vm.destroy(fixture);
}

pub(super) fn left_to_kvm(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    vm.obliging = false;
    // RIPAS changes first, and then KVM itself destroys what is EMPTY. All in one go, then in two that overlap.
    let (base, middle, top) = (SPARE, SPARE + BLOCK + PAGE, SPARE + 2 * BLOCK);
    for changes in [
        [(base, top, EMPTY), (base, top, RAM)],
        [(base, middle, EMPTY), (base + PAGE, top, RAM)],
        [(base, top, EMPTY), (middle, top, RAM)],
        [(base, middle, RAM), (base, top, RAM)],
    ] {
        let ends = [middle - PAGE, middle, top - PAGE];
        for (base, top, ripas) in changes {
            set_ripas(fixture, &mut vm, base, top, ripas);
        }
        for ipa in ends.into_iter().filter(|&ipa| ipa >= changes[1].0) {
            write(fixture, &mut vm, ipa, ipa);
            let seen = read(fixture, &mut vm, ipa);
            fixture.equal("what the realm wrote", seen, ipa);
        }
    }
    vm.destroy(fixture);
}

pub(super) fn blocks(fixture: &mut Fixture<'_>) {
    // No monitor has to take 512 granules in a row. v7 maps none, and its successors do without where one is refused.
    if !fixture.host().has_own_monitor() {
        return;
    }
    let mut vm = Vm::start(fixture, USUAL, 1);
    vm.map_block(fixture, SPARE);
    let pages = |fixture: &Fixture<'_>, vm: &Vm| fixture.find(vm.rd).map(|realm| realm.data.len());
    let before = pages(fixture, &vm);
    for ipa in [SPARE, SPARE + 5 * PAGE, SPARE + BLOCK - PAGE] {
        write(fixture, &mut vm, ipa, ipa);
    }
    let after = pages(fixture, &vm);
    fixture.equal("pages that were mapped meanwhile", after, before);
    // One page of it goes: KVM splits the block, and the others stay as they are.
    vm.unmap(fixture, SPARE + 5 * PAGE..SPARE + 6 * PAGE, true);
    let after = pages(fixture, &vm);
    let less = before.map(|pages| pages - 1);
    fixture.equal("pages that are left", after, less);
    for ipa in [SPARE, SPARE + BLOCK - PAGE] {
        let seen = read(fixture, &mut vm, ipa);
        fixture.equal("what the realm wrote", seen, ipa);
    }
    // A block where even the table of level 2 is missing, and one page beside one: both are there at the end.
    vm.map_block(fixture, 8 * size(1) + 3 * BLOCK);
    vm.map_block(fixture, SPARE + BLOCK);
    vm.map_private(fixture, SPARE + 2 * BLOCK, 3);
    vm.destroy(fixture);
}

pub(super) fn withdrawn(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    let bit = vm.shared_bit();
    set_ripas(fixture, &mut vm, SPARE, SPARE + 2 * BLOCK, EMPTY);
    let places = [
        SPARE,
        SPARE + PAGE,
        SPARE + BLOCK - PAGE,
        SPARE + BLOCK,
        SPARE + 2 * BLOCK - PAGE,
    ];
    let gigabyte = SPARE / size(1) * size(1);
    for range in [
        SPARE + PAGE..SPARE + 2 * PAGE,
        SPARE + PAGE..SPARE + BLOCK + PAGE,
        SPARE..SPARE + BLOCK,
        SPARE..SPARE + 2 * BLOCK,
        gigabyte..gigabyte + size(1),
    ] {
        for ipa in places {
            write(fixture, &mut vm, bit | ipa, 7);
        }
        vm.unmap(fixture, range.clone(), false);
        // Whatever is gone comes back in a page of another content.
        for ipa in places.into_iter().filter(|ipa| range.contains(ipa)) {
            vm.backing.remove(&ipa);
        }
        for ipa in places {
            let must = if range.contains(&ipa) { 0 } else { 7 };
            let seen = read(fixture, &mut vm, bit | ipa);
            let what = format!("what the realm reads at {ipa:#x} after {range:#x?}");
            fixture.equal(&what, seen, must);
        }
    }
    vm.destroy(fixture);
}

pub(super) fn races(fixture: &mut Fixture<'_>) {
    let mut vm = Vm::start(fixture, USUAL, 1);
    let bit = vm.shared_bit();
    let rd = vm.rd;
    // Two vCPUs touch the same private page: the second finds it delegated.
    write(fixture, &mut vm, SPARE, 1);
    let mapped = fixture
        .find(rd)
        .and_then(|realm| realm.data.into_iter().find(|&(ipa, _)| ipa == SPARE));
    fixture.equal("whether the page is mapped", mapped.is_some(), true);
    if let Some((_, pa)) = mapped {
        Vm::lost_race(fixture, pa);
    }
    // Another page for the same address, which KVM takes for a missing table: the level says that there is none missing.
    let data = fixture.delegated();
    let input = data_create_unknown::Input {
        rd,
        data,
        ipa: SPARE,
    };
    let answer = invoke(fixture, Command::DataCreateUnknown, input.encode());
    fixture.equal("level of what is mapped", answer.rtt(), Some(3));
    Vm::give_back(fixture, data);
    let seen = read(fixture, &mut vm, SPARE);
    fixture.equal("what the realm wrote", seen, 1);

    // Two vCPUs find the same tables missing.
    let far = 16 * size(1);
    vm.create_tables(fixture, far, 1, 3);
    vm.create_tables(fixture, far, 1, 3);
    vm.create_tables(fixture, bit | far, 1, 3);
    vm.create_tables(fixture, bit | far, 1, 3);

    // Two vCPUs touch the same shared page: the one that comes second takes it as done.
    set_ripas(fixture, &mut vm, SPARE, SPARE + PAGE, EMPTY);
    write(fixture, &mut vm, bit | SPARE, 3);
    let pa = vm.backing(fixture, SPARE);
    vm.map_shared(fixture, bit | SPARE, pa);
    let seen = read(fixture, &mut vm, bit | SPARE);
    fixture.equal("what the realm shared", seen, 3);

    // The VMM withdraws what is not there any more, or never was.
    for _ in 0..2 {
        vm.unmap(fixture, SPARE..SPARE + PAGE, true);
        vm.unmap(fixture, far..far + BLOCK, true);
    }
    vm.destroy(fixture);
}
