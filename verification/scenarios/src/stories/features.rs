//! What a realm's identification registers show is there, and works.

use alloc::format;

use cca_abi::rmi::params::realm_flags;
use cca_abi::rmi::run::{ExitReason, RecEnter, enter_flags};
use realm_guest::puppet::{NOTHING, Operation, Use};

use super::vectors::supported;
use super::{Needs, Story};
use crate::fixture::Fixture;
use crate::puppet::Puppet;
use crate::realm::Realm;

pub(super) const STORIES: &[Story] = &[Story {
    name: "REC: every feature that the identification registers show is used",
    covers: &[],
    needs: Needs::Nothing,
    tell: used,
}];

/// ESR_EL2 of a trapped WFIT, as a host sees it.
const WFIT: u64 = 0x01 << 26 | 2;
/// ID_AA64ISAR2_EL1.WFxT: CRm, op2, lowest bit.
const WFXT: (u64, u64, u64) = (6, 2, 0);
/// A busy computer may be so slow that the time is over before the realm waits: it waits again then, so often.
const WAITS: usize = 100;
/// Fields in which all ones say that there is nothing, as zero does: ID_AA64DFR0_EL1.{PMUVer, DoubleLock}, and
/// ID_AA64MMFR0_EL1.{TGran4, TGran64}, whose zero says that there is something.
const ABSENT: [(u64, u64, u64); 4] = [(5, 0, 8), (5, 0, 36), (7, 0, 24), (7, 0, 28)];

fn used(fixture: &mut Fixture<'_>) {
    let supported = supported(fixture);
    let realm = Realm::create_with(fixture, |params| {
        if let Some(counters) = supported.pmu_num_ctrs {
            params.flags |= realm_flags::PMU;
            params.pmu_num_ctrs = counters;
        }
        if let Some(length) = supported.sve_vl {
            params.flags |= realm_flags::SVE;
            params.sve_vl = length;
        }
    });
    let realm = fixture.find(realm.rd).unwrap_or(realm);
    let puppet = Puppet::of(fixture, realm, 1);
    let registers = (1..=7).flat_map(|crm| (0..8).map(move |op2| (crm, op2)));
    for (crm, op2) in registers {
        let value = puppet.perform(fixture, 0, Operation::Identify, &[crm, op2])[0];
        for low in (0..64).step_by(4) {
            let field = value >> low & 0xF;
            if field == 0 || field == 0xF && ABSENT.contains(&(crm, op2, low)) {
                continue;
            }
            let Some(outcome) = use_feature(fixture, &puppet, (crm, op2, low)) else {
                fixture.fail("a host that traps WFI never sees WFIT");
                return;
            };
            if outcome == NOTHING {
                // The vCPU is simulated, and shows what another one has.
                return;
            }
            let known = [Use::Works as u64, Use::Description as u64];
            if !known.contains(&outcome) {
                let what = if outcome == Use::Unknown as u64 {
                    "nobody uses it"
                } else {
                    "it does not work"
                };
                fixture.fail(&format!(
                    "field {low} of S3_0_C0_C{crm}_{op2} is {field:#x}: {what}"
                ));
            }
            if fixture.check().is_err() {
                return;
            }
        }
    }
}

/// Has the realm use the feature of a field, and tells what came of it: `None` if it waits with a timeout that its host, which
/// asked for it, never hears of.
fn use_feature(
    fixture: &mut Fixture<'_>,
    puppet: &Puppet,
    (crm, op2, low): (u64, u64, u64),
) -> Option<u64> {
    for _ in 0..WAITS {
        let mut enter = Puppet::order(Operation::UseFeature, &[crm, op2, low]);
        enter.flags = enter_flags::TRAP_WFI;
        let mut exit = puppet.run(fixture, 0, &enter);
        let waited = exit.exit_reason == ExitReason::Sync as u8;
        if waited {
            // WFIT, whose host has to learn until when.
            fixture.equal("ESR of WFIT", exit.esr, WFIT);
            fixture.equal("its timeout is there", exit.gprs[0] != 0, true);
            exit = puppet.run(fixture, 0, &RecEnter::default());
        }
        fixture.reason(&exit, ExitReason::HostCall);
        let outcome = exit.gprs[1];
        if waited || outcome == NOTHING || (crm, op2, low) != WFXT || fixture.check().is_err() {
            return Some(outcome);
        }
    }
    None
}
