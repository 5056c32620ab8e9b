//! How KVM finds the RMM, and what it builds before a realm runs.

use alloc::format;

use cca_abi::psci::Function;
use cca_abi::rmi::params::realm_flags;
use cca_abi::rmi::{Command, version};
use cca_abi::smccc::{self, Registers};

use super::stage2::{roots, size, start_level};
use super::vm::Vm;
use super::{invoke, must};
use crate::fixture::Fixture;
use crate::stories::vectors::supported;

/// IPA width of a VM whose VMM does not ask for another.
pub(super) const USUAL: u32 = 40;
/// Smallest IPA width that KVM accepts.
const SMALLEST: u32 = 32;
/// Largest IPA width without larger descriptors.
const LARGEST: u32 = 48;

/// kvm_init_rme: the conduit, the version, the features.
pub(super) fn detection(fixture: &mut Fixture<'_>) {
    conduit(fixture);
    let ask = |major: u64, minor: u64| {
        version::Input {
            req: major << 16 | minor,
        }
        .encode()
    };
    let answer = must(fixture, Command::Version, ask(1, 0));
    fixture.equal("the version to speak", answer.x(1), 1 << 16);
    // Successors of v7 ask for later ones and tell the kernel's log what there is.
    for (major, minor) in [(1, 1), (2, 0)] {
        let answer = invoke(fixture, Command::Version, ask(major, minor));
        let what = format!("whether {major}.{minor} is refused, not unknown");
        let refused = !answer.done() && answer.x(0) != smccc::NOT_SUPPORTED;
        fixture.equal(&what, refused, true);
        let (lower, higher) = (answer.x(1), answer.x(2));
        fixture.equal("the versions that there are", [lower, higher], [1 << 16; 2]);
    }

    let features = supported(fixture);
    let enough = u32::from(features.s2sz) >= USUAL;
    fixture.equal("whether a VM of the usual width is possible", enough, true);
    let known = features.hash_sha_256 && features.hash_sha_512;
    fixture.equal("the hash algorithms that a VMM may choose", known, true);
    // KVM takes the number minus one for the number: with 0 it would have no list register at all.
    fixture.equal("list registers", features.gicv3_num_lrs >= 1, true);
    let breakpoints = features.num_bps >= 1 && features.num_wps >= 1;
    fixture.equal("breakpoints and watchpoints", breakpoints, true);
}

/// Linux makes no call at all before PSCI has told it that SMCCC is 1.1 or newer, by which calls keep X4 and above.
fn conduit(fixture: &mut Fixture<'_>) {
    let mut registers = Registers::call(
        Function::Features.function_id(),
        &[u64::from(smccc::VERSION)],
    );
    fixture.host().smc(&mut registers);
    fixture.equal("PSCI_FEATURES of SMCCC_VERSION", registers.0[0], 0);
    let mut registers = Registers::call(smccc::VERSION, &[]);
    fixture.host().smc(&mut registers);
    let suits = (0x1_0001..1 << 31).contains(&registers.0[0]);
    fixture.equal("whether SMCCC is 1.1 or newer", suits, true);
}

/// Start levels 0 to 2 with 1 to 16 tables in a row; something is mapped at both ends of both halves.
pub(super) fn widths(fixture: &mut Fixture<'_>) {
    let largest = u32::from(supported(fixture).s2sz).min(LARGEST);
    for bits in SMALLEST..=largest {
        let vm = Vm::create(fixture, bits, 0, |_| {});
        let half = vm.shared_bit();
        for ipa in [0, half - 4096] {
            vm.init_ripas(fixture, ipa..ipa + 4096);
            vm.populate(fixture, ipa, &[bits.into()]);
        }
        for ipa in [half, 2 * half - 4096] {
            let page = fixture.non_secure_with(&[]);
            vm.map_shared(fixture, ipa, page);
        }
        vm.activate(fixture);
        vm.destroy(fixture);
        if fixture.check().is_err() {
            let (start, tables) = (start_level(bits), roots(bits));
            fixture.explain(&format!("{bits} bits, {tables} tables at level {start}"));
            return;
        }
    }
}

/// Several VMs at once: VMIDs from 0 on, and each with something else of what its vCPUs can have.
pub(super) fn configurations(fixture: &mut Fixture<'_>) {
    let features = supported(fixture);
    let plain = Vm::create(fixture, USUAL, 0, |_| {});
    let hash = Vm::create(fixture, USUAL, 1, |params| {
        params.hash_algo = 1;
        params.rpv = [u64::MAX; 8];
    });
    let counters = Vm::create(fixture, USUAL, 2, |params| {
        if let Some(most) = features.pmu_num_ctrs {
            params.flags |= realm_flags::PMU;
            params.pmu_num_ctrs = most;
        }
    });
    let vectors = Vm::create(fixture, USUAL, 3, |params| {
        if let Some(longest) = features.sve_vl {
            params.flags |= realm_flags::SVE;
            params.sve_vl = longest;
        }
    });
    // More than 16 vCPUs, so that their affinities have two parts.
    let mut many = Vm::create(fixture, USUAL, 4, |_| {});
    for _ in 0..18 {
        many.create_vcpu(fixture, 0, [0; 8]);
    }
    for mut vm in [plain, hash, counters, vectors] {
        vm.create_vcpu(fixture, 0, [0; 8]);
        vm.activate(fixture);
        vm.destroy(fixture);
    }
    // The lowest VMID is free again; a VM that nobody activated goes like any other.
    let again = Vm::create(fixture, USUAL, 0, |_| {});
    many.destroy(fixture);
    again.destroy(fixture);
}

/// Ranges that begin and end anywhere, so that KVM has to create tables of each level, and content across them.
pub(super) fn content(fixture: &mut Fixture<'_>) {
    let (page, block, gigabyte) = (size(3), size(2), size(1));
    let mut vm = Vm::create(fixture, USUAL, 0, |_| {});
    for range in [
        // Whole entries of level 1, then of level 2, then pages.
        gigabyte..3 * gigabyte + 5 * block + 3 * page,
        // Nothing aligned at all.
        4 * gigabyte + 3 * page..4 * gigabyte + 2 * block + 7 * page,
        5 * gigabyte - page..5 * gigabyte + page,
        // What there is already, and more.
        gigabyte + block..gigabyte + 2 * block,
    ] {
        vm.init_ripas(fixture, range);
    }
    // The end of one table and the start of the next.
    for n in 0..4 {
        vm.populate(fixture, gigabyte + block - 2 * page + n * page, &[n]);
    }
    vm.populate(fixture, 5 * gigabyte - page, &[4]);
    vm.populate(fixture, 5 * gigabyte, &[5]);
    vm.create_vcpu(fixture, gigabyte, [0; 8]);
    vm.destroy(fixture);
}
