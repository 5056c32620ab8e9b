//! The end of a realm: it is destroyed part by part, so that other realms go on meanwhile.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use realm_host::realm::Dying;
use realm_host::{PageSupply, Realm, SmcTransport};

use crate::console::Console;
use crate::machine::{RealmMachine, phase};
use crate::pe::HostPe;
use crate::report::{Event, GranuleReport, Outcome, Phase, Report};

/// How far the end has come.
#[derive(Default)]
pub(crate) enum Teardown<'a, T: SmcTransport, M: PageSupply> {
    /// The realm is whole.
    #[default]
    Whole,
    /// A part of the realm is gone.
    Under {
        realm: Realm<'a, T, M, Dying>,
        /// How many granules it had.
        delegated: u64,
        /// Whether something could not be destroyed: it is tried once more.
        has_failed: bool,
    },
    /// There is no realm any more; its account.
    Over(GranuleReport),
}

impl<T: SmcTransport, M: PageSupply, C: Console> RealmMachine<'_, T, M, C> {
    /// Waits until all PEs have left [`RealmMachine::run_pe`], destroys the realm, and says how it all went; the console is told too. A
    /// second call finds no realm and reports what is known.
    pub fn teardown(&self, pe: &mut impl HostPe) -> Report {
        loop {
            if let Some(report) = self.teardown_step(u64::MAX - 1, pe) {
                return report;
            }
            pe.acknowledge_interrupts();
            let soon = pe.counter() + pe.frequency() / 1000;
            pe.wait(Some(soon));
        }
    }

    /// Does a part of [`RealmMachine::teardown`], about `steps` RECs, pages, mappings and tables of the realm
    /// ([`Realm::destroy_step`]), and returns the report once there is nothing left. Does not wait for PEs that still run the
    /// realm: it calls them, and nothing else happens in that step. One PE calls it.
    pub fn teardown_step(&self, steps: u64, pe: &mut impl HostPe) -> Option<Report> {
        let mut teardown = self.teardown.lock();
        let (step, delegated, had_failed) = match core::mem::take(&mut *teardown) {
            Teardown::Whole => {
                let why = "the host gave the realm up".to_string();
                // Calls those PEs, too.
                self.stop(Outcome::Error, Some(why), pe);
                let mut shared = self.realm.lock();
                let realm = match Arc::try_unwrap(shared.take()?) {
                    Ok(realm) => realm,
                    Err(still_shared) => {
                        *shared = Some(still_shared);
                        return None;
                    }
                };
                let delegated = self.host.account_of(realm.id()).delegated;
                (realm.destroy_step(steps), delegated, false)
            }
            Teardown::Under {
                realm,
                delegated,
                has_failed,
            } => (realm.destroy_step(steps), delegated, has_failed),
            Teardown::Over(granules) => {
                *teardown = Teardown::Over(granules);
                return Some(self.last_report(granules));
            }
        };
        let (left, has_failed) = match step {
            Ok(left) => (left, had_failed),
            Err(failed) if !had_failed => (Some(failed.realm), true),
            // Dropped: what the monitor refuses to give back stays in the account.
            Err(failed) => {
                let error = failed.error;
                drop(failed.realm);
                self.fail_later(format!("the realm could not be destroyed: {error}"));
                (None, true)
            }
        };
        if let Some(realm) = left {
            *teardown = Teardown::Under {
                realm,
                delegated,
                has_failed,
            };
            return None;
        }
        let left = self.host.account_of(self.realm_id());
        let granules = GranuleReport {
            delegated,
            returned: delegated.saturating_sub(left.delegated),
            quarantined: left.quarantined,
        };
        *teardown = Teardown::Over(granules);
        phase(&self.console, Phase::Destroyed, pe);
        Some(self.last_report(granules))
    }

    fn last_report(&self, granules: GranuleReport) -> Report {
        for vcpu in 0..self.vcpus.len() {
            self.finish_line(vcpu);
        }
        if granules.returned != granules.delegated {
            self.fail_later(format!(
                "{} granules did not come back from the monitor, {} of them in quarantine",
                granules.delegated - granules.returned,
                granules.quarantined
            ));
        }
        let report = self.report(granules);
        self.console.event(&Event::Report(report.clone()));
        report
    }
}
